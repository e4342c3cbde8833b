"""Make the student: from layers of the teacher, from any other checkpoint, or from a config with random weights.

Whatever the start, the student takes the teacher's kind of head, labels and dtype, comes back in train mode, shares no
storage with the teacher, and carries a `StudentOrigin` that says in plain words how it was made. It is an ordinary
`transformers` model: saved, it loads without codir (a recurrent one loads once codir is imported). Knows nothing of
data, tokenizers, losses or training.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from codir.config.words import LAYER_SELECTION, EmbeddingStart, LayerSelection
from codir.errors import UserError, nearest
from codir.errors.shown import counted
from codir.models import (
    SentenceEncoder,
    auto_class_of,
    check_label_order,
    check_loaded,
    check_one_stack,
    check_size,
    check_source,
    give_logits,
    has_new_head,
    kind_of_model,
    language_class,
    library_errors,
    load_model_for_task,
    note_shape,
    vocabulary_of,
)
from codir.student.embeddings import start_embeddings
from codir.student.layers import copy_layers, select_layers
from codir.student.other_type import check_settings, config_of_type, is_other_type
from codir.system import seeded
from codir.tasks import NAMED_IN_CONFIG, kind_of_head, name_kind
from codir.tasks.thresholds import forget

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudentOrigin:
    """How a student was made.

    Attributes:
        kind: whether its weights were copied from the teacher, loaded from a checkpoint, or drawn at random.
        teacher_layers: the 1-based teacher layers that became its own, where there are such.
        notes: what a reader would not expect: weights that are new, or that the student had no place for.
        has_new_head: whether the weights that give its answers are random.

    Example:
        >>> print(StudentOrigin("copied", (1, 3, 5)))
        weights copied from the teacher's layers 1, 3, 5
    """

    kind: Literal["copied", "checkpoint", "random"]
    teacher_layers: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    has_new_head: bool = False

    def __str__(self) -> str:
        start = {
            "copied": "weights copied from the teacher",
            "checkpoint": "weights loaded from a checkpoint",
            "random": "weights drawn at random",
        }[self.kind]
        several = "s" if self.teacher_layers and len(self.teacher_layers) > 1 else ""
        layers = f"'s layer{several} {', '.join(map(str, self.teacher_layers))}" if self.teacher_layers else ""
        return "; ".join([start + layers, *self.notes])


def student_origin(student: nn.Module) -> StudentOrigin | None:
    """Say how `build_student` made this model; `None` for a model that it did not make."""
    origin = getattr(student, "codir_origin", None)
    return origin if isinstance(origin, StudentOrigin) else None


def build_student(
    teacher: PreTrainedModel,
    *,
    layers: int | Sequence[int] | None = None,
    selection: LayerSelection = LAYER_SELECTION,
    checkpoint: str | Path | None = None,
    config: PreTrainedConfig | Mapping[str, Any] | None = None,
    embeddings: EmbeddingStart | None = None,
    dense: bool = False,
    seed: int = 0,
) -> PreTrainedModel:
    """Build a student for `teacher` in one of three ways; exactly one of `layers`, `checkpoint`, `config` is given.

    Args:
        teacher: the fine-tuned model, or a language model; it is read and never changed.
        layers: how many of the teacher's layers to copy, or which ones (1-based). Embeddings, pooler, classification
            head and everything else outside the layers come along.
        selection: which layers; refused unless `layers` is a number.
        checkpoint: a folder or hub name. Its head is kept if it is of the teacher's kind, with as many labels.
        config: a config, or settings to change in the teacher's (`{"hidden_size": 192, "num_attention_heads": 4}`).
            With another `model_type` than the teacher's they are settings of that type, with the teacher's vocabulary:
            `{"model_type": "codir-bilstm", "hidden_size": 256}` is a recurrent student. `"embedding_size": "teacher"`
            has embeddings as wide as the teacher's, where the type has such a setting.
        embeddings: how the embeddings of a student from `config` start. `teacher`: from the teacher's, projected to the
            student's width by PCA, see `codir.student.embeddings`; `random`: as all else. By default `teacher`
            wherever the two share their vocabulary and the student is no wider.
        dense: for a teacher of sentence vectors: end in a dense map to its width, which the student keeps.
        seed: for weights that start at random. The global random state is left as it was.

    Returns:
        The student in train mode, with the teacher's labels and dtype.

    Raises:
        UserError: where not exactly one start is given, or the one given does not fit.

    Example:
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> size = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
        >>> teacher = BertForSequenceClassification(BertConfig(num_hidden_layers=6, **size))
        >>> print(student_origin(build_student(teacher, layers=3)))
        weights copied from the teacher's layers 1, 3, 5
    """
    _check_one_start(layers=layers, checkpoint=checkpoint, config=config)
    check_options(layers=layers, selection=selection, config=config, embeddings=embeddings)
    if dense and not isinstance(teacher, SentenceEncoder):
        raise _no_vectors(type(teacher).__name__)
    with seeded(seed):
        if layers is not None:
            student, origin = _copy_from_teacher(teacher, layers, selection)
        elif checkpoint is not None:
            student, origin = _load_checkpoint(teacher, checkpoint)
        else:
            assert config is not None
            student, origin = _start_at_random(teacher, config, embeddings)
        if dense:
            origin = replace(origin, notes=(*origin.notes, _end_in_dense(student, teacher.config.num_labels)))
    give_logits(student)
    forget(student.config)  # its own thresholds are tuned once it is trained
    return _of_origin(student, origin)


def load_student(
    checkpoint: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    head: Mapping[str, Any],
    *,
    dense: bool = False,
    seed: int = 0,
) -> PreTrainedModel:
    """The student of a teacher that is no model: another checkpoint, with a head for the task.

    Args:
        checkpoint: a folder or hub name. Its head is kept if it answers as many classes, in the same order.
        tokenizer: that it reads with.
        head: `num_labels`, `id2label` and what else the head has to know. Where the task is sentence vectors,
            `num_labels` is how wide the teacher's are, and there is no head.
        dense: for sentence vectors: end in a dense map to the teacher's width, which the student keeps.
        seed: for weights that start at random. The global random state is left as it was.

    Returns:
        The student in train mode; `student_origin` says how it starts.

    Raises:
        UserError: nothing can be loaded, or a trained head has the same classes in another order; `dense` for another
            task; for sentence vectors, an encoder with a decoder.
    """
    kind = kind_of_head(head)
    if dense and not kind.reads_apart:
        raise _no_vectors(f"a file of answers to `{kind.name}`")
    check_source(checkpoint)
    with library_errors(checkpoint, "student checkpoint"):
        before = AutoConfig.from_pretrained(checkpoint)
    notes = [f"read from {checkpoint}"]
    with seeded(seed):
        own_head = None if kind.reads_apart else head
        student, is_new = load_model_for_task(checkpoint, tokenizer, head=own_head, kind=kind)
        if dense:
            notes.append(_end_in_dense(student, head["num_labels"]))
    if is_new:
        notes.append("new, with random weights: the head")
    elif not kind.reads_apart:
        old, new = ([str(names[index]) for index in sorted(names)] for names in (before.id2label, head["id2label"]))
        check_label_order(old, new, whose="the student checkpoint's")
        if old != new:
            notes.append(f"its head was trained for {', '.join(old)} and now stands for {', '.join(new)}")
    return _of_origin(student, StudentOrigin("checkpoint", notes=tuple(notes), has_new_head=is_new))


def _end_in_dense(student: PreTrainedModel, width: int) -> str:
    """Let sentence vectors end in a dense map; gives a note."""
    assert isinstance(student, SentenceEncoder)
    student.add_dense(width)
    return f"with a dense map to {width}"


def _no_vectors(teacher: str) -> UserError:
    return UserError(
        "student.dense",
        expected="a teacher that gives sentence vectors",
        got=teacher,
        otherwise="there would have been no vector to map",
        do="leave `dense` out",
    )


def _of_origin(student: PreTrainedModel, origin: StudentOrigin) -> PreTrainedModel:
    """A finished student, in train mode; how it starts is noted on it, and logged."""
    student.codir_origin, depth = origin, student.config.num_hidden_layers
    logger.info("Student of %s: %s.", counted(depth, "layer"), origin)
    return student.train()


def _check_one_start(**starts: object) -> None:
    given = [name for name, value in starts.items() if value is not None]
    if len(given) != 1:
        raise UserError(
            "student",
            expected="exactly one of `layers`, `checkpoint` and `config`",
            got=" and ".join(f"`{name}`" for name in given) or "none",
            do="say one way to start: layers of the teacher, another checkpoint, or a config with random weights",
        )


def check_options(*, layers: object, selection: str, config: object, embeddings: object) -> None:
    """Refuse options of another start than the student's, and words that are none.

    Args:
        layers: as in `build_student`; `None` where the student starts otherwise.
        selection: which layers; its default asks for nothing.
        config: as in `build_student`; `None` where the student starts otherwise.
        embeddings: how those of a student from `config` start; `None` asks for nothing.

    Raises:
        UserError: `selection` without a number of layers, or `embeddings` without `config`.
    """
    if selection != LAYER_SELECTION and not isinstance(layers, int):
        raise UserError(
            "student.selection",
            expected="a number of layers, out of which it chooses",
            got=f"`{selection}` for a student "
            + ("that copies no layers" if layers is None else "of layers that are named"),
            otherwise="it would have had no effect",
            do=f"leave `selection` out; over a recipe that has it, give `--selection {LAYER_SELECTION}`",
        )
    words = get_args(EmbeddingStart)
    if embeddings is not None and embeddings not in words:
        raise UserError(
            "student.embeddings", expected=" or ".join(words), got=repr(embeddings), do=nearest(str(embeddings), words)
        )
    if embeddings is not None and config is None:
        raise UserError(
            "student.embeddings",
            expected="a student from `config`",
            got=f"`{embeddings}` for a student whose embeddings come with its layers or its checkpoint",
            otherwise="it would have had no effect",
            do="leave `embeddings` out",
        )


def _copy_from_teacher(
    teacher: PreTrainedModel, layers: int | Sequence[int], selection: LayerSelection
) -> tuple[PreTrainedModel, StudentOrigin]:
    depth = teacher.config.num_hidden_layers
    if isinstance(layers, int):
        chosen = select_layers(depth, layers, selection)
    else:
        chosen = select_layers(depth, len(layers), layers)
    student, copied_layers, notes = copy_layers(teacher, chosen)
    return student, StudentOrigin("copied", copied_layers, notes)


def _load_checkpoint(teacher: PreTrainedModel, checkpoint: str | Path) -> tuple[PreTrainedModel, StudentOrigin]:
    with library_errors(checkpoint, "student checkpoint"):
        config = AutoConfig.from_pretrained(checkpoint)
        check_size(config, f"student checkpoint {checkpoint}")
        check_one_stack(config, f"student checkpoint {checkpoint}")
        student, outcome = _class_for_task_of(teacher, config).from_pretrained(
            checkpoint,
            config=_for_task_of(teacher, config),
            dtype=teacher.dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    check_loaded(checkpoint, student, outcome, new_head=True)
    new = sorted({*outcome["missing_keys"], *(name for name, *_ in outcome["mismatched_keys"])})
    notes = [f"read from {checkpoint}"]
    if new:
        notes.append(f"new, with random weights: {', '.join(new)}")
    elif not isinstance(student, SentenceEncoder) and config.id2label != teacher.config.id2label:
        notes.append(f"its head was trained for {_labels(config)} and now stands for {_labels(teacher.config)}")
    return student, StudentOrigin("checkpoint", notes=tuple(notes), has_new_head=has_new_head(student, outcome))


def _start_at_random(
    teacher: PreTrainedModel, config: PreTrainedConfig | Mapping[str, Any], embeddings: EmbeddingStart | None
) -> tuple[PreTrainedModel, StudentOrigin]:
    try:
        whole = config if isinstance(config, PreTrainedConfig) else _config_from(teacher, config)
        check_one_stack(whole, "student config")
        auto = _class_for_task_of(teacher, whole)
        check_size(whole, "student config")
        student = auto.from_config(_for_task_of(teacher, whole), dtype=teacher.dtype)
    except UserError:
        raise
    except Exception as error:  # transformers and torch raise what each setting happens to hit: shapes, memory, types
        raise UserError(
            "student config",
            expected="settings that transformers can build a model from",
            got=_one_line(error),
            do="change that setting; `hidden_size`, for example, must be a multiple of `num_attention_heads`",
        ) from error
    start = start_embeddings(teacher, student, embeddings)
    return student, StudentOrigin("random", notes=() if start is None else (start,), has_new_head=True)


def _config_from(teacher: PreTrainedModel, settings: Mapping[str, Any]) -> PreTrainedConfig:
    """A whole config out of some settings: of the teacher's own type, or of the one that they name."""
    if is_other_type(teacher.config, settings):
        return config_of_type(teacher, settings)
    check_settings(teacher.config, settings)
    return _override(teacher.config, settings)


