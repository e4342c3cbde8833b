"""A student of another model type than the teacher's, from a few settings: a recurrent one, for example.

It reads with the teacher's tokenizer, so its vocabulary is the teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

from codir.errors import UserError, nearest

SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")


def is_other_type(teacher: PreTrainedConfig, settings: Mapping[str, Any]) -> bool:
    """Whether settings name a model type that is not the teacher's."""
    return settings.get("model_type", teacher.model_type) != teacher.model_type


def config_of_type(teacher: PreTrainedModel, settings: Mapping[str, Any]) -> PreTrainedConfig:
    """Build the config of `settings["model_type"]` with the teacher's vocabulary; all else is that type's default.

    Raises:
        UserError: a type that transformers does not have, or a setting that the type does not have.
    """
    name = settings["model_type"]
    if name not in CONFIG_MAPPING:
        raise UserError(
            "student config.model_type",
            expected="a model type of transformers, or `codir-bilstm`",
            got=repr(name),
            do=nearest(str(name), CONFIG_MAPPING),
        )
    vocabulary, width = teacher.get_input_embeddings().weight.shape
    own = {key: value for key, value in settings.items() if key != "model_type"}
    if own.get("embedding_size") == "teacher":
        own["embedding_size"] = width
    config_class = CONFIG_MAPPING[name]
    check_settings(config_class(), own)
    special = {key: getattr(teacher.config, key, None) for key in SPECIAL_TOKENS}
    given = {key: value for key, value in special.items() if value is not None}
    return config_class(**{"vocab_size": vocabulary, **given, **own})


def check_settings(config: PreTrainedConfig, settings: Mapping[str, Any]) -> None:
    """Refuse a setting that configs of this class do not have: they would take it, and nothing would come of it."""
    known = {*config.to_dict(), *config.attribute_map}
    for name in settings:
        if name not in known:
            raise UserError(
                "student config",
                expected=f"settings of {type(config).__name__}",
                got=f"{name!r}",
                otherwise="it would be stored and change nothing",
                do=nearest(name, known),
            )
