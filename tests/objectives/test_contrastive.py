"""The contrast as a whole: its parts against slow transcriptions, and combinations that cannot be."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from test_laws import ALL, PRINCIPAL, loss_of, make, select, signals
from torch import Tensor

from codir.errors import UserError
from codir.objectives import Contrastive, GroupedKeys, MLPHead, Temperature, hardest, info_nce
from codir.objectives.contrast.checks import check_steps, check_word
from codir.signals import ModelShape, StudentSignal, TeacherSignal

TEACHER, STUDENT = ModelShape(3, 6, 2, classes=3), ModelShape(2, 4, 2, classes=3)


def built(**options) -> Contrastive:
    torch.manual_seed(0)
    contrast = Contrastive(**{"anchor": "student", "strategy": "auto", "projection_dim": 8, **options})
    contrast.build(teacher=TEACHER, student=STUDENT)
    return contrast


@torch.no_grad()
def project(head: torch.nn.Module, pooled: Tensor) -> Tensor:
    return F.normalize(pooled.flatten(start_dim=-2) @ head.linear.weight.T + head.linear.bias, dim=-1)


def dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def test_crd_that_differs_from_its_formula():
    """Both sides as CRD has them: every key of an anchor, the positive too, is read from the other side's bank."""
    contrast = built(anchor="both", estimator="nce", keys="banked", contrastive_temperature=0.2)
    student, teacher, batch, negatives = signals()
    (space,), num_examples = contrast.spaces, 1000
    z_s, z_t = project(space.student_head, student.pooled[ALL]), project(space.teacher_head, teacher.pooled[ALL])
    sides = [
        (z_s, negatives.teacher_positives, negatives.teacher_vectors),
        (z_t, negatives.student_positives, negatives.student_vectors),
    ]
    expected = 0.0
    for anchors, slots, bank in sides:
        rows = [[math.exp(dot(a, k) / 0.2) for k in bank[g]] for a, g in zip(anchors, negatives.group, strict=True)]
        z = num_examples * sum(map(sum, rows)) / sum(map(len, rows))
        for anchor, slot, wrong in zip(anchors, slots, rows, strict=True):
            noise = len(wrong) / num_examples
            right = math.exp(dot(anchor, slot) / 0.2) / z
            expected -= math.log(right / (right + noise)) / len(anchors)
            expected -= sum(math.log(noise / (p / z + noise)) for p in wrong) / len(anchors)
    assert loss_of(contrast, student, teacher, batch, negatives).item() == pytest.approx(expected / 2, rel=1e-4)


@pytest.mark.parametrize("anchor", ["student", "teacher", "both"])
def test_queued_keys_of_the_wrong_side(anchor):
    """Student anchors against the teacher's queue, teacher anchors against the student's; positives of this step."""
    contrast = built(anchor=anchor, keys="queued", contrastive_temperature=0.2)
    student, teacher, batch, negatives = signals()
    (space,) = contrast.spaces
    z_s, z_t = project(space.student_head, student.pooled[ALL]), project(space.teacher_head, teacher.pooled[ALL])
    sides = {
        "student": (z_s, z_t, negatives.queued_teacher_vectors),
        "teacher": (z_t, z_s, negatives.queued_vectors),
    }
    chosen = sides if anchor == "both" else [anchor]
    expected = 0.0
    for anchors, positives, queue in (sides[side] for side in chosen):
        for i in range(6):
            allowed = negatives.queued_allowed[negatives.group[i]]
            right = math.exp(dot(anchors[i], positives[i]) / 0.2)
            wrong = sum(math.exp(dot(anchors[i], queue[j]) / 0.2) for j in range(9) if allowed[j])
            expected -= math.log(right / (right + wrong)) / (6 * len(chosen))
    assert loss_of(contrast, student, teacher, batch, negatives).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("labelled", [True, False], ids=["other class", "any"])
def test_negatives_of_the_batch_that_are_not_its_other_rows(labelled):
    contrast = built(anchor="both", source="batch", contrastive_temperature=0.2)
    student, teacher, batch, negatives = signals()
    own = torch.eye(6, dtype=torch.bool)
    if not labelled:
        negatives = replace(negatives, step_negative=~own, step_positive=own)
    (space,) = contrast.spaces
    z_s, z_t = project(space.student_head, student.pooled[ALL]), project(space.teacher_head, teacher.pooled[ALL])
    expected = 0.0
    for anchors, keys in ((z_s, z_t), (z_t, z_s)):
        for i in range(6):
            right = math.exp(dot(anchors[i], keys[i]) / 0.2)
            others = [j for j in range(6) if j != i and not (labelled and batch.labels[j] == batch.labels[i])]
            wrong = sum(math.exp(dot(anchors[i], keys[j]) / 0.2) for j in others)
            expected -= math.log(right / (right + wrong)) / 12
    assert loss_of(contrast, student, teacher, batch, negatives).item() == pytest.approx(expected, rel=1e-4)


