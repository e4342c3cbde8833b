"""Losses that match layers and tokens, against their papers' formulas in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from codir.errors import UserError
from codir.objectives import (
    AttentionKL,
    AttentionMSE,
    HiddenMSE,
    PooledMSE,
    RelationKL,
    TokenCosine,
    attention_kl_loss,
    attention_mse_loss,
    cls_cosine_loss,
    hidden_mse_loss,
    logit_mse_loss,
    pooled_mse_loss,
    relation_kl_loss,
    token_cosine_loss,
)
from codir.signals import AttentionInputs, ModelShape

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]).bool()
BATCH, TOKENS = MASK.shape


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attention(heads: int, head_dim: int, *, seed: int) -> AttentionInputs:
    return AttentionInputs(*noise(3, BATCH, heads, TOKENS, head_dim, seed=seed), scaling=head_dim**-0.5)


def real(example: int) -> list[int]:
    return [token for token in range(TOKENS) if MASK[example, token]]


def dot(left: Tensor, right: Tensor) -> float:
    return sum(float(a) * float(b) for a, b in zip(left, right, strict=True))


def cosine(left: Tensor, right: Tensor) -> float:
    return dot(left, right) / math.sqrt(dot(left, left) * dot(right, right))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def row_kl(teacher: list[float], student: list[float]) -> float:
    """KL of two softmaxes, one exponential at a time."""
    p, q = ([math.exp(score) / sum(map(math.exp, scores)) for score in scores] for scores in (teacher, student))
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def relation_kl_by_hand(
    left_t: Tensor, right_t: Tensor, scale_t: float, left_s: Tensor, right_s: Tensor, scale_s: float
) -> float:
    """Mean over heads and real tokens of the KL of one token's row over real tokens, then over examples."""
    examples = []
    for i in range(BATCH):
        rows = []
        for head in range(left_t.shape[1]):
            for token in real(i):
                of_teacher = [scale_t * dot(left_t[i, head, token], right_t[i, head, other]) for other in real(i)]
                of_student = [scale_s * dot(left_s[i, head, token], right_s[i, head, other]) for other in real(i)]
                rows.append(row_kl(of_teacher, of_student))
        examples.append(mean(rows))
    return mean(examples)


def test_logits_matched_otherwise_than_by_tang():
    student, teacher = noise(3, 4), noise(3, 4, seed=1)
    by_hand = mean([float(student[i, c] - teacher[i, c]) ** 2 for i in range(3) for c in range(4)])
    assert logit_mse_loss(student, teacher).item() == pytest.approx(by_hand, rel=1e-5)


def test_a_patient_loss_that_is_not_pkds():
    """Eq. 7, mean in place of the sum over the vector: `2 (1 - cos) / hidden`."""
    student, teacher = noise(3, 2, 5), noise(3, 2, 5, seed=1)
    by_hand = mean([2 * (1 - cosine(student[i, layer], teacher[i, layer])) / 5 for i in range(3) for layer in range(2)])
    assert pooled_mse_loss(student, teacher, normalisation="l2").item() == pytest.approx(by_hand, rel=1e-5)
    assert cls_cosine_loss(student, teacher).item() == pytest.approx(by_hand * 5 / 2, rel=1e-5)


def test_layer_normalised_vectors_compared_otherwise():
    def normal(vector: Tensor) -> list[float]:
        values = vector.tolist()
        middle = mean(values)
        return [(x - middle) / math.sqrt(mean([(y - middle) ** 2 for y in values]) + 1e-5) for x in values]

    student, teacher = noise(3, 2, 5), noise(3, 2, 5, seed=1)
    by_hand = mean(
        [
            (a - b) ** 2
            for i in range(3)
            for layer in range(2)
            for a, b in zip(normal(student[i, layer]), normal(teacher[i, layer]), strict=True)
        ]
    )
    assert pooled_mse_loss(student, teacher, normalisation="layer").item() == pytest.approx(by_hand, rel=1e-4)


