"""Tensors in, scalar out: one file per objective. Never sees a model, a tokenizer or a configuration."""

from codir.objectives.attention_kl import AttentionKL, attention_kl_loss
from codir.objectives.attention_mse import AttentionMSE, attention_mse_loss
from codir.objectives.cls_cosine import ClsCosine, cls_cosine_loss
from codir.objectives.hidden_mse import HiddenMSE, hidden_mse_loss
from codir.objectives.layer_map import match_layers
from codir.objectives.logit_mse import LogitMSE, logit_mse_loss
from codir.objectives.pooled_mse import PooledMSE, pooled_mse_loss
from codir.objectives.relation_kl import RelationKL, relation_kl_loss
from codir.objectives.token_cosine import TokenCosine, token_cosine_loss
from codir.objectives.base import Objective
from codir.objectives.contrast_space import ContrastSpace
from codir.objectives.contrastive import Anchor, Contrastive
from codir.objectives.estimators import Estimator
from codir.objectives.hard_label import HardLabel, hard_label_loss
from codir.objectives.heads import MLPHead, ProjectionHead
from codir.objectives.info_nce import grouped_info_nce, info_nce, info_nce_from_scores
from codir.objectives.jsd import jsd
from codir.objectives.keys import GroupedKeys, SharedKeys, hardest
from codir.objectives.nce import log_mean_exp, nce
from codir.objectives.soft_target import SoftTarget, soft_target_loss
from codir.objectives.staged import Objectives, Stage, StagedObjectives
from codir.objectives.supcon import supcon
from codir.objectives.temperature import Temperature
from codir.objectives.weighted import WeightedObjectives

__all__ = [
    "AttentionKL",
    "attention_kl_loss",
    "AttentionMSE",
    "attention_mse_loss",
    "ClsCosine",
    "cls_cosine_loss",
    "HiddenMSE",
    "hidden_mse_loss",
    "match_layers",
    "LogitMSE",
    "logit_mse_loss",
    "PooledMSE",
    "pooled_mse_loss",
    "RelationKL",
    "relation_kl_loss",
    "TokenCosine",
    "token_cosine_loss",
    "Anchor",
    "ContrastSpace",
    "Contrastive",
    "Estimator",
    "GroupedKeys",
    "HardLabel",
    "MLPHead",
    "Objective",
    "Objectives",
    "ProjectionHead",
    "SharedKeys",
    "SoftTarget",
    "Stage",
    "StagedObjectives",
    "Temperature",
    "WeightedObjectives",
    "grouped_info_nce",
    "hard_label_loss",
    "hardest",
    "info_nce",
    "info_nce_from_scores",
    "jsd",
    "log_mean_exp",
    "nce",
    "soft_target_loss",
    "supcon",
]
