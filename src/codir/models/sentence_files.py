"""The files by which sentence-transformers knows how a model's tokens become one vector: read, and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from codir.config.words import SENTENCE_POOLING, SentencePooling
from codir.errors import UserError

MODULES, POOLING, DENSE = "modules.json", "1_Pooling", "2_Dense"
TRANSFORMER_FILE, PROMPTS_FILE = "sentence_bert_config.json", "config_sentence_transformers.json"
POOLINGS: Mapping[str, SentencePooling] = {"mean": "mean", "cls": "first", "lasttoken": "last"}
"""Words of sentence-transformers, and what they are here."""
FLAGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}
OTHER_FLAGS = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens")
IDENTITY = "torch.nn.modules.linear.Identity"


@dataclass(frozen=True)
class SentenceShape:
    """How the tokens of a text become one vector; it is normalised in the end, always.

    Attributes:
        pooling: the mean of all tokens, the first one (`[CLS]`), or the last.
        dense: width that a dense map ends in; `None` where there is none.
        max_length: tokens per text that the model was made for; `None` where nothing says so.
    """

    pooling: SentencePooling = SENTENCE_POOLING
    dense: int | None = None
    max_length: int | None = None


def is_sentence_encoder(path: str | Path) -> bool:
    """Whether a folder, or a name on the hub, says that it is a model of sentence-transformers."""
    return _file(path, MODULES) is not None


def read_shape(path: str | Path) -> SentenceShape | None:
    """How the tokens of this model become one vector; `None` where no file says so.

    Raises:
        UserError: modules in another order than encoder, pooling, dense, normalisation, or others than these; or a
            prompt that stands before every text.
    """
    modules = _read(path, MODULES)
    if modules is None:
        return None
    default = (_read(path, PROMPTS_FILE) or {}).get("default_prompt_name")
    if default is not None and (prompt := read_prompts(path).get(default)) is not None:
        raise UserError(
            f"model {path}",
            expected="a sentence encoder that reads texts as they stand",
            got=f"the default prompt {prompt!r} in {PROMPTS_FILE}",
            otherwise="its vectors would have been others than sentence-transformers gives",
            do="write the prompt into your texts, and set `default_prompt_name` to null in a copy of that file",
        )
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    known = [name for name in ("Transformer", "Pooling", "Dense", "Normalize") if name in kinds]
    if kinds != known or kinds[:2] != ["Transformer", "Pooling"] or modules[0]["path"]:
        raise UserError(
            f"model {path}",
            expected="an encoder in the folder itself, then Pooling, and perhaps Dense and Normalize",
            got=", ".join(kinds),
            otherwise="its vectors would have been others than sentence-transformers gives",
            do="take a sentence encoder that is made so",
        )
    places = dict(zip(kinds, (module["path"] for module in modules), strict=True))
    limit = (_read(path, TRANSFORMER_FILE) or {}).get("max_seq_length")
    dense = _dense(path, places["Dense"]) if "Dense" in places else None
    return SentenceShape(_pooling(path, _read(path, f"{places['Pooling']}/config.json") or {}), dense, limit)


def read_prompts(path: str | Path) -> dict[str, str]:
    """What sentence-transformers puts before texts where it is told to, by name; prompts without a letter are none."""
    found = (_read(path, PROMPTS_FILE) or {}).get("prompts") or {}
    return {str(name): str(prompt) for name, prompt in found.items() if prompt}


def write_modules(folder: Path, shape: SentenceShape, *, hidden: int) -> None:
    """Write the files that make a folder with an encoder a model of sentence-transformers.

    Args:
        folder: is there; the weights of a dense map are written elsewhere.
        shape: how tokens become one vector.
        hidden: width of the encoder.
    """
    names = ["Transformer", "Pooling", *(["Dense"] if shape.dense else []), "Normalize"]
    paths = {"Transformer": "", "Pooling": POOLING, "Dense": DENSE, "Normalize": f"{len(names) - 1}_Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": paths[name], "type": f"sentence_transformers.models.{name}"}
        for number, name in enumerate(names)
    ]
    word = next(word for word, pooling in POOLINGS.items() if pooling == shape.pooling)
    pooling = dict.fromkeys(OTHER_FLAGS, False) | {flag: one == word for one, flag in FLAGS.items()}
    _write(folder / MODULES, modules)
    _write(folder / POOLING / "config.json", {"word_embedding_dimension": hidden, **pooling})
    _write(folder / TRANSFORMER_FILE, {"max_seq_length": shape.max_length, "do_lower_case": False})
    _write(folder / PROMPTS_FILE, {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"})
    if shape.dense:
        sizes = {"in_features": hidden, "out_features": shape.dense, "bias": True}
        _write(folder / DENSE / "config.json", {**sizes, "activation_function": IDENTITY})


def _pooling(path: str | Path, said: Mapping[str, Any]) -> SentencePooling:
    """Newer files name the pooling, older ones have a flag for each."""
    named = said.get("pooling_mode")
    words = [named] if isinstance(named, str) else list(named or ())
    if not words:
        words = [word for word, flag in FLAGS.items() if said.get(flag)]
        words += [flag.removeprefix("pooling_mode_") for flag in OTHER_FLAGS if said.get(flag)]
    if len(words) == 1 and words[0] in POOLINGS:
        return POOLINGS[words[0]]
    raise UserError(
        f"model {path}",
        expected=f"one pooling: {', '.join(POOLINGS)}",
        got=" and ".join(words) or "none",
        do="take a sentence encoder with one of these",
    )


def _dense(path: str | Path, place: str) -> int:
    """The width that the dense map ends in."""
    said = _read(path, f"{place}/config.json") or {}
    if place != DENSE or said.get("activation_function") != IDENTITY:
        raise UserError(
            f"model {path}",
            expected=f"a dense map in {DENSE} without an activation",
            got=f"{place} with {said.get('activation_function')}",
            do="take a sentence encoder that ends in a linear map, or in none",
        )
    return int(said["out_features"])


def _file(path: str | Path, name: str) -> Path | None:
    if Path(path).exists():
        return Path(path) / name if (Path(path) / name).is_file() else None
    try:
        found = cached_file(str(path), name, _raise_exceptions_for_missing_entries=False)
    except OSError:  # no such name, which loading the model itself says better
        return None
    return None if found is None else Path(found)


def _read(path: str | Path, name: str) -> Any:
    file = _file(path, name)
    if file is None:
        return None
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(
            f"model {path}", expected=f"a {name} that can be read", got=f"{error}", do="download it again"
        ) from error


def _write(file: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