def test_token_vectors_compared_otherwise_than_by_distilbert_and_tinybert():
    student, teacher = noise(BATCH, TOKENS, 5), noise(BATCH, TOKENS, 5, seed=1)
    angles = mean([mean([1 - cosine(student[i, t], teacher[i, t]) for t in real(i)]) for i in range(BATCH)])
    assert token_cosine_loss(student, teacher, MASK).item() == pytest.approx(angles, rel=1e-5)
    gaps = student - teacher
    squares = mean([mean([dot(gaps[i, t], gaps[i, t]) / 5 for t in real(i)]) for i in range(BATCH)])
    assert hidden_mse_loss(student, teacher, MASK).item() == pytest.approx(squares, rel=1e-5)


def test_attention_scores_compared_otherwise_than_by_tinybert():
    """Eq. 7, over pairs of real tokens."""
    student, teacher = noise(BATCH, 2, TOKENS, TOKENS), noise(BATCH, 2, TOKENS, TOKENS, seed=1)
    by_hand = mean(
        [
            mean(
                [
                    float(student[i, head, a, b] - teacher[i, head, a, b]) ** 2
                    for head in range(2)
                    for a in real(i)
                    for b in real(i)
                ]
            )
            for i in range(BATCH)
        ]
    )
    assert attention_mse_loss(student, teacher, MASK).item() == pytest.approx(by_hand, rel=1e-5)


def test_attention_compared_otherwise_than_by_mobilebert():
    student, teacher = attention(2, 3, seed=0), attention(2, 4, seed=1)
    by_hand = relation_kl_by_hand(
        teacher.query, teacher.key, teacher.scaling, student.query, student.key, student.scaling
    )
    assert attention_kl_loss(student, teacher, MASK).item() == pytest.approx(by_hand, rel=1e-4)


def test_minilm_not_being_attention_and_value_relation():
    """§3.1 and §3.2 with the models' own heads; value relations are scaled by the head's size."""
    student, teacher = attention(2, 3, seed=0), attention(2, 4, seed=1)
    of_attention = relation_kl_by_hand(teacher.query, teacher.key, 0.5, student.query, student.key, 3**-0.5)
    of_values = relation_kl_by_hand(teacher.value, teacher.value, 0.5, student.value, student.value, 3**-0.5)
    found = relation_kl_loss(student, teacher, MASK, relation_heads=2, relations=("qk", "vv"))
    assert found.item() == pytest.approx(of_attention + of_values, rel=1e-4)


def test_minilm_v2_that_cuts_its_heads_otherwise():
    """Heads joined token by token, then cut: head `r` of the relation holds places `r d` to `(r + 1) d`."""
    student, teacher = attention(2, 3, seed=0), attention(4, 3, seed=1)

    def cut(vectors: Tensor, heads: int) -> Tensor:
        joined = torch.stack([torch.cat(list(example.unbind(0)), dim=-1) for example in vectors])
        size = joined.shape[-1] // heads
        return torch.stack([joined[..., r * size : (r + 1) * size] for r in range(heads)], dim=1)

    expected = 0.0
    for name in ("query", "key", "value"):
        of_teacher, of_student = cut(getattr(teacher, name), 3), cut(getattr(student, name), 3)
        expected += relation_kl_by_hand(of_teacher, of_teacher, 4**-0.5, of_student, of_student, 2**-0.5)
    assert relation_kl_loss(student, teacher, MASK, relation_heads=3).item() == pytest.approx(expected, rel=1e-4)


TEACHER = ModelShape(num_layers=4, hidden=12, heads=4, classes=2)


@pytest.mark.parametrize(
    ("objective", "student", "said"),
    [
        (PooledMSE(width_map="none"), ModelShape(2, 8, 4, 2), "width_map: linear"),
        (TokenCosine(), ModelShape(2, 8, 4, 2), "width_map: linear"),
        (HiddenMSE(width_map="none"), ModelShape(2, 8, 4, 2), "width_map: linear"),
        (AttentionMSE(), ModelShape(2, 12, 2, 2), "relation_kl"),
        (AttentionKL(), ModelShape(2, 12, 0, 2), "relation_kl"),
        (RelationKL(), ModelShape(2, 12, 0, 2), "with attention"),
        (RelationKL(relation_heads=5), ModelShape(2, 12, 4, 2), "divides"),
    ],
)
def test_two_models_that_cannot_be_matched(objective, student, said):
    with pytest.raises(UserError, match=said):
        objective.build(teacher=TEACHER, student=student)
