"""The student: the smaller model, and a plain-words account of how it was made."""

from codir.bilstm.config import BiLSTMConfig
from codir.bilstm.model import BiLSTMForSequenceClassification, BiLSTMModel
from codir.config.words import LayerSelection
from codir.student.build import StudentOrigin, build_student, check_options, load_student, student_origin
from codir.student.layers import copy_layers, find_layer_stack, select_layers

__all__ = [
    "BiLSTMConfig",
    "BiLSTMForSequenceClassification",
    "BiLSTMModel",
    "LayerSelection",
    "StudentOrigin",
    "build_student",
    "check_options",
    "copy_layers",
    "find_layer_stack",
    "load_student",
    "select_layers",
    "student_origin",
]
