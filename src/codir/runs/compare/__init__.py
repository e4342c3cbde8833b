"""`codir compare`: presets x kinds of student x seeds, on one teacher and data set."""

from codir.runs.compare.comparison import compare_presets

__all__ = ["compare_presets"]
