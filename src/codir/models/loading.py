"""Load models and tokenizers with the checks that their users forget: weights that fit, a trained head, real words.

Knows transformers; knows nothing of codir's rooms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import HfApi, try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from codir.errors import UserError, naming
from codir.errors.shown import as_text
from codir.models.language import language_class
from codir.models.sentence import SentenceEncoder
from codir.models.sentence_files import is_sentence_encoder
from codir.models.shape import check_size
from codir.models.spans import give_logits
from codir.tasks import KINDS, NAMED_IN_CONFIG, Kind, kind_of_config, kind_of_head, name_kind
from codir.tasks.thresholds import forget


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer; one without a padding token (GPT-2, Llama) pads with its end-of-text token.

    Raises:
        UserError: there is no tokenizer at `path`, on disk or on the hub, or only its special tokens.
    """
    check_source(path)
    with library_errors(path, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path)
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):  # made up where there are no files
        raise UserError(
            "tokenizer",
            expected="a folder with the tokenizer's files, such as tokenizer.json",
            got=f"{path}, whose tokenizer has special tokens only",
            otherwise="every word would have been read as unknown",
            do="save the model's own tokenizer into that folder with `tokenizer.save_pretrained(...)`",
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    head: Mapping[str, Any] | None = None,
    kind: Kind | None = None,
) -> PreTrainedModel:
    """Load a model of any kind of task in fp32; see `load_model_for_task`."""
    return load_model_for_task(path, tokenizer, head=head, kind=kind)[0]


def load_model_for_task(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    head: Mapping[str, Any] | None = None,
    kind: Kind | None = None,
) -> tuple[PreTrainedModel, bool]:
    """Load a model of any kind of task in fp32, and say whether its head is new.

    Args:
        path: a model folder or a name on the hub.
        tokenizer: gives the padding token where the model's configuration names none.
        head: `num_labels` and the like for a model that still needs a head, of the kind that they say; `None` demands a
            trained one.
        kind: of the task, where it was named: a bare encoder can be read as one of sentences.

    Raises:
        UserError: nothing can be loaded from `path`, its weights do not fit its config, it answers a kind of task that
            codir does not have, or it has no trained head and `head` is `None`.
    """
    check_source(path)
    head = None if head is None else dict(head)
    with library_errors(path):
        config = AutoConfig.from_pretrained(path)
        check_size(config, f"model {path}")
        kind = kind_of_head(head) if head else kind_of_folder(path, config, kind)
        named = head.pop(NAMED_IN_CONFIG, None) if head else None  # no argument of transformers, saved with the rest
        model, found = auto_class_of(kind).from_pretrained(
            path, output_loading_info=True, dtype="float32", ignore_mismatched_sizes=True, **(head or {})
        )
    check_loaded(path, model, found, new_head=head is not None)
    if head is not None:  # what the folder says of another head than this one is no longer true
        name_kind(model.config, named)
        forget(model.config)
    kind_of_config(model.config)
    give_logits(model)
    if head is None and found["missing_keys"]:
        remedy = "fine-tune it first: `codir finetune --model ..."
        raise _without_head(path, model, found["missing_keys"], kind.head_name, remedy)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model, has_new_head(model, found)


def load_shape(folder: Path) -> PreTrainedModel:
    """The model that a folder's config describes, without weights: its sizes and names of classes can be asked.

    Raises:
        UserError: the folder's config is none, or of a kind of task that codir does not have.
    """
    check_source(folder)
    with library_errors(folder), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder)
        check_size(config, f"model {folder}")
        model: PreTrainedModel = auto_class_of(kind_of_config(config)).from_config(config)
    return give_logits(model)


def auto_class_of(kind: Kind) -> Any:
    """The class that loads a model of this kind: one of `transformers`, or an encoder that is pooled to one vector."""
    return SentenceEncoder if kind.reads_apart else getattr(transformers, kind.auto_class)


def kind_of_folder(path: str | Path, config: Any, named: Kind | None = None) -> Kind:
    """What the model in a folder answers: sentence vectors where its files say so, or else as its configuration says.

    Args:
        path: of the model.
        config: of the model.
        named: the kind of the task, where it was named.

    Raises:
        UserError: vectors are wanted of a model that was trained to give something else.
    """
    if is_sentence_encoder(path):
        return KINDS["embedding"]
    found = kind_of_config(config)
    if named is None or not named.reads_apart or found.reads_apart:
        return found
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if "For" in architecture and not architecture.endswith(("ForMaskedLM", "ForPreTraining")):
        raise UserError(
            f"model {path}",
            expected="a sentence encoder, or a bare encoder",
            got=f"{architecture}, which was trained for another task",
            otherwise="its vectors would have been what that task left of them",
            do="name a model of sentence-transformers, or leave `--task embedding` out",
        )
    return named


def load_language_model(path: str | Path, *, needs_head: bool = True) -> PreTrainedModel:
    """Load a language model in fp32: masked or causal, as its type is.

    Args:
        path: a model folder or a name on the hub.
        needs_head: demand a trained head; otherwise a missing one is new, with the embeddings as its output matrix.

    Raises:
        UserError: nothing can be loaded from `path`, its type has no language-model head, or it has no trained one.
    """
    check_source(path)
    settings: dict[str, Any] = {"output_loading_info": True, "dtype": "float32", "ignore_mismatched_sizes": True}
    with library_errors(path):
        config = AutoConfig.from_pretrained(path)
        check_size(config, f"model {path}")
        auto = language_class(config)
        model, found = auto.from_pretrained(path, **settings)
        missing = found["missing_keys"]
        if missing and not needs_head:
            model, _ = auto.from_pretrained(path, **settings, tie_word_embeddings=True)
    check_loaded(path, model, found, new_head=not needs_head)
    if needs_head and missing:
        remedy = "adapt it first: `codir finetune --task mlm --model ..."
        raise _without_head(path, model, missing, "language-model head", remedy)
    return model


