"""One model, whatever its role: loading, language-model heads, the forward pass, what its attention is given.

Knows transformers; knows nothing of data, teachers or students."""

from codir.models.attention import capture_attention, check_attention
from codir.models.forward import run_model
from codir.models.language import is_masked, language_class, predict_only, reads_ahead, vocabulary_of
from codir.models.loading import library_errors, load_language_model, load_model, load_tokenizer
from codir.models.reader import Reader
from codir.models.shape import check_size, count_positions, label_names, shape_of

__all__ = [
    "Reader",
    "capture_attention",
    "check_attention",
    "check_size",
    "count_positions",
    "is_masked",
    "label_names",
    "language_class",
    "library_errors",
    "load_language_model",
    "load_model",
    "load_tokenizer",
    "predict_only",
    "reads_ahead",
    "run_model",
    "shape_of",
    "vocabulary_of",
]
