"""How queries, keys and values of one layer relate to one another, matched by KL: MiniLM, both versions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from codir.config.words import RELATION_KL, Relation
from codir.errors import UserError
from codir.objectives.parts.layer_by_layer import LayerByLayer
from codir.objectives.parts.layer_map import LayerMap, StudentLayers
from codir.objectives.parts.token_scores import score_kl, token_scores
from codir.signals import AttentionInputs, ModelShape, Needs, TokenSignal

VECTORS = {"q": "query", "k": "key", "v": "value"}


def relation_kl_loss(
    student: AttentionInputs,
    teacher: AttentionInputs,
    mask: Bool[Tensor, "batch tokens"],
    *,
    relation_heads: int,
    relations: Sequence[Relation] = RELATION_KL.relations,
) -> Float[Tensor, ""]:
    """`sum_r 1/(A_r |x|) sum_a sum_t KL(R_r^T[a,t] || R_r^S[a,t])`, `R_r = softmax(X Y^T / sqrt(d_r))`.

    A mean over heads `a`, real tokens `t` and examples, a sum over relations `r`.

    - MiniLM (Wang et al. 2020, arXiv 2002.10957), §3.1 and §3.2: attention and value relation, `("qk", "vv")`.
    - MiniLMv2 (Wang et al. 2021, arXiv 2012.15828), §3.1: `("qq", "kk", "vv")`. The vectors of all heads are joined and
      cut again into `relation_heads`, so that models of different width and number of heads can be compared.

    With the models' own number of heads nothing is cut anew, and the first is MiniLM to the letter; with another it is
    MiniLM extended by its successor's heads.

    Args:
        student: of the layer that learns; its width may differ from the teacher's.
        teacher: of the layer that answers to it.
        mask: true at real tokens; padding is left out on both axes.
        relation_heads: `A_r`; divides both widths.
        relations: `r`, each with weight 1.

    Raises:
        UserError: a number of heads that does not divide both widths.

    Example:
        >>> attention = AttentionInputs(*torch.randn(3, 1, 2, 5, 8), scaling=1.0)
        >>> relation_kl_loss(attention, attention, torch.ones(1, 5, dtype=torch.bool), relation_heads=4)
        tensor(0.)
    """
    losses = [
        score_kl(
            _relation_scores(student, relation, relation_heads),
            _relation_scores(teacher, relation, relation_heads),
            mask,
        )
        for relation in relations
    ]
    return torch.stack(losses).sum()


def split_heads(
    vectors: Float[Tensor, "batch heads tokens head_dim"], relation_heads: int
) -> Float[Tensor, "batch relation_heads tokens relation_dim"]:
    """Join the vectors of all heads, token by token, and cut them into another number of heads.

    Example:
        >>> split_heads(torch.randn(2, 12, 7, 32), 48).shape
        torch.Size([2, 48, 7, 8])
    """
    joined = vectors.transpose(1, 2).flatten(start_dim=2)
    _check_divides(relation_heads, joined.shape[-1])
    return joined.reshape(*joined.shape[:2], relation_heads, -1).transpose(1, 2)


def choose_relation_heads(*, teacher_heads: int, teacher_width: int, student_width: int) -> int:
    """The teacher's own number of heads, or where that does not divide both widths, the next lower that does.

    Example:
        >>> choose_relation_heads(teacher_heads=12, teacher_width=384, student_width=192)
        12
        >>> choose_relation_heads(teacher_heads=12, teacher_width=384, student_width=128)
        8
    """
    fitting = (n for n in range(teacher_heads, 0, -1) if teacher_width % n == 0 and student_width % n == 0)
    return next(fitting)


class RelationKL(LayerByLayer):
    """MiniLM's relations of the last layer; see `relation_kl_loss`.

    Args:
        relations: `("qq", "kk", "vv")` is MiniLMv2, `("qk", "vv")` is MiniLM.
        relation_heads: `A_r`; by default what `choose_relation_heads` finds. The paper takes more than the teacher's
            heads, 48 for a teacher of width 768.
        student_layers: which learn; the last in both papers.
        layer_map: `uniform`, `skip`, `last`, or pairs; see `match_layers`. MiniLMv2 takes an upper middle layer of
            large teachers, which pairs can say.

    Raises:
        UserError: when built, for a model without attention, heads that do not divide both widths, or layers that
            cannot be matched.
    """

    needs = Needs(attention=True, demands=frozenset({"attention"}))

    def __init__(
        self,
        *,
        relations: Sequence[Relation] = RELATION_KL.relations,
        relation_heads: int | None = None,
        student_layers: StudentLayers = RELATION_KL.student_layers,
        layer_map: LayerMap = RELATION_KL.layer_map,
    ) -> None:
        super().__init__(student_layers=student_layers, layer_map=layer_map)
        self.relations, self.relation_heads = tuple(relations), relation_heads

    def make_weights(self, *, teacher: ModelShape | None, student: ModelShape) -> None:
        """Match the layers, and settle the number of heads."""
        super().make_weights(teacher=teacher, student=student)
        assert teacher is not None, "`needs` asks for one"
        self.heads = self.relation_heads or choose_relation_heads(
            teacher_heads=teacher.heads, teacher_width=teacher.hidden, student_width=student.hidden
        )
        for width in (teacher.hidden, student.hidden):
            _check_divides(self.heads, width)

    def compare(self, student: TokenSignal, teacher: TokenSignal, layer: int, answer: int) -> Float[Tensor, ""]:
        """`relation_kl_loss` of the two layers."""
        return relation_kl_loss(
            student.attention[layer - 1],
            teacher.attention[answer - 1],
            student.mask,
            relation_heads=self.heads,
            relations=self.relations,
        )


def _check_divides(relation_heads: int, width: int) -> None:
    if width % relation_heads:
        raise UserError(
            "relation_kl.relation_heads",
            expected=f"a number that divides the width of each model's attention, here {width}",
            got=str(relation_heads),
            do="choose a divisor of both models' widths, or leave `relation_heads` out",
        )


def _relation_scores(
    attention: AttentionInputs, relation: Relation, relation_heads: int
) -> Float[Tensor, "batch heads tokens tokens"]:
    left, right = (split_heads(getattr(attention, VECTORS[letter]), relation_heads) for letter in relation)
    return token_scores(left, right, left.shape[-1] ** -0.5)
