"""Training with every preset of the contrastive family: what is remembered, resumed, and shared between processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_training import (
    PLAIN_DESCENT,
    StopAt,
    assert_same,
    codir,
    decided_teacher,
    make_trainer,
    pool_by_hand,
    run_processes,
    terms_of,
    weights_of,
)
from transformers import AutoModelForSequenceClassification, TrainerCallback

import codir.teacher.space as codir_space
from codir.config import preset_names, read_preset
from codir.errors import IncompleteArtifactError, UserError
from codir.objectives import HardLabel, Stage, StagedObjectives, WeightedObjectives
from codir.runs import preset
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

FAMILY = [name for name in preset_names("distill") if "contrastive" in read_preset(name)["objectives"]]
TOLD_BY_AGE = ("codir-paper", "moco")
"""Here the positive is of this step and the negatives are older, by which they are told from it where the student moves
fast: the loss is near 0 at first, and grows as the steps become small."""

SMALL = {"num_negatives": 10, "projection_dim": 8, "queue_size": 20}
SAVING = {"save_strategy": "steps", "save_steps": 5}


def everything(trainer) -> dict[str, torch.Tensor]:
    remembered = trainer.memories.state_dict()
    return {**weights_of(trainer), **{f"memory.{name}": tensor.clone() for name, tensor in remembered.items()}}


def test_a_preset_of_the_family_that_no_test_trains():
    assert {"codir-soft", "crd", "in-batch", "instance-bank", "jsd", "moco", "supcon"} <= set(FAMILY)


@pytest.mark.parametrize("name", FAMILY)
def test_a_preset_that_does_not_train(tmp_path, tokenizer, name):
    """The contrast alone, so that nothing else moves the student."""
    objectives = preset(name, hard_label=None, soft_target=None, contrastive={**SMALL, "weight": 1.0})
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, dropout=False, num_train_epochs=6)
    before = trainer.student.bert.encoder.layer[0].output.dense.weight.detach().clone()
    trainer.train()
    losses = [terms["loss/contrastive"] for terms in terms_of(trainer)]
    assert np.isfinite(losses).all()
    assert losses[-1] > 0
    assert (trainer.student.bert.encoder.layer[0].output.dense.weight - before).norm() > 1e-3
    if name not in TOLD_BY_AGE:
        assert np.mean(losses[-8:]) < 0.98 * np.mean(losses[:8])


@pytest.mark.parametrize("name", ["codir-soft", "crd", "instance-bank", "moco", "supcon"])
def test_a_resumed_run_of_the_family_that_ends_elsewhere(tmp_path, tokenizer, name):
    def run(folder, callbacks=(), *, resume=False):
        objectives = preset(name, contrastive={**SMALL, "learned_temperature": True})
        trainer = make_trainer(folder, tokenizer, objectives=objectives, callbacks=list(callbacks), **SAVING)
        trainer.train(resume_from_checkpoint=resume)
        return everything(trainer)

    straight = run(tmp_path / "straight")
    run(tmp_path, [StopAt(5)])
    torch.manual_seed(999)
    assert_same(run(tmp_path, resume=True), straight)


@pytest.mark.parametrize("keys", ["fresh", "banked"])
def test_a_fixed_space_that_differs_without_the_cache(tmp_path, tokenizer, monkeypatch, keys):
    """Fitted on a part of the rows: while the cache is built, or before a live teacher first speaks."""
    monkeypatch.setattr(codir_space, "SAMPLE_ROWS", 40)
    ends = []
    for is_cached in (True, False):
        options = {"estimator": "soft", "keys": keys, "anchor": "both", "teacher_head": "pca"}
        settings = {**PLAIN_DESCENT, "objectives": codir(**options), "dropout": False, "max_steps": 4}
        trainer = make_trainer(tmp_path / str(is_cached), tokenizer, teacher_cache=is_cached, **settings)
        trainer.train()
        ends.append(everything(trainer))
    assert all(torch.allclose(one, ends[1][name], atol=1e-4) for name, one in ends[0].items())


@pytest.mark.parametrize("stop_at", [5, 10], ids=["before", "within"])
@pytest.mark.parametrize("name", ["crd", "moco"])
def test_a_later_stage_that_contrasts_otherwise_when_resumed(tmp_path, tokenizer, name, stop_at):
    """Labels for 8 steps, the contrast for 8 more: its banks or its copy begin with the second stage."""

    def run(folder, callbacks=(), *, resume=False):
        labels = WeightedObjectives({"hard_label": HardLabel()}, {"hard_label": 1.0})
        objectives = StagedObjectives([Stage(labels), Stage(preset(name, contrastive=SMALL))])
        trainer = make_trainer(folder, tokenizer, objectives=objectives, callbacks=list(callbacks), **SAVING)
        trainer.train(resume_from_checkpoint=resume)
        return everything(trainer)

    straight = run(tmp_path / "straight")
    run(tmp_path, [StopAt(stop_at)])
    torch.manual_seed(999)
    assert_same(run(tmp_path, resume=True), straight)


@pytest.mark.parametrize("anchor", ["student", "both"])
def test_a_queue_of_the_teacher_that_holds_other_vectors(tmp_path, tokenizer, anchor):
    """After three steps of a head that stands still: projections of the last rows, in both queues the same rows."""
    objectives, train = codir(anchor, keys="queued", queue_size=20), make_texts(64)
    model = decided_teacher()
    settings = {**PLAIN_DESCENT, "learning_rate": 1e-12, "max_steps": 3, "teacher_cache": False}
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, train=train, teacher=model, **settings)
    trainer.train()
    queue, contrast = trainer.memories.teacher, trainer.distiller.objectives.contrast
    assert sorted(queue.index.tolist()) == list(range(4, 24))
    for row, vector in zip(queue.index.tolist(), queue.vectors, strict=True):
        with torch.no_grad():
            expected = contrast.embed_teacher(pool_by_hand(model, tokenizer, train["text"][row]))
        assert torch.allclose(vector, expected, atol=1e-5)
    assert trainer.memory is None if anchor == "student" else torch.equal(trainer.memory.index, queue.index)


def test_queues_of_both_sides_that_a_resumed_run_loses(tmp_path, tokenizer):
    def run(folder, callbacks=(), *, resume=False):
        objectives = codir("both", keys="queued", queue_size=20)
        trainer = make_trainer(folder, tokenizer, objectives=objectives, callbacks=list(callbacks), **SAVING)
        trainer.train(resume_from_checkpoint=resume)
        return everything(trainer)

    straight = run(tmp_path / "straight")
    assert {"memory.index", "memory.teacher.index"} <= straight.keys()
    run(tmp_path, [StopAt(5)])
    torch.manual_seed(999)
    assert_same(run(tmp_path, resume=True), straight)


def test_a_slow_copy_that_does_not_follow_or_fills_no_queue(tmp_path, tokenizer):
    """The weights after each step, averaged by hand; and the queue, read off with the copies of those steps."""
    weights, queued = [], []

    class Watch(TrainerCallback):
        def on_optimizer_step(self, args, state, control, **kwargs):
            weights.append(trainer.student.classifier.weight.detach().clone())

        def on_step_begin(self, args, state, control, **kwargs):
            copy = trainer.memories.copy.distiller
            with torch.no_grad():
                pooled = [pool_by_hand(copy.student, tokenizer, text) for text in trainer.train_dataset_texts]
                queued.append([copy.objectives.contrast.spaces[0].student_head(each) for each in pooled])

    objectives = codir("teacher", memory="momentum", queue_size=20, encoder_momentum=0.75)
    train = make_texts(64)
    trainer = make_trainer(
        tmp_path, tokenizer, objectives=objectives, train=train, max_steps=3, callbacks=[Watch()], **PLAIN_DESCENT
    )
    trainer.train_dataset_texts = train["text"]
    start = trainer.student.classifier.weight.detach().clone()
    trainer.train()
    expected = start
    for weight in weights:
        expected = 0.75 * expected + 0.25 * weight
    assert torch.allclose(trainer.memories.copy.distiller.student.classifier.weight, expected, atol=1e-6)
    assert not torch.allclose(expected, weights[-1], atol=1e-6)
    entries = dict(zip(trainer.memory.index.tolist(), trainer.memory.vectors, strict=True))
    assert sorted(entries) == list(range(4, 24))
    for row, vector in entries.items():
        assert torch.allclose(vector, queued[row // 8][row], atol=1e-5)


def test_a_students_checkpoint_that_carries_its_slow_copy_away(tmp_path, tokenizer):
    objectives = codir("teacher", memory="momentum", queue_size=20)
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "student"))
    saved = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert sum(p.numel() for p in saved.parameters()) == sum(p.numel() for p in trainer.student.parameters())


def test_teacher_vectors_that_their_bank_has_wrong(tmp_path, tokenizer):
    """After the first pass every slot is its example's projection; after a step, half of it is the old one."""
    objectives, train = codir("both", keys="banked", bank_momentum=0.5), make_texts(64)
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, train=train, max_steps=1, **PLAIN_DESCENT)
    contrast, model = trainer.distiller.objectives.contrast, tiny_classifier("bert", num_labels=2, seed=1)
    with torch.no_grad():
        expected = torch.stack([contrast.embed_teacher(pool_by_hand(model, tokenizer, text)) for text in train["text"]])
    trainer.keeper.begin(trainer.teacher)
    assert torch.allclose(trainer.memories.teacher.vectors, expected, atol=1e-4)
    trainer.memories.teacher.fill(torch.arange(64), expected.flip(0))
    trainer.keeper.fill_teacher_bank = lambda bank, teacher: bank.fill(torch.arange(64), expected.flip(0))
    trainer.train()
    moved = torch.nn.functional.normalize(expected + expected.flip(0), dim=1)
    assert torch.allclose(trainer.memories.teacher.vectors[:8], moved[:8], atol=1e-4)
    assert torch.equal(trainer.memories.teacher.vectors[8:], expected.flip(0)[8:])