def soft_by_hand(teacher: list[float], student: list[float]) -> float:
    """`-sum_k softmax(teacher)_k log softmax(student)_k` of one anchor's scores."""
    whole_t, whole_s = (sum(map(math.exp, scores)) for scores in (teacher, student))
    return -sum(math.exp(t) / whole_t * math.log(math.exp(s) / whole_s) for t, s in zip(teacher, student, strict=True))


@pytest.mark.parametrize("anchor", ["student", "both"])
def test_soft_targets_over_other_keys_or_temperatures(anchor):
    """SEED where the student meets the teacher's keys; CompRess beside it, where it meets its own of the same rows."""
    contrast = built(
        anchor=anchor, estimator="soft", keys="fresh", contrastive_temperature=0.2, teacher_temperature=0.5
    )
    student, teacher, batch, negatives = signals()
    (space,) = contrast.spaces
    z_s, z_t = project(space.student_head, student.pooled[ALL]), project(space.teacher_head, teacher.pooled[ALL])
    of_teacher = project(space.teacher_head, negatives.teacher_pooled)
    losses = []
    for i, g in enumerate(negatives.group.tolist()):
        target = [dot(z_t[i], key) / 0.5 for key in (z_t[i], *of_teacher[g])]
        losses.append(soft_by_hand(target, [dot(z_s[i], key) / 0.2 for key in (z_t[i], *of_teacher[g])]))
        if anchor == "both":
            own = [dot(z_s[i], key) / 0.2 for key in (z_s[i], *negatives.student_vectors[g])]
            losses.append(soft_by_hand(target, own))
    expected = sum(losses) / len(losses)
    assert loss_of(contrast, student, teacher, batch, negatives).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"source": "batch"}, {"per_layer": True}])
def test_soft_targets_that_are_sharp_and_no_info_nce(options):
    """As tau_t goes to 0, the teacher's nearest key, its own view of the example, is the one right answer."""
    given = {"contrastive_temperature": 0.2, **options}
    soft, hard = built(estimator="soft", teacher_temperature=1e-5, **given), built(estimator="info_nce", **given)
    assert torch.allclose(loss_of(soft, *signals()), loss_of(hard, *signals()), atol=1e-5)


@pytest.mark.parametrize("anchor", ["student", "both"])
def test_neighbours_that_are_not_the_teachers(anchor):
    """Each example's K nearest of all drawn keys, by the teacher; the student's keys of the same rows beside them."""
    contrast = built(
        anchor=anchor, estimator="soft", keys="fresh", num_negatives=2, hard_pool=2, contrastive_temperature=0.2
    )
    student, teacher, batch, negatives = signals()
    (space,) = contrast.spaces
    z_s, z_t = project(space.student_head, student.pooled[ALL]), project(space.teacher_head, teacher.pooled[ALL])
    of_teacher = project(space.teacher_head, negatives.teacher_pooled)
    losses, chosen = [], []
    for i, g in enumerate(negatives.group.tolist()):
        rows = sorted(range(5), key=lambda k, i=i, g=g: -dot(z_t[i], of_teacher[g, k]))[:2]
        chosen.append((g, sorted(rows)))
        target = [dot(z_t[i], key) / 0.2 for key in (z_t[i], *of_teacher[g, rows])]
        losses.append(soft_by_hand(target, [dot(z_s[i], key) / 0.2 for key in (z_t[i], *of_teacher[g, rows])]))
        if anchor == "both":
            own = [dot(z_s[i], key) / 0.2 for key in (z_s[i], *negatives.student_vectors[g, rows])]
            losses.append(soft_by_hand(target, own))
    assert len({str(one) for one in chosen}) > len({g for g, _ in chosen})  # examples of a group keep keys of their own
    expected = sum(losses) / len(losses)
    assert loss_of(contrast, student, teacher, batch, negatives).item() == pytest.approx(expected, rel=1e-4)
    assert contrast.needs.negatives.count == 4


