"""A finished student becomes a folder or a file, checked against the original."""

from codir.config.words import Engine
from codir.export.engine import Exporter, Rows
from codir.export.folder import OWN_NAMES, check_ships, write_folder
from codir.export.gate import SAME, Gate, check_same, quantise_within
from codir.export.onnx import OnnxExporter
from codir.export.openvino import OpenVinoExporter
from codir.export.scripts import script_of, usage_of
from codir.export.student import export_student

EXPORTERS: dict[Engine, Exporter] = {one.engine: one for one in (OnnxExporter(), OpenVinoExporter())}
"""All engines by name."""

__all__ = [
    "EXPORTERS",
    "OWN_NAMES",
    "SAME",
    "Exporter",
    "Gate",
    "Rows",
    "check_same",
    "check_ships",
    "export_student",
    "quantise_within",
    "script_of",
    "usage_of",
    "write_folder",
]
