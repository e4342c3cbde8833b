"""Texts become batches that carry `example_index`; indices of negatives are chosen here, vectors never seen."""

from codir.data.apart import answers_to_pairs, as_read, texts_apart, texts_together, to_learn_from
from codir.data.collate import DistillationCollator
from codir.data.corpus import CausalCollator, MaskingCollator, load_corpus, split_documents
from codir.data.encode import (
    RowCollator,
    check_room,
    cls_token_position,
    column_of,
    encode,
    fit_labels,
    fitted_dtype,
    label_feature,
    labels_of,
    length_sorted_batches,
    model_columns,
    note_unknown_tokens,
    prepare,
)
from codir.data.grouping import with_groups
from codir.data.loaded import LoadedData
from codir.data.negatives import NegativeIndices, NegativeSampler, build_negative_sampler
from codir.data.sampler import EpochLengthGroupedSampler, LongestFirstSampler, NeighbourSampler, QuerySampler
from codir.data.sources.columns import ID_COLUMN, find_text_columns, not_a_text, plain_id, present_column
from codir.data.sources.demo import DEMO_CORPUS, DEMO_SOURCE, find_minilm, load_movie_reviews
from codir.data.sources.formats import is_table, read_table
from codir.data.sources.hub import data_on_hub, model_on_hub
from codir.data.sources.load import from_datasets, load_data
from codir.data.sources.submission import Submission, read_submissions
from codir.data.sources.tables import Table
from codir.data.windows import decode, encode_windows, stride_for
from codir.data.words import POSITIONS, UNREAD, count_unread, join_words, mask_unread, words_of_tokens
from codir.tasks import Task

__all__ = [
    "DEMO_CORPUS",
    "DEMO_SOURCE",
    "ID_COLUMN",
    "POSITIONS",
    "UNREAD",
    "CausalCollator",
    "DistillationCollator",
    "EpochLengthGroupedSampler",
    "LoadedData",
    "LongestFirstSampler",
    "MaskingCollator",
    "NegativeIndices",
    "NegativeSampler",
    "NeighbourSampler",
    "QuerySampler",
    "RowCollator",
    "Submission",
    "Table",
    "Task",
    "answers_to_pairs",
    "as_read",
    "build_negative_sampler",
    "check_room",
    "cls_token_position",
    "column_of",
    "count_unread",
    "data_on_hub",
    "decode",
    "encode",
    "encode_windows",
    "find_minilm",
    "find_text_columns",
    "fit_labels",
    "fitted_dtype",
    "from_datasets",
    "is_table",
    "join_words",
    "label_feature",
    "labels_of",
    "length_sorted_batches",
    "load_corpus",
    "load_data",
    "load_movie_reviews",
    "mask_unread",
    "model_columns",
    "model_on_hub",
    "not_a_text",
    "note_unknown_tokens",
    "plain_id",
    "prepare",
    "present_column",
    "read_submissions",
    "read_table",
    "split_documents",
    "stride_for",
    "texts_apart",
    "texts_together",
    "to_learn_from",
    "with_groups",
    "words_of_tokens",
]