def _override(config: PreTrainedConfig, changes: Mapping[str, Any]) -> PreTrainedConfig:
    """Change settings of the teacher's config, and with them those that the teacher itself derives from them."""
    before = config.to_dict()
    changes = {config.attribute_map.get(name, name): value for name, value in changes.items()}
    implied_before, implied_after = _implied(config, before), _implied(config, before | changes)
    follow: dict[str, Any] = {
        name: implied_after[name] for name in implied_before if before.get(name) == implied_before[name]
    }
    if "layer_types" in before and "num_hidden_layers" in changes:
        follow["layer_types"] = None  # the config class lays its own pattern over the new depth
    return type(config).from_dict(before | follow | changes)


def _implied(config: PreTrainedConfig, settings: Mapping[str, Any]) -> dict[str, int]:
    """What width and heads imply for settings that would otherwise stay at the teacher's size."""
    width = settings[config.attribute_map.get("hidden_size", "hidden_size")]
    heads = settings.get(config.attribute_map.get("num_attention_heads", "num_attention_heads"))
    if heads is None:  # a recurrent model
        return {}
    return {
        "head_dim": width // heads,
        "d_head": width // heads,
        "num_key_value_heads": heads,
        "pooler_hidden_size": width,
    }


def _class_for_task_of(teacher: PreTrainedModel, config: PreTrainedConfig) -> Any:
    """The auto class that gives a model of this type the teacher's kind of head."""
    return language_class(config) if vocabulary_of(teacher) else auto_class_of(kind_of_model(teacher))


def _for_task_of(teacher: PreTrainedModel, config: PreTrainedConfig) -> PreTrainedConfig:
    """The same config with the teacher's labels, so that the student's logits stand for the same classes."""
    adapted = copy.deepcopy(config)
    if isinstance(teacher, SentenceEncoder):
        note_shape(adapted, teacher.shape)
        return adapted
    for name in ("id2label", "label2id", "problem_type"):
        if hasattr(teacher.config, name):
            setattr(adapted, name, copy.deepcopy(getattr(teacher.config, name)))
    name_kind(adapted, getattr(teacher.config, NAMED_IN_CONFIG, None))
    return adapted


def _labels(config: PreTrainedConfig) -> str:
    return ", ".join(str(config.id2label[index]) for index in sorted(config.id2label))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
