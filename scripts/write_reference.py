"""Write the tables of keys in docs/recipes.md from the models that check recipes.

    python scripts/write_reference.py

A table stands between `<!-- keys: data -->` and `<!-- /keys -->`. What is around it is prose, and stays.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from codir import config
from codir.config import Room, TrainerOptions
from codir.config.explain import parts_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
TABLE = re.compile(r"(?P<begin><!-- keys: (?P<name>[\w. -]+) -->\n)(?P<table>.*?)(?P<end><!-- /keys -->)", re.DOTALL)
SECTIONS: dict[str, type[BaseModel]] = {
    "recipe": config.Recipe,
    "teacher": config.TeacherConfig,
    "data": config.DataConfig,
    "corpus": config.CorpusConfig,
    "student": config.StudentConfig,
    "objectives": config.ObjectivesConfig,
    "objectives.hard_label": config.HardLabelConfig,
    "objectives.soft_target": config.SoftTargetConfig,
    "objectives.logit_mse": config.LogitMSEConfig,
    "objectives.margin_mse": config.MarginMSEConfig,
    "objectives.listwise_kl": config.ListwiseKLConfig,
    "layer-wise": config.LayerWiseConfig,
    "objectives.pooled_mse": config.PooledMSEConfig,
    "objectives.cls_cosine": config.ClsCosineConfig,
    "objectives.token_cosine": config.TokenCosineConfig,
    "objectives.hidden_mse": config.HiddenMSEConfig,
    "objectives.attention_mse": config.AttentionMSEConfig,
    "objectives.attention_kl": config.AttentionKLConfig,
    "objectives.relation_kl": config.RelationKLConfig,
    "objectives.token_label": config.TokenLabelConfig,
    "objectives.token_kl": config.TokenKLConfig,
    "objectives.contrastive": config.ContrastiveConfig,
    "objectives.word_contrast": config.WordContrastConfig,
    "vectors": config.VectorConfig,
    "objectives.embedding_mse": config.EmbeddingMSEConfig,
    "objectives.embedding_cosine": config.EmbeddingCosineConfig,
    "objectives.embedding_contrast": config.EmbeddingContrastConfig,
    "objectives.stages": config.StageConfig,
    "training": config.TrainingConfig,
    "finetune": config.FinetuneConfig,
    "evaluate": config.EvaluateConfig,
    "export": config.ExportConfig,
    "benchmark": config.BenchmarkConfig,
    "pretrain": config.PretrainRecipe,
    "masking": config.MaskingConfig,
    "training of pretrain": config.PretrainingConfig,
    "compare": config.CompareConfig,
    "compare.presets": config.Contestant,
    "sweep": config.SweepConfig,
}


def write(text: str) -> str:
    """The page with every table written anew."""
    return TABLE.sub(lambda found: f"{found['begin']}{table(SECTIONS[found['name']])}{found['end']}", text)


def table(model: type[BaseModel]) -> str:
    """Key, default and meaning of a section's own keys; nothing where it has none."""
    rows = [f"| `{name}` | {default_of(model, name)} | {meaning_of(model, name)} |\n" for name in own_keys(model)]
    return "".join(["| key | default | meaning |\n", "|---|---|---|\n", *rows]) if rows else ""


def own_keys(model: type[BaseModel]) -> list[str]:
    """Keys that no section above has with the same default; options of transformers are listed there, not here."""
    parents = [
        parent for parent in model.__bases__ if issubclass(parent, BaseModel) and parent not in (BaseModel, Room)
    ]
    inherited = {name: field.default for parent in parents for name, field in parent.model_fields.items()}
    return [
        name
        for name, field in model.model_fields.items()
        if name not in inherited or (field.default is not PydanticUndefined and field.default != inherited[name])
    ]


def default_of(model: type[BaseModel], name: str) -> str:
    """As a recipe spells it; `required`, or `section` where the section has defaults of its own."""
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return "section"
    default = str(field.default) if isinstance(field.default, Path) else field.default
    return f"`{yaml.safe_dump(default, default_flow_style=True).strip().removesuffix('...').strip()}`"


def meaning_of(model: type[BaseModel], name: str) -> str:
    """What the field says of itself, and its choices."""
    field = model.model_fields[name]
    choices = [f"`{word}`" for word in dict.fromkeys(parts_of(field.annotation)) if isinstance(word, str)]
    words = f"one of {', '.join(choices)}" if len(choices) > 1 else ""
    text = " ".join((field.description or "").split()).removesuffix(".")
    is_word = text[1:2].islower() or text.startswith("A ")
    return "; ".join(part for part in (text[:1].lower() + text[1:] if is_word else text, words) if part)


def undocumented() -> set[type[BaseModel]]:
    """Sections of a recipe without a table; the bare options of transformers have transformers' own reference."""
    public = {getattr(config, name) for name in config.__all__}
    models = {model for model in public if isinstance(model, type) and issubclass(model, BaseModel)}
    return models - {Room, TrainerOptions} - set(SECTIONS.values())


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text("utf-8")), "utf-8")
