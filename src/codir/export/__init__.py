"""A finished student becomes a folder, checked against the original."""

from codir.export.student import export_student

__all__ = [
    "export_student",
]
