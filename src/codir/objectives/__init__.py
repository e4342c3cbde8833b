"""Tensors in, scalar out: one file per objective. Never sees a model, a tokenizer or a configuration."""

from codir.objectives.attention_kl import AttentionKL, attention_kl_loss
from codir.objectives.attention_mse import AttentionMSE, attention_mse_loss
from codir.objectives.base import Objective
from codir.objectives.cls_cosine import ClsCosine, cls_cosine_loss
from codir.objectives.contrast.estimators import Estimator
from codir.objectives.contrast.heads import MLPHead, ProjectionHead
from codir.objectives.contrast.info_nce import grouped_info_nce, info_nce, info_nce_from_scores
from codir.objectives.contrast.jsd import jsd
from codir.objectives.contrast.keys import GroupedKeys, SharedKeys, hardest
from codir.objectives.contrast.nce import log_mean_exp, nce
from codir.objectives.contrast.soft import soft_contrast
from codir.objectives.contrast.space import ContrastSpace
from codir.objectives.contrast.supcon import supcon
from codir.objectives.contrast.temperature import Temperature
from codir.objectives.contrastive import Contrastive
from codir.objectives.embedding_contrast import EmbeddingContrast
from codir.objectives.embedding_cosine import EmbeddingCosine, embedding_cosine_loss
from codir.objectives.embedding_mse import EmbeddingMSE, embedding_mse_loss
from codir.objectives.hard_label import HardLabel, hard_label_loss
from codir.objectives.hidden_mse import HiddenMSE, hidden_mse_loss
from codir.objectives.listwise_kl import ListwiseKL, listwise_kl_loss
from codir.objectives.logit_mse import LogitMSE, logit_mse_loss
from codir.objectives.margin_mse import MarginMSE, margin_mse_loss
from codir.objectives.parts.layer_map import match_layers
from codir.objectives.pooled_mse import PooledMSE, pooled_mse_loss
from codir.objectives.relation_kl import RelationKL, relation_kl_loss
from codir.objectives.soft_target import SoftTarget, soft_target_loss
from codir.objectives.staged import Objectives, Stage, StagedObjectives
from codir.objectives.token_cosine import TokenCosine, token_cosine_loss
from codir.objectives.token_kl import TokenKL, token_kl_loss
from codir.objectives.token_label import TokenLabel, token_label_loss
from codir.objectives.weighted import WeightedObjectives
from codir.objectives.word_contrast import WordContrast, word_contrast_loss

__all__ = [
    "AttentionKL",
    "AttentionMSE",
    "ClsCosine",
    "ContrastSpace",
    "Contrastive",
    "EmbeddingContrast",
    "EmbeddingCosine",
    "EmbeddingMSE",
    "Estimator",
    "GroupedKeys",
    "HardLabel",
    "HiddenMSE",
    "ListwiseKL",
    "LogitMSE",
    "MLPHead",
    "MarginMSE",
    "Objective",
    "Objectives",
    "PooledMSE",
    "ProjectionHead",
    "RelationKL",
    "SharedKeys",
    "SoftTarget",
    "Stage",
    "StagedObjectives",
    "Temperature",
    "TokenCosine",
    "TokenKL",
    "TokenLabel",
    "WeightedObjectives",
    "WordContrast",
    "attention_kl_loss",
    "attention_mse_loss",
    "cls_cosine_loss",
    "embedding_cosine_loss",
    "embedding_mse_loss",
    "grouped_info_nce",
    "hard_label_loss",
    "hardest",
    "hidden_mse_loss",
    "info_nce",
    "info_nce_from_scores",
    "jsd",
    "listwise_kl_loss",
    "log_mean_exp",
    "logit_mse_loss",
    "margin_mse_loss",
    "match_layers",
    "nce",
    "pooled_mse_loss",
    "relation_kl_loss",
    "soft_contrast",
    "soft_target_loss",
    "supcon",
    "token_cosine_loss",
    "token_kl_loss",
    "token_label_loss",
    "word_contrast_loss",
]
