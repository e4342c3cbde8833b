"""The values that cross rooms: what an objective needs, what models answer, pooling, and principal axes."""

from codir.signals.axes import principal_axes
from codir.signals.demands import check_demands
from codir.signals.needs import (
    Demand,
    LayerChoice,
    ModelShape,
    Needs,
    NegativeNeeds,
    Representation,
    TokenPosition,
    resolve_layers,
)
from codir.signals.pooling import LayerPooling, masked_mean, pool_representations, token_at, token_mask
from codir.signals.values import (
    Answered,
    AttentionInputs,
    Batch,
    Drawn,
    LossBreakdown,
    Negatives,
    OfTheStep,
    Queued,
    StudentSignal,
    TeacherSignal,
    TokenSignal,
    Unprojected,
)
from codir.signals.words import take_words
from codir.tasks import IGNORED_CLASS

__all__ = [
    "IGNORED_CLASS",
    "Answered",
    "AttentionInputs",
    "Batch",
    "Demand",
    "Drawn",
    "LayerChoice",
    "LayerPooling",
    "LossBreakdown",
    "ModelShape",
    "Needs",
    "NegativeNeeds",
    "Negatives",
    "OfTheStep",
    "Queued",
    "Representation",
    "StudentSignal",
    "TeacherSignal",
    "TokenPosition",
    "TokenSignal",
    "Unprojected",
    "check_demands",
    "masked_mean",
    "pool_representations",
    "principal_axes",
    "resolve_layers",
    "take_words",
    "token_at",
    "token_mask",
]