def test_a_bank_that_reads_all_rows_with_the_student_although_the_teachers_is_there(tmp_path, tokenizer):
    """Beside a bank of the teacher's vectors the student's starts as its copy, and rows come in as they are trained."""
    objectives = codir("both", keys="banked")
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, max_steps=1, dropout=False, **PLAIN_DESCENT)
    trainer.keeper.fill_bank = lambda: pytest.fail("a pass over all rows")
    trainer.keeper.begin(trainer.teacher)
    start = trainer.memories.teacher.vectors.clone()
    assert torch.equal(trainer.bank.vectors, start)
    with torch.no_grad():
        rows = trainer.train_dataset.select(range(8))
        inputs = trainer._plain_collator([rows[row] for row in range(8)])
        fresh = trainer.distiller.eval().student_vectors({n: inputs[n] for n in tokenizer.model_input_names})
    trainer.train()
    moved = torch.nn.functional.normalize(0.5 * start[:8] + 0.5 * fresh, dim=1)
    assert torch.allclose(trainer.bank.vectors[:8], moved, atol=1e-4)
    assert torch.equal(trainer.bank.vectors[8:], start[8:])


def test_a_live_teachers_bank_that_differs_from_the_caches(tmp_path, tokenizer):
    banks = []
    for is_cached in (True, False):
        trainer = make_trainer(
            tmp_path,
            tokenizer,
            teacher=decided_teacher(),
            objectives=codir("both", keys="banked"),
            teacher_cache=is_cached,
            max_steps=2,
        )
        trainer.train()
        banks.append(trainer.memories.teacher.vectors)
    assert torch.allclose(*banks, atol=1e-4)


