"""One page for people who have to say yes: a single file with its style and its pictures, and without a script."""

from codir.report.html.comparison import render_comparison
from codir.report.html.page import render_html
from codir.report.html.sweep import render_sweep

__all__ = ["render_comparison", "render_html", "render_sweep"]
