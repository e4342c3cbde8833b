"""Training with memories of every kind, and with the choices of the rules: nothing lost, nothing chosen in silence."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from test_training import (
    PLAIN_DESCENT,
    StopAt,
    assert_same,
    codir,
    make_balanced_texts,
    make_trainer,
    run_processes,
    terms_of,
    weights_of,
)

from codir.errors import IncompleteArtifactError, UserError
from codir.memory import MemoryBank, NegativeQueue
from codir.teacher import CachedTeacher, LiveTeacher
from conftest import make_texts

pytestmark = pytest.mark.training

NO_MEMORY = "codir.trainer.choices.free_memory"


def remembered(trainer) -> dict[str, torch.Tensor]:
    return {**weights_of(trainer), **{f"memory.{name}": t for name, t in trainer.memory.state_dict().items()}}


KINDS = [
    {"memory": "bank", "memory_dtype": "float16"},
    {"memory": "queue", "queue_size": 20},
    {"memory": "queue", "queue_size": 20, "memory_dtype": "float16"},
]


@pytest.mark.parametrize("anchor", ["teacher", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_memory_that_ends_elsewhere(tmp_path, tokenizer, anchor, kind):
    settings = {"save_strategy": "steps", "save_steps": 5}
    straight = make_trainer(tmp_path / "straight", tokenizer, objectives=codir(anchor, **kind), **settings)
    straight.train()
    stopped = make_trainer(tmp_path, tokenizer, objectives=codir(anchor, **kind), callbacks=[StopAt(5)], **settings)
    stopped.train()
    torch.manual_seed(999)
    resumed = make_trainer(tmp_path, tokenizer, objectives=codir(anchor, **kind), **settings)
    resumed.train(resume_from_checkpoint=True)
    assert_same(remembered(resumed), remembered(straight))
    assert all(np.isfinite(list(terms.values())).all() for terms in terms_of(resumed))


def test_a_mapped_bank_that_trains_another_student(tmp_path, tokenizer, monkeypatch):
    """Asked for where the memory has no room, stopped, and gone on with: all to the same bits as a bank in memory."""
    settings = {"save_strategy": "steps", "save_steps": 5}
    straight = make_trainer(tmp_path / "straight", tokenizer, objectives=codir("teacher"), **settings)
    straight.train()
    monkeypatch.setattr(NO_MEMORY, lambda device: 0)
    for callbacks, resume in (([StopAt(5)], False), ([], True)):
        objectives = codir("teacher", memory="bank")
        mapped = make_trainer(tmp_path, tokenizer, objectives=objectives, callbacks=callbacks, **settings)
        mapped.train(resume_from_checkpoint=resume)
    assert_same(remembered(mapped), remembered(straight))
    assert not list((tmp_path / "run").glob(".*"))


def test_a_run_that_cannot_go_on_since_less_memory_is_free(tmp_path, tokenizer, monkeypatch):
    settings = {"save_strategy": "steps", "save_steps": 5}
    straight = make_trainer(tmp_path / "straight", tokenizer, objectives=codir("teacher"), **settings)
    straight.train()
    make_trainer(tmp_path, tokenizer, objectives=codir("teacher"), callbacks=[StopAt(5)], **settings).train()
    monkeypatch.setattr(NO_MEMORY, lambda device: 0)
    resumed = make_trainer(tmp_path, tokenizer, objectives=codir("teacher"), **settings)
    assert isinstance(resumed.memory, NegativeQueue)
    resumed.train(resume_from_checkpoint=True)
    assert isinstance(resumed.memory, MemoryBank)
    assert_same(remembered(resumed), remembered(straight))


def test_a_queue_taken_for_a_bank(tmp_path, tokenizer):
    settings = {"save_strategy": "steps", "save_steps": 4, "max_steps": 4}
    make_trainer(tmp_path, tokenizer, objectives=codir("teacher"), **settings).train()
    other = make_trainer(tmp_path, tokenizer, objectives=codir("teacher", memory="queue"), **settings)
    with pytest.raises(IncompleteArtifactError, match="memory of another run"):
        other.train(resume_from_checkpoint=True)


def test_negatives_of_a_queue_that_differ_from_the_method_written_out(tmp_path, tokenizer):
    """Two steps: nothing to compare with in the first, in the second the first step's rows of the other class."""
    train = make_balanced_texts(20)
    objectives = codir("teacher", memory="queue", queue_size=50)
    settings = {**PLAIN_DESCENT, "learning_rate": 1e-12}
    trainer = make_trainer(
        tmp_path, tokenizer, dropout=False, objectives=objectives, train=train, max_steps=2, **settings
    )
    trainer.train()
    first, second = (terms["loss/contrastive"] for terms in terms_of(trainer))
    assert first == 0.0
    assert sorted(trainer.memory.index.tolist()) == list(range(16))
    vectors = dict(zip(trainer.memory.index.tolist(), trainer.memory.vectors, strict=True))
    contrast, expected = trainer.distiller.objectives.contrast, 0.0
    for row in range(8, 16):
        pooled = trainer.teacher.pooled(torch.tensor([[row]]), contrast.teacher_representation)[0]
        anchor = contrast.embed_teacher(pooled)[0].detach()
        wrong = [other for other in range(8) if train["label"][other] != train["label"][row]]
        assert len(wrong) == 4
        right = torch.exp(anchor @ vectors[row] / 0.07)
        expected -= torch.log(right / (right + sum(torch.exp(anchor @ vectors[i] / 0.07) for i in wrong))).item() / 8
    assert second == pytest.approx(expected, rel=1e-3)