def test_a_bank_of_one_side_taken_for_banks_of_both(tmp_path, tokenizer):
    settings = {"save_strategy": "steps", "save_steps": 4, "max_steps": 4}
    make_trainer(tmp_path, tokenizer, objectives=codir("both"), **settings).train()
    other = make_trainer(tmp_path, tokenizer, objectives=codir("both", keys="banked"), **settings)
    with pytest.raises(IncompleteArtifactError, match="memory of another run"):
        other.train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("scores", r"expected a kind of task with one class for each row, got `regression`"),
        ("none", "class labels for `supcon`.*got no labels"),
    ],
)
def test_supervised_contrast_that_begins_without_classes(tmp_path, tokenizer, kind, found):
    labels = 1 if kind == "scores" else 2
    with pytest.raises(UserError, match=found):
        make_trainer(
            tmp_path,
            tokenizer,
            objectives=preset("supcon"),
            train=make_texts(64, kind=kind),
            teacher=tiny_classifier("bert", num_labels=labels),
            student=tiny_classifier("bert", num_labels=labels, layers=2),
        )


@pytest.mark.parametrize("options", [{"source": "batch"}, {"strategy": "mixed"}, {"hard_pool": 3}, {"per_layer": True}])
@pytest.mark.parametrize("kind", ["scores", "none"])
def test_a_choice_of_negatives_that_needs_classes(tmp_path, tokenizer, options, kind):
    labels = 1 if kind == "scores" else 2
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        objectives=codir("student", num_negatives=4, **options),
        train=make_texts(64, kind=kind),
        teacher=tiny_classifier("bert", num_labels=labels),
        student=tiny_classifier("bert", num_labels=labels, layers=2),
        max_steps=2,
    )
    trainer.train()
    assert terms_of(trainer)[-1]["loss/contrastive"] > 0.0


def test_processes_that_contrast_otherwise_than_one(once_per_suite):
    """Two gloo processes against one with the batch of both: gathered rows and gradients, banks, copy, normaliser."""
    first, second = run_processes(once_per_suite, "family", processes=2)
    (alone,) = run_processes(once_per_suite, "family", processes=1)
    assert first == second
    assert len(alone) == 7
    for name, report in alone.items():
        moves = [np.array(each["moves"]) for each in (first[name], report)]
        assert np.linalg.norm(moves[0]) > 0.1, name
        assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[0]), name
        assert np.allclose(first[name]["state"], report["state"], atol=1e-3), name
