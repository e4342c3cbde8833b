"""Every choice and every shared default, said once: for recipes, the command line and the rooms alike.

Imports nothing of codir and no library, so that any room may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

# ---- The machine ----

Precision = Literal["auto", "bf16", "fp32"]
StoredDtype = Literal["float32", "float16"]

PRECISION: Final[Precision] = "auto"

# ---- Export ----

Engine = Literal["onnx", "openvino"]
EngineChoice = Literal["onnx", "openvino", "auto"]

ONNX: Final = "onnx"
OPENVINO: Final = "openvino"
ENGINE: Final[EngineChoice] = ONNX
MAX_LOSS: Final = 0.5
CALIBRATION_ROWS: Final = 300
BATCH_SIZES: Final = (1, 8, 32)
BENCHMARK_ROWS: Final = 256
BENCHMARK_ROUNDS: Final = 5
TEACHER: Final = "teacher"
"""What the teacher is called among the students of a sweep."""
EXPORTED_TEACHER: Final = "exported teacher"
"""What it is called there once it is exported as they are."""
TOLERATE: Final = 1.0

# ---- Data ----

TaskChoice = Literal[
    "auto",
    "classification",
    "regression",
    "reranking",
    "multi_label",
    "token_classification",
    "question_answering",
    "embedding",
    "retrieval",
]
DocumentBoundary = Literal["file", "line", "blank-line"]
Packing = Literal["packed", "apart"]

TASK: Final[TaskChoice] = "auto"
MAX_LENGTH: Final = 128
HEADER: Final = True
DEV_FRACTION: Final = 0.1
DOCUMENT_BOUNDARY: Final[DocumentBoundary] = "line"
PACKING: Final[Packing] = "packed"
NUM_PROC: Final = 1
MASK_PROBABILITY: Final = 0.15
HELDOUT_FRACTION: Final = 0.05

# ---- Teacher and student ----

CacheWish = Literal["auto", True, False]
LayerSelection = Literal["lower", "upper", "every-other", "best"]
EmbeddingStart = Literal["teacher", "random"]

TEACHER_CACHE_DIR: Final = "~/.cache/codir/teacher"
CORPUS_CACHE_DIR: Final = "~/.cache/codir/corpus"
CACHE_WISH: Final[CacheWish] = "auto"
STORED_DTYPE: Final[StoredDtype] = "float32"
LAYER_SELECTION: Final[LayerSelection] = "every-other"

# ---- Layers and what is made of them ----

Pooling = Literal["mean", "cls"]
LayerWord = Literal["all", "last"]
StudentLayerWord = Literal["all", "all-but-last", "last"]
LayerMapWord = Literal["uniform", "skip", "last"]
Normalisation = Literal["none", "layer", "l2"]
WidthMap = Literal["linear", "none"]
PooledTarget = Literal["matched", "all", "principal"]
Relation = Literal["qk", "qq", "kk", "vv"]
"""Which vectors are multiplied: `qk` is attention itself."""
OpenedLayers = Literal["all", "one-by-one", "stacked"]

KD_TEMPERATURE: Final = 2.0
LIST_TEMPERATURE: Final = 1.0


@dataclass(frozen=True)
class LayerWiseDefaults:
    """What all objectives have that match layers of the student with layers of the teacher."""

    student_layers: StudentLayerWord = "all"
    layer_map: LayerMapWord = "uniform"


@dataclass(frozen=True)
class PooledMSEDefaults(LayerWiseDefaults):
    """Of `codir.objectives.PooledMSE`."""

    normalisation: Normalisation = "layer"
    pooling: Pooling = "mean"
    target: PooledTarget = "matched"
    width_map: WidthMap = "linear"
    projection_dim: int = 256


@dataclass(frozen=True)
class HiddenMSEDefaults(LayerWiseDefaults):
    """Of `codir.objectives.HiddenMSE`."""

    normalisation: Normalisation = "none"
    embeddings: bool = True
    width_map: WidthMap = "linear"


@dataclass(frozen=True)
class CosineDefaults(LayerWiseDefaults):
    """Of `codir.objectives.ClsCosine` and `TokenCosine`."""

    width_map: WidthMap = "none"


@dataclass(frozen=True)
class RelationDefaults(LayerWiseDefaults):
    """Of `codir.objectives.RelationKL`."""

    relations: tuple[Relation, ...] = ("qq", "kk", "vv")


LAYER_WISE: Final = LayerWiseDefaults()
POOLED_MSE: Final = PooledMSEDefaults()
HIDDEN_MSE: Final = HiddenMSEDefaults()
CLS_COSINE: Final = CosineDefaults()
TOKEN_COSINE: Final = CosineDefaults(student_layers="last")
RELATION_KL: Final = RelationDefaults(student_layers="last")

# ---- Sentence vectors ----

SentencePooling = Literal["mean", "first", "last"]
VectorMap = Literal["auto", "linear", "none"]
VectorDistance = Literal["squared", "l2"]
VectorEstimator = Literal["soft", "info_nce"]


@dataclass(frozen=True)
class VectorDefaults:
    """Of all objectives that compare sentence vectors."""

    width_map: VectorMap = "auto"
    distance: VectorDistance = "squared"


@dataclass(frozen=True)
class EmbeddingContrastDefaults:
    """Of `codir.objectives.EmbeddingContrast`."""

    estimator: VectorEstimator = "soft"
    contrastive_temperature: float = 0.1
    num_negatives: int = 1024


SENTENCE_POOLING: Final[SentencePooling] = "mean"
VECTORS: Final = VectorDefaults()
EMBEDDING_CONTRAST: Final = EmbeddingContrastDefaults()

# ---- Words ----


@dataclass(frozen=True)
class WordContrastDefaults:
    """Of `codir.objectives.WordContrast`, beside what it has from the contrast."""

    num_words: int = 1024


WORD_CONTRAST: Final = WordContrastDefaults()

# ---- The contrast ----

Anchor = Literal["teacher", "student", "both"]
EstimatorName = Literal["info_nce", "nce", "jsd", "supcon", "soft"]
NegativeStrategy = Literal["auto", "other_class", "distant", "disjoint", "any", "mixed", "neighbours"]
NegativeSource = Literal["dataset", "batch"]
HeadKind = Literal["linear", "mlp"]
TeacherHeadKind = Literal["linear", "mlp", "pca"]
KeyKind = Literal["fresh", "banked", "queued"]
MemoryKind = Literal["auto", "bank", "queue", "momentum"]


@dataclass(frozen=True)
class ContrastDefaults:
    """The contrast of preset `codir`, which is what `codir.objectives.Contrastive()` builds."""

    anchor: Anchor = "both"
    estimator: EstimatorName = "info_nce"
    contrastive_temperature: float = 0.07
    warmup_steps: int = 50
    num_negatives: int = 100
    strategy: NegativeStrategy = "any"
    hard_pool: int = 1
    source: NegativeSource = "dataset"
    teacher_layers: LayerWord = "all"
    student_layers: LayerWord = "all"
    pooling: Pooling = "mean"
    head: HeadKind = "linear"
    projection_dim: int = 128
    memory: MemoryKind = "auto"
    memory_dtype: StoredDtype = "float32"
    bank_momentum: float = 0.5
    queue_size: int = 65536
    encoder_momentum: float = 0.999


CONTRAST: Final = ContrastDefaults()
MOST_STEPS: Final = 10**9


def keys_for(anchor: Anchor, source: NegativeSource, memory: MemoryKind, *, per_layer: bool) -> KeyKind:
    """The kind of keys where none is named: `banked` wherever a bank can serve both anchors, or else `fresh`.

    Example:
        >>> [keys_for(anchor, "dataset", "auto", per_layer=False) for anchor in ("both", "student")]
        ['banked', 'fresh']
    """
    can_be_banked = anchor == "both" and source == "dataset" and memory in ("auto", "bank") and not per_layer
    return "banked" if can_be_banked else "fresh"


PresetCommand = Literal["distill", "pretrain"]

# ---- The demo ----

DemoSize = Literal["quick", "standard", "full"]

DEMO_SIZE: Final[DemoSize] = "standard"

# ---- Sizes on paper ----

PLANNED_CLASSES: Final = 2
PLANNED_KEYS: Final[KeyKind] = "banked"
PLANNED_PROCESSES: Final = 1
PLANNED_STUDENT: Final = 0

# ---- The exam ----

SPEED_ROWS: Final = 256
DIFFERING_ROWS: Final = 100
ROW_FILES: Final = (".tsv", ".jsonl", ".parquet")
"""Endings of the files that rows of answers are written to."""
SQUAD_FILE: Final = ".json"
"""That of the file that SQuAD's script reads: answers by the ids of questions."""

# ---- Training ----

SamplingStrategy = Literal["random", "sequential", "group_by_length", "batch_rebalance"]
EvalStrategy = Literal["no", "steps", "epoch"]
SaveStrategy = Literal["no", "steps", "epoch", "best"]

TRAINING: Final[dict[str, Any]] = {
    "num_train_epochs": 3.0,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "warmup_steps": 0.06,
    "train_sampling_strategy": "group_by_length",
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 1,
    "logging_steps": 0.025,
    "report_to": "none",
    "seed": 0,
}
"""codir's defaults where they differ from those of `transformers.TrainingArguments`."""

PRETRAINING: Final[dict[str, Any]] = {
    "max_steps": 10_000,
    "train_sampling_strategy": "random",
    "eval_strategy": "steps",
    "eval_steps": 0.1,
    "save_strategy": "steps",
    "save_steps": 0.1,
}
"""The same of pre-training, where they differ from those above."""