def test_neighbours_of_rows_that_are_of_no_document(tmp_path, tokenizer):
    with pytest.raises(UserError, match="`neighbours` is for `codir pretrain`"):
        make_trainer(tmp_path, tokenizer, objectives=codir("teacher", strategy="neighbours"))


def test_a_queue_that_needs_classes(tmp_path, tokenizer):
    objectives = codir("teacher", memory="queue")
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, train=make_texts(64, kind="none"))
    trainer.train()
    assert terms_of(trainer)[-1]["loss/contrastive"] > 0.0


def test_two_processes_that_keep_different_queues(once_per_suite):
    """Two gloo processes against one with the batch of both."""
    first, second = run_processes(once_per_suite, "queue", processes=2)
    (alone,) = run_processes(once_per_suite, "queue", processes=1)
    assert first == second
    assert first["index"] == alone["index"]
    moves = [np.array(report["moves"]) for report in (first, alone)]
    assert np.linalg.norm(moves[0]) > 0.1
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[0])


# ---- Which teacher ----


def test_a_choice_made_in_silence(tmp_path, tokenizer, caplog):
    caplog.set_level(logging.INFO, logger="codir")
    trainer = make_trainer(tmp_path, tokenizer, objectives=codir("teacher"), teacher_cache="auto")
    assert isinstance(trainer.teacher, CachedTeacher)
    assert "vectors of the student: memory bank of 64 x 8 float32, 2.0 kB (at most " in caplog.text
    assert "in place of 2 readings of each row" in caplog.text


def test_a_cache_built_for_one_reading(tmp_path, tokenizer):
    settings = {"teacher_cache": "auto", "num_train_epochs": 1}
    live = make_trainer(tmp_path, tokenizer, objectives=codir("teacher"), **settings)
    assert isinstance(live.teacher, LiveTeacher)
    assert not (tmp_path / "cache").exists()
    reads_negatives = make_trainer(tmp_path, tokenizer, objectives=codir("student"), **settings)
    assert isinstance(reads_negatives.teacher, CachedTeacher)
    found = make_trainer(tmp_path, tokenizer, objectives=codir("teacher"), **settings)
    assert isinstance(found.teacher, CachedTeacher)
    few_steps = make_trainer(
        tmp_path, tokenizer, objectives=codir("student"), teacher_cache_dir=tmp_path / "other", max_steps=2, **settings
    )
    assert isinstance(few_steps.teacher, LiveTeacher)
