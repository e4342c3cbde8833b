"""Objectives that compare tokens: teacher and student must have read the same ones, and everything else goes on."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from test_training import (
    PLAIN_DESCENT,
    StopAt,
    arguments,
    assert_same,
    codir,
    decided_teacher,
    make_trainer,
    run_processes,
    terms_of,
    weights_of,
)
from token_objectives import AttentionMse, TokenMse
from transformers import BertTokenizer

from codir.errors import UserError
from codir.objectives import HardLabel, WeightedObjectives
from codir.signals import Batch
from codir.teacher import CachedTeacher, LiveTeacher
from codir.trainer import DistillationTrainer
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training


def over_tokens(*, contrast: bool = False) -> WeightedObjectives:
    objectives = {"hard_label": HardLabel(), "hidden": TokenMse(), "attention": AttentionMse()}
    if contrast:
        objectives["contrastive"] = codir("student").contrast
    return WeightedObjectives(objectives, dict.fromkeys(objectives, 1.0))


def two_batches(trainer) -> list[Batch]:
    rows = [trainer.train_dataset[i] for i in range(16)]
    return [Batch.from_collated(trainer._train_collator(rows[half])) for half in (slice(0, 8), slice(8, 16))]


def test_a_teacher_that_reads_other_tokens_than_the_student(tmp_path, tokenizer):
    """Of every padded batch: the same mask, and the states that the teacher has for the very ids of the student."""
    teacher = decided_teacher()
    trainer = make_trainer(tmp_path, tokenizer, objectives=over_tokens(), teacher=teacher)
    for batch in two_batches(trainer):
        assert not batch.model_inputs["attention_mask"].all()
        said, own = trainer.teacher.signal(batch), trainer.distiller.student_signal(batch.model_inputs)
        assert torch.equal(said.tokens.mask, own.tokens.mask)
        with torch.no_grad():
            expected = teacher.eval()(**batch.model_inputs, output_hidden_states=True).hidden_states
        assert len(said.tokens.hidden_states) == len(expected) == 5
        for found, state in zip(said.tokens.hidden_states, expected, strict=True):
            assert torch.equal(found, state)
        assert len(said.tokens.attention) == 4
        assert len(own.tokens.attention) == 2
        assert own.tokens.attention[0].query.requires_grad
        assert not said.tokens.attention[0].query.requires_grad


def test_a_student_like_its_teacher_that_has_something_to_learn(tmp_path, tokenizer):
    """Student and teacher are one model without dropout, so every term over tokens is 0 at the first step."""
    twin = tiny_classifier("bert", num_labels=2, layers=2, seed=2)
    trainer = make_trainer(
        tmp_path, tokenizer, objectives=over_tokens(), teacher=twin, dropout=False, max_steps=1, **PLAIN_DESCENT
    )
    trainer.train()
    (terms,) = terms_of(trainer)
    assert terms["loss/hidden"] == pytest.approx(0.0, abs=1e-10)
    assert terms["loss/attention"] == pytest.approx(0.0, abs=1e-10)
    assert terms["loss/hard_label"] > 0.1


def test_pooled_layers_that_differ_beside_tokens(tmp_path, tokenizer):
    """The same rows, pooled from the student's batch and from the teacher's own: one representation, cached or not."""
    beside = make_trainer(tmp_path, tokenizer, objectives=over_tokens(contrast=True), teacher=decided_teacher())
    alone = make_trainer(tmp_path, tokenizer, objectives=codir("student"), teacher=decided_teacher())
    assert isinstance(beside.teacher, LiveTeacher)
    assert isinstance(alone.teacher, CachedTeacher)
    asked = alone.distiller.objectives.contrast.teacher_representation
    for batch in two_batches(beside):
        found, expected = (trainer.teacher.signal(batch) for trainer in (beside, alone))
        assert torch.allclose(found.pooled[asked], expected.pooled[asked], atol=1e-4)
        assert torch.allclose(found.logits, expected.logits, atol=1e-4)
    rows = torch.tensor([[3, 40]])
    assert torch.allclose(beside.teacher.pooled(rows, asked), alone.teacher.pooled(rows, asked), atol=1e-4)


def test_a_cache_built_or_left_out_in_silence(tmp_path, tokenizer, caplog):
    caplog.set_level(logging.INFO, logger="codir")
    trainer = make_trainer(tmp_path, tokenizer, objectives=over_tokens(contrast=True), teacher_cache=True)
    lines = [record.message for record in caplog.records if "cache was asked for" in record.message]
    assert len(lines) == 1
    assert "compare tokens" in lines[0]
    assert "reads the negatives too" in caplog.text
    assert not (tmp_path / "cache").exists()
    trainer.train()
    assert all(np.isfinite(list(terms.values())).all() for terms in terms_of(trainer))


def test_tokens_of_two_tokenizers_compared_one_by_one(tmp_path, tokenizer):
    other = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])})
    with pytest.raises(UserError, match=r"token by token.*presets `codir`, `kd`, `pooled-mse`"):
        DistillationTrainer(
            tiny_classifier("bert", num_labels=2),
            tiny_classifier("bert", num_labels=2),
            arguments(tmp_path),
            over_tokens(),
            make_texts(64),
            processing_class=tokenizer,
            teacher_processing_class=other,
        )


def test_attention_found_out_of_reach_in_the_middle_of_a_step(tmp_path, tokenizer):
    with pytest.raises(UserError, match="MPNetForSequenceClassification"):
        make_trainer(tmp_path, tokenizer, objectives=over_tokens(), teacher=tiny_classifier("mpnet", num_labels=2))


def test_recomputed_attention_that_gives_no_gradient(tmp_path, tokenizer):
    settings = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}}
    with pytest.raises(UserError, match="use_reentrant"):
        make_trainer(tmp_path, tokenizer, objectives=over_tokens(), **settings)


@pytest.mark.parametrize("settings", [{"activation_checkpointing": True}, {"bf16": True}])
def test_a_setting_that_stops_training_over_tokens(tmp_path, tokenizer, settings):
    trainer = make_trainer(tmp_path, tokenizer, objectives=over_tokens(), max_steps=3, **settings)
    queries = trainer.student.bert.encoder.layer[1].attention.self.query.weight
    before = queries.detach().clone()
    trainer.train()
    assert not torch.equal(queries, before)
    assert terms_of(trainer)[0]["loss/attention"] > 0.0


def test_a_resumed_run_over_tokens_that_ends_elsewhere(tmp_path, tokenizer):
    settings = {"save_strategy": "steps", "save_steps": 5}
    straight = make_trainer(tmp_path / "straight", tokenizer, objectives=over_tokens(), **settings)
    straight.train()
    make_trainer(tmp_path, tokenizer, objectives=over_tokens(), callbacks=[StopAt(5)], **settings).train()
    torch.manual_seed(999)
    resumed = make_trainer(tmp_path, tokenizer, objectives=over_tokens(), **settings)
    resumed.train(resume_from_checkpoint=True)
    assert_same(weights_of(resumed), weights_of(straight))


def test_two_processes_that_wait_for_gradients_that_never_come(once_per_suite):
    """Nothing asks for logits, so pooler and classifier get none; two gloo processes against one."""
    first, second = run_processes(once_per_suite, "tokens", processes=2)
    (alone,) = run_processes(once_per_suite, "tokens", processes=1)
    assert first == second
    unmoved = [f"{part}.{kind}" for part in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")]
    assert first["unmoved"] == unmoved
    moves = [np.array(report["moves"]) for report in (first, alone)]
    assert np.linalg.norm(moves[0]) > 0.001
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[0])
