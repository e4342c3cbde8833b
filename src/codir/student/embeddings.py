"""A student with new weights begins with the teacher's embeddings: copied, or projected to its own width.

Knows two models; knows nothing of other ways to start a student.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from codir.config.words import EmbeddingStart
from codir.errors import UserError
from codir.signals import principal_axes

STANDARD_DEVIATION = 0.05
"""Of projected token embeddings; BERT's own have about this one."""


def start_embeddings(teacher: PreTrainedModel, student: PreTrainedModel, wanted: EmbeddingStart | None) -> str | None:
    """Give a new student the teacher's embeddings; says so in words, or gives `None` where it keeps its own.

    A narrower student gets `E_S = s (E_T - mean) V_H`: the teacher's token embeddings on their first H principal axes,
    H the student's width, scaled by one s to a standard deviation of 0.05. Positions and token types, where the two
    have such tables under the same name, take the same axes and the same s, each table less its own mean: what all
    tokens have in common tells none from another. A student of the teacher's width gets copies.

    Args:
        teacher: read and never changed.
        student: changed in place.
        wanted: `teacher`, `random`, or `None` for `teacher` wherever that can be.

    Raises:
        UserError: `teacher` is asked for and cannot be: another vocabulary, or a wider student.
    """
    of_teacher, of_student = _table(teacher).cpu(), _table(student)  # not all devices have double precision
    if wanted == "random" or (wanted is None and _why_not(of_teacher, of_student) is not None):
        return None
    if (why_not := _why_not(of_teacher, of_student)) is not None:
        expected, got = why_not
        raise UserError(
            "student.embeddings",
            expected=f"for `teacher`, {expected}",
            got=got,
            otherwise="tokens would have started at vectors that were never theirs",
            do="set `student.embeddings: random`, or change the student's config",
        )
    width = of_student.shape[1]
    pairs = [(of_teacher, of_student), *_beside(teacher, student)]
    if width == of_teacher.shape[1]:
        for theirs, ours in pairs:
            _set(ours, theirs)
        return "embeddings copied from the teacher"
    mean, axes = principal_axes(of_teacher, width)
    projected = [(theirs.double() - theirs.double().mean(dim=0)) @ axes for theirs, _ in pairs[1:]]
    tokens = (of_teacher.double() - mean) @ axes
    spread = tokens.std().clamp(min=torch.finfo(tokens.dtype).tiny)
    for (_, ours), start in zip(pairs, [tokens, *projected], strict=True):
        _set(ours, start * (STANDARD_DEVIATION / spread))
    return f"starts with the teacher's embeddings, projected to {width}"


def _why_not(of_teacher: Tensor, of_student: Tensor) -> tuple[str, str] | None:
    """What would have to be otherwise for the teacher's embeddings to fit, and what is."""
    if len(of_student) != len(of_teacher):
        return f"the teacher's vocabulary, {len(of_teacher):,} tokens", f"{len(of_student):,}"
    if of_student.shape[1] > of_teacher.shape[1]:
        return f"embeddings no wider than the teacher's {of_teacher.shape[1]}", str(of_student.shape[1])
    return None


def _table(model: PreTrainedModel) -> Tensor:
    """Token embeddings, `[vocabulary, width]`."""
    return model.get_input_embeddings().weight.detach()


def _beside(teacher: PreTrainedModel, student: PreTrainedModel) -> list[tuple[Tensor, Tensor]]:
    """Tables that are added to the token embeddings, such as positions and token types, where both models have them.

    Found by structure: embeddings beside those of the tokens, as wide as they are, under the same name in both models,
    and counted from the same row (RoBERTa's positions start behind its padding, BERT's do not).
    """
    theirs, ours = _tables_beside(teacher), _tables_beside(student)
    return [
        (theirs[name].weight.detach().cpu(), table.weight.detach())
        for name, table in ours.items()
        if name in theirs and (type(table), table.padding_idx) == (type(theirs[name]), theirs[name].padding_idx)
    ]


def _tables_beside(model: PreTrainedModel) -> dict[str, nn.Embedding]:
    tokens = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is tokens)
    parent = model.get_submodule(name.rpartition(".")[0])
    return {
        child_name: child
        for child_name, child in parent.named_children()
        if isinstance(child, nn.Embedding) and child is not tokens and child.embedding_dim == tokens.embedding_dim
    }


@torch.no_grad()
def _set(table: Tensor, start: Tensor) -> None:
    """Write the rows that both have; a model of more positions keeps its own beyond."""
    rows = min(len(table), len(start))
    table[:rows] = start[:rows].to(table)
