"""The contrast over words against the paper's formula in plain loops, and which words are negatives of which."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from codir.errors import UserError
from codir.objectives import WordContrast, word_contrast_loss
from codir.signals import IGNORED_CLASS, Batch, ModelShape, StudentSignal, TeacherSignal, TokenSignal
from codir.tasks import KINDS

SHAPES = {
    role: ModelShape(layers, hidden, 2, classes=3, kind=KINDS["token_classification"])
    for role, layers, hidden in (("teacher", 3, 6), ("student", 2, 4))
}


def one_side(anchors, keys, tags, is_read, temperature) -> float:
    """Eq. 2 of the paper, anchor by anchor."""
    losses = []
    for i in range(len(anchors)):
        if not is_read[i]:
            continue
        others = [j for j in range(len(keys)) if is_read[j] and tags[j] != tags[i]]
        right = math.exp(float(anchors[i] @ keys[i]) / temperature)
        wrong = sum(math.exp(float(anchors[i] @ keys[j]) / temperature) for j in others)
        losses.append(-math.log(right / (right + wrong)))
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_a_contrast_over_words_that_is_not_the_papers(temperature):
    g = torch.Generator().manual_seed(0)
    student, teacher = (F.normalize(torch.randn(9, 5, generator=g), dim=1) for _ in range(2))
    tags, is_read = torch.tensor([0, 0, 1, 2, 0, 1, 0, 2, 0]), torch.tensor([1, 1, 1, 1, 0, 1, 0, 1, 1]).bool()
    of_student = one_side(student, teacher, tags, is_read, temperature)
    of_teacher = one_side(teacher, student, tags, is_read, temperature)
    found = word_contrast_loss(student, teacher, tags, is_read, temperature=temperature)
    assert found.item() == pytest.approx((of_student + of_teacher) / 2, rel=1e-5)


@pytest.mark.parametrize("case", ["one tag", "nothing read"])
def test_words_that_nothing_can_be_told_from(case):
    vectors = F.normalize(torch.randn(4, 3), dim=1).requires_grad_()
    tags = torch.zeros(4, dtype=torch.long) if case == "one tag" else torch.arange(4)
    is_read = torch.full((4,), case == "one tag")
    loss = word_contrast_loss(vectors, vectors.detach(), tags, is_read)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(vectors.grad).all()


def said(positions: torch.Tensor, *, seed: int = 0) -> tuple[StudentSignal, TeacherSignal]:
    """Three rows of seven tokens."""
    g = torch.Generator().manual_seed(seed)
    signals = []
    for shape in (SHAPES["student"], SHAPES["teacher"]):
        states = [torch.randn(3, 7, shape.hidden, generator=g) for _ in range(shape.num_layers + 1)]
        logits = torch.randn(*positions.shape, 3, generator=g)
        logits[positions < 0] = -torch.inf
        signals.append((logits, {}, TokenSignal(torch.ones(3, 7, dtype=torch.bool), tuple(states))))
    return StudentSignal(*signals[0]), TeacherSignal(*signals[1])


def built(**options) -> WordContrast:
    torch.manual_seed(0)
    objective = WordContrast(projection_dim=8, **options)
    objective.build(**SHAPES)
    return objective


POSITIONS = torch.tensor([[1, 3, 4, -1], [1, 2, 5, 6], [2, -1, -1, -1]])
LABELS = torch.tensor([[0, 1, 1, IGNORED_CLASS], [2, IGNORED_CLASS, 0, 1], [IGNORED_CLASS] * 4])


def test_words_whose_vectors_or_tags_are_anothers():
    """In plain loops: the layers above the embeddings at a word's first token; without a tag, the teacher's counts."""
    student, teacher = said(POSITIONS)
    objective = built()
    vectors, tags = {"student": [], "teacher": []}, []
    for row in range(3):
        for word in range(4):
            place = int(POSITIONS[row, word])
            if place < 0:
                continue
            label = int(LABELS[row, word])
            tags.append(label if label != IGNORED_CLASS else int(teacher.logits[row, word].argmax()))
            for side, signal in (("student", student), ("teacher", teacher)):
                layers = torch.cat([states[row, place] for states in signal.tokens.hidden_states[1:]])
                head = objective.student_head if side == "student" else objective.teacher_head
                vectors[side].append(F.normalize(head.linear(layers), dim=0))
    both = [torch.stack(vectors[side]).detach() for side in ("student", "teacher")]
    every = torch.ones(len(tags), dtype=torch.bool)
    expected = (one_side(*both, tags, every, 0.07) + one_side(*both[::-1], tags, every, 0.07)) / 2
    batch = Batch({}, torch.arange(3), LABELS, word_positions=POSITIONS, answer_weight=2.0)
    assert objective(student, teacher, batch, None).item() == pytest.approx(2.0 * expected, rel=1e-5)
    without = Batch({}, torch.arange(3), None, word_positions=POSITIONS)
    assert objective(student, teacher, without, None).item() > 0


def test_words_that_are_drawn_though_nobody_has_read_them():
    """Of 12 places 8 are words; any 8 or fewer that are drawn are of those."""
    student, teacher = said(POSITIONS)
    batch = Batch({}, torch.arange(3), LABELS, word_positions=POSITIONS)
    assert built(num_words=8)(student, teacher, batch, None).item() == pytest.approx(
        built()(student, teacher, batch, None).item(), rel=1e-5
    )
    is_read = POSITIONS.flatten() >= 0
    drawn = [built(num_words=3)._drawn(is_read).tolist() for _ in range(1)]
    drawn += [built(num_words=5)._drawn(is_read).tolist()]
    assert all(is_read[places].all() and len({*places}) == len(places) for places in drawn)
    assert [len(places) for places in drawn] == [3, 5]


def test_a_task_without_words_and_layers_that_are_not_there():
    shapes = {role: ModelShape(2, 8, 2, classes=3, kind=KINDS["classification"]) for role in SHAPES}
    with pytest.raises(UserError, match="word_contrast: expected a kind of task with an answer for each word"):
        WordContrast().build(**shapes)
    with pytest.raises(UserError, match="layer numbers between 1 and 2"):
        WordContrast(student_layers=(3,)).build(**SHAPES)