def check_loaded(path: str | Path, model: PreTrainedModel, loading: Mapping[str, Any], *, new_head: bool) -> None:
    """Refuse a model that lacks weights or has some of other sizes; transformers would start those at random.

    A head may be new, and so may a pooler, which models pre-trained on tokens alone never had.

    Args:
        path: where it was loaded from.
        model: as transformers made it.
        loading: what transformers says of the weights (`output_loading_info`).
        new_head: whether a head of other sizes is to be made anew.

    Raises:
        UserError: weights of the body do not fit, or are missing.
    """
    sizes = {name: (tuple(saved), tuple(built)) for name, saved, built in loading["mismatched_keys"]}
    wrong = sorted(name for name in sizes if not (new_head and _is_of_head(name, model)))
    if wrong:
        saved, built = sizes[wrong[0]]
        raise _do_not_fit(path, f"{wrong[0]} of {list(saved)} where the config says {list(built)}", len(wrong) - 1)
    lacking = sorted(name for name in loading["missing_keys"] if not _is_of_head(name, model))
    if lacking:
        raise _do_not_fit(path, f"no {lacking[0]}", len(lacking) - 1)
    depth = getattr(model.config, "num_hidden_layers", None)
    beyond = sorted(name for name in loading["unexpected_keys"] if depth and _layer_of(name, model) >= depth)
    if beyond:
        raise _do_not_fit(path, f"{beyond[0]} where the config says {depth} layers", len(beyond) - 1)


def has_new_head(model: PreTrainedModel, loading: Mapping[str, Any]) -> bool:
    """Whether weights that give the answers were not loaded; a pooler is of the body.

    Args:
        model: as transformers made it.
        loading: what transformers says of the weights (`output_loading_info`).
    """
    new = {*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])}
    return any(not name.startswith(f"{model.base_model_prefix}.") and name.endswith("weight") for name in new)


def _is_of_head(name: str, model: PreTrainedModel) -> bool:
    """Whether a weight is above the body, or of its pooler."""
    return not name.startswith(f"{model.base_model_prefix}.") or "pooler" in name


def _layer_of(name: str, model: PreTrainedModel) -> int:
    """The number of the layer that a weight of the body belongs to; -1 where it is of none."""
    numbers = re.findall(r"\.(?:layers?|h|blocks?)\.(\d+)\.", name)
    return int(numbers[0]) if numbers and name.startswith(f"{model.base_model_prefix}.") else -1


def _do_not_fit(path: str | Path, first: str, others: int) -> UserError:
    return UserError(
        f"model {path}",
        expected="weights of the sizes that its config.json says",
        got=first + (f", and {others} others like it" if others else ""),
        otherwise="these weights would have been random numbers, or left out",
        do="restore the config.json that the weights were saved with, or download the model anew",
    )


@contextmanager
def library_errors(path: str | Path, what: str = "model") -> Iterator[None]:
    """Whatever the libraries raise while they read a model's files is one `UserError` with the path and its first line.

    What is in those files decides what is raised, and by which library: errors of JSON, keys, types, shapes, memory.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _not_found(path, what, error) from error


def check_source(path: str | Path) -> None:
    """Refuse at once what cannot be loaded: loading itself would try the hub for a minute first.

    Raises:
        UserError: a folder without a model, or a name that is neither in the local cache nor to be had from the hub.
    """
    looks_local = isinstance(path, Path) or str(path).startswith((".", "/", "~")) or Path(path).exists()
    with naming(path):
        is_there, has_config = Path(path).exists(), (Path(path) / "config.json").is_file()
    if looks_local and not has_config:
        raise UserError(
            "model",
            expected="a folder with a config.json and its weights, or a name on the hub",
            got=f"{path}, which holds none" if is_there else f"{path}, which does not exist",
            do="check the path",
        )
    if looks_local:
        return
    try:
        if try_to_load_from_cache(str(path), "config.json"):
            return
        HfApi().model_info(str(path), timeout=10)
    except Exception as error:  # the hub's client raises its own errors and those of whatever speaks HTTP for it
        raise _not_found(path, "model", error) from error


def _without_head(
    path: str | Path, model: PreTrainedModel, missing: Iterable[str], kind: str, remedy: str
) -> UserError:
    """A model whose weights lack those of its head; `remedy` is the beginning of the command that trains one."""
    architecture = (model.config.architectures or ["no architecture"])[0]
    return UserError(
        f"model {path}",
        expected=f"a model with a trained {kind}",
        got=f"the weights of {architecture}, without {', '.join(sorted(missing))}",
        otherwise="its head would have been random numbers",
        do=f"{remedy} --data ... --output-dir ...`; to distil the vectors of a bare encoder, give `--task embedding`",
    )


def _not_found(path: str | Path, what: str, error: Exception) -> UserError:
    said = " ".join(as_text(error).split("\n", 1)[0].split()) or type(error).__name__
    if Path(path).is_dir():
        expected, do = "a folder that transformers can load", "save or download it again"
    else:
        expected = "a model folder, or a name on a hub that can be reached"
        do = "check the spelling, or download it and give the folder's path"
    return UserError(what, expected=expected, got=f"{path} ({said})", do=do)
