"""`codir sweep`: students of several sizes from one teacher, made one by one, exported, and measured together."""

from codir.runs.sweep.sweep import sweep

__all__ = ["sweep"]