def test_a_fixed_teacher_space_that_is_projected_again():
    """Anchors are the student's, through its head; keys are the teacher's components as they are, of length 1."""
    contrast = built(teacher_head="pca")
    student, teacher, batch, negatives = signals()
    (space,) = contrast.spaces
    anchors = project(space.student_head, student.pooled[ALL])
    keys = F.normalize(negatives.teacher_principal.squeeze(2), dim=-1)[negatives.group]
    expected = info_nce(anchors, F.normalize(teacher.pooled[PRINCIPAL].squeeze(1), dim=-1), keys)
    assert torch.allclose(loss_of(contrast, student, teacher, batch, negatives), expected)
    assert contrast.needs.teacher_pooled == {PRINCIPAL}
    assert not list(space.teacher_head.parameters())


@pytest.mark.parametrize(("asked", "given"), [(8, 8), (18, 18), (256, 18)])
def test_more_axes_than_the_teacher_has_dimensions(asked, given):
    contrast = built(teacher_head="pca", projection_dim=asked)  # of 3 layers of width 6
    assert contrast.projection_dim == given
    assert contrast.spaces[0].student_head.linear.out_features == given
    assert contrast.teacher_representation.principal == asked


def test_soft_targets_over_banks_of_other_rows():
    """CompRess: the teacher's bank for the targets; both banks, of the same rows, for the student's similarities."""
    contrast = built(anchor="both", estimator="soft", keys="banked", teacher_head="pca", contrastive_temperature=0.2)
    student, teacher, batch, negatives = signals()
    z_s = project(contrast.spaces[0].student_head, student.pooled[ALL])
    z_t = F.normalize(teacher.pooled[PRINCIPAL].squeeze(1), dim=-1)
    losses = []
    for i, g in enumerate(negatives.group.tolist()):
        of_teacher = (negatives.teacher_positives[i], *negatives.teacher_vectors[g])
        of_student = (negatives.student_positives[i], *negatives.student_vectors[g])
        target = [dot(z_t[i], key) / 0.2 for key in of_teacher]
        losses += [soft_by_hand(target, [dot(z_s[i], key) / 0.2 for key in keys]) for keys in (of_teacher, of_student)]
    expected = sum(losses) / len(losses)
    assert loss_of(contrast, student, teacher, batch, negatives).item() == pytest.approx(expected, rel=1e-4)


def test_layers_matched_otherwise_than_in_even_steps():
    """Student layers 1, 2 with teacher layers 2, 3 of 3: a contrast each, with heads of its own."""
    contrast = built(per_layer=True)
    student, teacher, batch, negatives = signals()
    losses = []
    for layer, (space, place) in enumerate(zip(contrast.spaces, (1, 2), strict=True)):
        keys = project(space.teacher_head, negatives.teacher_pooled[:, :, [place]])
        anchors = project(space.student_head, student.pooled[ALL][:, [layer]])
        positives = project(space.teacher_head, teacher.pooled[ALL][:, [place]])
        losses.append(info_nce(anchors, positives, keys[negatives.group]))
    assert torch.allclose(loss_of(contrast, student, teacher, batch, negatives), torch.stack(losses).mean())


def test_layers_without_a_partner():
    with pytest.raises(UserError, match=r"at least as many teacher layers as student layers, 2.*got 1"):
        built(per_layer=True, teacher_layers="last")


def test_hard_negatives_that_are_not_the_nearest():
    contrast, plain = built(num_negatives=2, hard_pool=2), built(num_negatives=2)
    student, teacher, batch, negatives = signals()
    (space,) = contrast.spaces
    z_t, keys = project(space.teacher_head, teacher.pooled[ALL]), project(space.teacher_head, negatives.teacher_pooled)
    chosen = []
    for group in range(3):
        members = [z_t[i] for i in range(6) if negatives.group[i] == group]
        mean = torch.stack(members).mean(dim=0) if members else torch.zeros(8)
        nearest = sorted(range(5), key=lambda k, group=group, mean=mean: -dot(keys[group, k], mean))[:2]
        chosen.append(negatives.teacher_pooled[group, nearest])
    by_hand = replace(negatives, teacher_pooled=torch.stack(chosen))
    expected = loss_of(plain, student, teacher, batch, by_hand)
    assert torch.allclose(loss_of(contrast, student, teacher, batch, negatives), expected)
    assert contrast.needs.negatives.count == 4


