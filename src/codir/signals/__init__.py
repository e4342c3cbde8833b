"""The values that cross rooms: what an objective needs, what models answer, and how layers are pooled."""

from codir.signals.needs import (
    LayerChoice,
    MemoryDtype,
    MemoryKind,
    ModelShape,
    Needs,
    NegativeNeeds,
    NegativeSource,
    NegativeStrategy,
    Pooling,
    Representation,
    TokenPosition,
    resolve_layers,
)
from codir.signals.pooling import masked_mean, pool_representations, token_at, token_mask
from codir.signals.values import (
    IGNORED_CLASS,
    AttentionInputs,
    Batch,
    LossBreakdown,
    Negatives,
    StudentSignal,
    TeacherSignal,
    TokenSignal,
)

__all__ = [
    "IGNORED_CLASS",
    "AttentionInputs",
    "Batch",
    "LayerChoice",
    "LossBreakdown",
    "MemoryDtype",
    "MemoryKind",
    "ModelShape",
    "Needs",
    "NegativeNeeds",
    "NegativeSource",
    "NegativeStrategy",
    "Negatives",
    "Pooling",
    "Representation",
    "StudentSignal",
    "TeacherSignal",
    "TokenPosition",
    "TokenSignal",
    "masked_mean",
    "pool_representations",
    "resolve_layers",
    "token_at",
    "token_mask",
]
