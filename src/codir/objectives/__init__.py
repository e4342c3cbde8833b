"""Tensors in, scalar out: one file per objective. Never sees a model, a tokenizer or a configuration."""

from codir.objectives.attention_kl import AttentionKL, attention_kl_loss
from codir.objectives.attention_mse import AttentionMSE, attention_mse_loss
from codir.objectives.base import Objective
from codir.objectives.cls_cosine import ClsCosine, cls_cosine_loss
from codir.objectives.contrastive import Anchor, Contrastive
from codir.objectives.hard_label import HardLabel, hard_label_loss
from codir.objectives.heads import ProjectionHead
from codir.objectives.hidden_mse import HiddenMSE, hidden_mse_loss
from codir.objectives.info_nce import grouped_info_nce, info_nce, info_nce_from_scores
from codir.objectives.layer_map import LayerMap, StudentLayers, match_layers
from codir.objectives.logit_mse import LogitMSE, logit_mse_loss
from codir.objectives.normalisation import Normalisation
from codir.objectives.pooled_mse import PooledMSE, pooled_mse_loss
from codir.objectives.relation_kl import Relation, RelationKL, choose_relation_heads, relation_kl_loss
from codir.objectives.soft_target import SoftTarget, soft_target_loss
from codir.objectives.staged import Objectives, Stage, StagedObjectives
from codir.objectives.token_cosine import TokenCosine, token_cosine_loss
from codir.objectives.weighted import WeightedObjectives
from codir.objectives.width_map import WidthMap

__all__ = [
    "Anchor",
    "AttentionKL",
    "AttentionMSE",
    "ClsCosine",
    "Contrastive",
    "HardLabel",
    "HiddenMSE",
    "LayerMap",
    "LogitMSE",
    "Normalisation",
    "Objective",
    "Objectives",
    "PooledMSE",
    "ProjectionHead",
    "Relation",
    "RelationKL",
    "SoftTarget",
    "Stage",
    "StagedObjectives",
    "StudentLayers",
    "TokenCosine",
    "WeightedObjectives",
    "WidthMap",
    "attention_kl_loss",
    "attention_mse_loss",
    "choose_relation_heads",
    "cls_cosine_loss",
    "grouped_info_nce",
    "hard_label_loss",
    "hidden_mse_loss",
    "info_nce",
    "info_nce_from_scores",
    "logit_mse_loss",
    "match_layers",
    "pooled_mse_loss",
    "relation_kl_loss",
    "soft_target_loss",
    "token_cosine_loss",
]