def test_hard_negatives_whose_head_learns_nothing():
    keys = F.normalize(torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0)), dim=-1).requires_grad_()
    anchors = torch.eye(4)[:2].requires_grad_()
    kept = hardest(GroupedKeys(keys, torch.tensor([0, 0])), anchors, count=3)
    kept.vectors.sum().backward()
    assert (keys.grad.abs().sum(dim=-1) > 0).sum() == 3
    assert anchors.grad is None


def test_a_normaliser_that_forgets_or_freezes():
    """The first batch's mean of `exp(a.k / tau)`, then a running one, in plain numbers."""
    contrast = built(estimator="nce", contrastive_temperature=0.2)
    estimator = contrast.spaces[0].estimators["student"]
    running = None
    for seed in range(4):
        student, teacher, batch, negatives = signals(seed=seed)
        z_s = project(contrast.spaces[0].student_head, student.pooled[ALL])
        keys = project(contrast.spaces[0].teacher_head, negatives.teacher_pooled)
        wrong = [math.exp(dot(a, k) / 0.2) for a, g in zip(z_s, negatives.group, strict=True) for k in keys[g]]
        now = sum(wrong) / len(wrong)
        running = now if running is None else 0.99 * running + 0.01 * now
        loss_of(contrast, student, teacher, batch, negatives)
        assert math.exp(estimator.log_mean) == pytest.approx(running, rel=1e-5)
    contrast.eval()
    loss_of(contrast, *signals(seed=9))
    assert math.exp(estimator.log_mean) == pytest.approx(running, rel=1e-5)


def test_a_normaliser_that_a_checkpoint_loses():
    contrast, other = built(estimator="nce"), built(estimator="nce")
    loss_of(contrast, *signals())
    other.load_state_dict(contrast.state_dict())
    assert torch.equal(loss_of(other.eval(), *signals(seed=1)), loss_of(contrast.eval(), *signals(seed=1)))


def test_a_lonely_example_that_spoils_the_normaliser():
    contrast = built(source="batch", estimator="nce")
    student, teacher, batch, negatives = signals()
    alone = replace(negatives, step_negative=torch.zeros(6, 6, dtype=torch.bool))
    assert loss_of(contrast, student, teacher, batch, alone).item() == 0.0
    assert loss_of(contrast, student, teacher, batch, negatives).item() > 0.0
    before = contrast.spaces[0].estimators["student"].log_mean.clone()
    loss_of(contrast, student, teacher, batch, alone)
    assert torch.equal(contrast.spaces[0].estimators["student"].log_mean, before)


def test_a_learned_temperature_that_does_not_learn_or_leaves_its_bounds():
    learned, fixed = built(learned_temperature=True), built()
    loss = loss_of(learned, *signals())
    assert torch.allclose(loss, loss_of(fixed, *signals()))
    loss.backward()
    log_inverse = learned.spaces[0].temperature.log_inverse
    assert log_inverse.grad.abs() > 0
    with torch.no_grad():
        log_inverse.fill_(20.0)
    assert learned.spaces[0].temperature().item() == pytest.approx(0.01)
    assert log_inverse.item() == pytest.approx(math.log(100))
    assert not list(Temperature(0.07).parameters())


