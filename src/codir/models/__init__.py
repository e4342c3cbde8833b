"""One model, whatever its role: loading, what fits it, language-model heads, the forward pass, its attention.

Knows transformers; knows nothing of data, teachers or students."""

from codir.models.attention import capture_attention, check_attention
from codir.models.fit import (
    check_label_order,
    check_max_length,
    check_own_tokenizer,
    check_padding,
    check_segments,
    check_tokenizer_fits,
    check_vocabulary,
    count_embeddings,
    in_full_precision,
    names_of,
)
from codir.models.forward import run_model
from codir.models.head import exact_scores, last_layer, start_head
from codir.models.language import is_masked, language_class, predict_only, reads_ahead, vocabulary_of
from codir.models.layers import LayerPlaces, find_layers, reading_layers
from codir.models.loading import (
    auto_class_of,
    check_loaded,
    check_source,
    has_new_head,
    library_errors,
    load_language_model,
    load_model,
    load_model_for_task,
    load_shape,
    load_tokenizer,
)
from codir.models.reader import Reader
from codir.models.sentence import SentenceEncoder, note_shape, shipped_config
from codir.models.sentence_files import is_sentence_encoder
from codir.models.shape import check_one_stack, check_size, count_positions, kind_of_model, label_names, shape_of
from codir.models.spans import give_logits

__all__ = [
    "LayerPlaces",
    "Reader",
    "SentenceEncoder",
    "auto_class_of",
    "capture_attention",
    "check_attention",
    "check_label_order",
    "check_loaded",
    "check_max_length",
    "check_one_stack",
    "check_own_tokenizer",
    "check_padding",
    "check_segments",
    "check_size",
    "check_source",
    "check_tokenizer_fits",
    "check_vocabulary",
    "count_embeddings",
    "count_positions",
    "exact_scores",
    "find_layers",
    "give_logits",
    "has_new_head",
    "in_full_precision",
    "is_masked",
    "is_sentence_encoder",
    "kind_of_model",
    "label_names",
    "language_class",
    "last_layer",
    "library_errors",
    "load_language_model",
    "load_model",
    "load_model_for_task",
    "load_shape",
    "load_tokenizer",
    "names_of",
    "note_shape",
    "predict_only",
    "reading_layers",
    "reads_ahead",
    "run_model",
    "shape_of",
    "shipped_config",
    "start_head",
    "vocabulary_of",
]