@torch.no_grad()
def test_a_head_that_is_linear_after_all():
    torch.manual_seed(0)
    head, pooled = MLPHead(6, dim=4), torch.randn(3, 2, 3)
    hidden = [
        max(0.0, dot(row, pooled[0].flatten()) + float(b)) for row, b in zip(*head.first.parameters(), strict=True)
    ]
    out = [dot(row, torch.tensor(hidden)) + float(b) for row, b in zip(*head.second.parameters(), strict=True)]
    length = math.sqrt(sum(value**2 for value in out))
    assert head(pooled)[0].tolist() == pytest.approx([value / length for value in out], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimator": "supcon"}, "source: batch"),
        ({"estimator": "supcon", "source": "batch", "strategy": "any"}, "strategy `any`"),
        ({"estimator": "nce", "anchor": "teacher", "memory": "queue"}, "estimator: expected negatives that are drawn"),
        ({"estimator": "nce", "anchor": "both", "memory": "momentum"}, "estimator: expected negatives that are drawn"),
        ({"strategy": "mixed", "source": "batch"}, "strategy: expected negatives that are drawn"),
        ({"hard_pool": 4, "anchor": "teacher", "memory": "queue"}, "hard_pool: expected negatives that are drawn"),
        ({"keys": "banked", "anchor": "teacher"}, "learned nothing"),
        ({"keys": "banked", "anchor": "student"}, "learned nothing"),
        ({"keys": "banked", "anchor": "both", "memory": "queue"}, "a bank as the memory"),
        ({"keys": "banked", "anchor": "both", "source": "batch"}, "source: dataset"),
        ({"keys": "queued", "memory": "bank"}, "memory: queue"),
        ({"keys": "queued", "estimator": "nce"}, "estimator: expected negatives that are drawn"),
        ({"keys": "queued", "hard_pool": 2}, "hard_pool: expected negatives that are drawn"),
        ({"keys": "queued", "per_layer": True}, "keys from a memory"),
        ({"keys": "queued", "memory": "momentum", "anchor": "student"}, "student vectors are remembered"),
        ({"memory": "momentum", "anchor": "student"}, "anchor: teacher"),
        ({"memory": "momentum", "anchor": "both", "source": "batch"}, "source: dataset"),
        ({"per_layer": True, "anchor": "both"}, "keys from a memory"),
        ({"per_layer": True, "keys": "banked", "anchor": "both"}, "keys from a memory"),
        ({"estimator": "soft", "anchor": "teacher"}, "no similarities of the teacher"),
        ({"estimator": "soft", "anchor": "both", "keys": "fresh", "memory": "queue"}, "no similarities of the teacher"),
        ({"estimator": "soft", "anchor": "both", "keys": "banked"}, "made by a head that trains"),
        ({"estimator": "soft", "anchor": "student", "keys": "queued"}, "made by a head that trains"),
        ({"per_layer": True, "anchor": "student", "teacher_head": "pca"}, "one vector of all layers"),
        ({"teacher_temperature": 0.1}, "teacher_temperature: expected `estimator: soft`"),
        ({"estimator": "soft", "anchor": "student", "teacher_temperature": 0.0}, "a number above 0"),
    ],
)
def test_a_combination_that_cannot_be_and_trains(options, said):
    with pytest.raises(UserError, match=said):
        Contrastive(**options)


@pytest.mark.parametrize("steps", [-5, 0.5, "4", None, True, float("nan"), float("inf"), 10**30])
def test_a_warm_up_that_is_no_count_of_steps(steps):
    """A negative one would have had the contrast maximised. Types say the others, but only tests check types."""
    with pytest.raises(UserError, match=r"warmup_steps: expected a whole number from 0 to"):
        check_steps("warmup_steps", steps)
    if type(steps) is int:
        with pytest.raises(UserError, match=r"warmup_steps: expected a whole number from 0 to"):
            Contrastive(warmup_steps=steps)


def test_a_misspelt_word_taken_for_the_last_choice():
    """Types would have said so, which only tests check."""
    with pytest.raises(UserError, match=r"anchor: expected `teacher`, `student` or `both`, got 'stduent'.*student"):
        check_word("anchor", ["teacher", "student", "both"], "stduent")


@pytest.mark.parametrize(
    "options",
    [
        {"estimator": "nce"},
        {"strategy": "mixed"},
        {"hard_pool": 2},
        {"keys": "banked", "anchor": "both"},
        {"estimator": "soft", "anchor": "both", "keys": "fresh"},
    ],
)
def test_a_queue_chosen_where_only_a_bank_can_serve(options):
    assert Contrastive(**{"anchor": "teacher", **options}).needs.negatives.memory == "bank"
    assert Contrastive(anchor="teacher").needs.negatives.memory == "auto"


def test_a_signal_that_is_missing_and_halves_the_loss_in_silence():
    student, teacher, batch, negatives = signals()
    both = make("Contrastive-both")
    lacking = replace(select(both, negatives), teacher=None)
    with pytest.raises(AssertionError, match="looks up"):
        both(student, teacher, batch, lacking)


def test_a_gradient_through_banked_positives_alone():
    """The student's own anchors are what it learns through."""
    contrast = built(anchor="both", keys="banked")
    student, teacher, batch, negatives = signals()
    student = StudentSignal(student.logits, {ALL: student.pooled[ALL].requires_grad_()})
    teacher = TeacherSignal(teacher.logits, {ALL: teacher.pooled[ALL]})
    loss_of(contrast, student, teacher, batch, negatives).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in contrast.parameters())
    assert student.pooled[ALL].grad.abs().sum() > 0
