"""A BiLSTM is distilled like any other student."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import arguments, assert_same, decided_teacher, terms_of, weights_of
from transformers import AutoModelForSequenceClassification, BertTokenizer

import codir
from codir.errors import UserError
from codir.models import check_attention
from codir.objectives import Contrastive, HardLabel, SoftTarget, WeightedObjectives
from codir.student import BiLSTMForSequenceClassification, build_student
from codir.trainer import DistillationTrainer
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

SETTINGS = {"model_type": "codir-bilstm", "hidden_size": 16, "num_hidden_layers": 2}
SMALL = {"strategy": "auto", "num_negatives": 10, "projection_dim": 8}
OBJECTIVES = {
    "kd": lambda: WeightedObjectives({"kd": SoftTarget()}, {"kd": 1.0}),
    "codir": lambda: WeightedObjectives(
        {
            "hard": HardLabel(),
            "contrast": Contrastive(anchor="student", **SMALL),
        },
        {"hard": 0.5, "contrast": 0.5},
    ),
    "codir-paper": lambda: WeightedObjectives(
        {
            "hard": HardLabel(),
            "contrast": Contrastive(anchor="teacher", **SMALL),
        },
        {"hard": 0.5, "contrast": 0.1},
    ),
}


def make_trainer(tmp_path, tokenizer, objectives="kd", **settings) -> DistillationTrainer:
    teacher = decided_teacher()
    own = {"max_length": 16, "teacher_cache": True, "teacher_cache_dir": tmp_path / "cache"}
    return DistillationTrainer(
        teacher=teacher,
        student=build_student(teacher, config=SETTINGS),
        args=arguments(tmp_path / "run", **{**own, "learning_rate": 1e-2, **settings}),
        objectives=OBJECTIVES[objectives](),
        train_dataset=make_texts(64),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("objectives", OBJECTIVES)
def test_a_recurrent_student_that_learns_nothing(tmp_path, tokenizer, objectives, precision):
    trainer = make_trainer(tmp_path, tokenizer, objectives, num_train_epochs=10, bf16=precision == "bf16")
    trainer.train()
    terms = terms_of(trainer)
    learned = set(terms[0]) - ({"loss/contrast"} if objectives == "codir-paper" else set())  # a bank's is easy at once
    for name in learned:
        early, late = (np.mean([step[name] for step in part]) for part in (terms[:8], terms[-8:]))
        assert late < 0.8 * early, name
    assert np.isfinite(trainer.predict(make_texts(10, seed=3)).predictions).all()


def test_a_recurrent_student_that_crashes_on_a_processor_without_bf16(tmp_path):
    """Held to AVX2, oneDNN has no LSTM in bf16 and multiplies bf16 matrices a hundred times slower than fp32 ones."""
    words = [sys.executable, str(Path(__file__).with_name("recurrent_run.py")), str(tmp_path)]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    run = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]
    report = json.loads(run.stdout.splitlines()[-1])
    assert not report["auto_is_bf16"]
    for way in ("auto", "bf16", "trainer"):
        assert len(report[way]) == 2, way
        assert np.isfinite(report[way]).all(), way
    if platform.machine() in ("x86_64", "AMD64"):  # other processors ignore the setting
        assert run.stderr.count("This processor has no LSTM in torch.bfloat16") == 1  # a note, once


def test_a_checkpoint_of_a_recurrent_student_that_goes_on_elsewhere(tmp_path, tokenizer):
    settings = {"save_strategy": "steps", "save_steps": 8}
    straight = make_trainer(tmp_path, tokenizer, "codir", **settings)
    straight.train()
    resumed = make_trainer(tmp_path, tokenizer, "codir", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-8"))
    assert_same(weights_of(resumed), weights_of(straight))


def test_layers_that_pool_padding_too(tmp_path, tokenizer):
    distiller = make_trainer(tmp_path, tokenizer, "codir").distiller.eval()
    student, texts = distiller.student, make_texts(8)["text"]
    (pooled,) = distiller.student_signal(tokenizer(list(texts), return_tensors="pt", padding=True)).pooled.values()
    for row, text in enumerate(texts):
        states = student(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        by_hand = torch.stack([state[0].mean(dim=0) for state in states[1:]])
        assert torch.allclose(pooled[row], by_hand, atol=1e-6)


@pytest.mark.parametrize(("family", "tokens"), [("gpt2", "left"), ("bert", "right")])
def test_padding_on_the_other_side_that_is_read(tmp_path, family, tokens):
    """A decoder's tokenizer pads on the left; the recurrent student of such a teacher trains all the same."""
    padded = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}, padding_side=tokens)
    teacher = tiny_classifier(family, num_labels=2)
    trainer = DistillationTrainer(
        teacher=teacher,
        student=build_student(teacher, config=SETTINGS),
        args=arguments(tmp_path / "run", max_steps=2, max_length=16, teacher_cache=False),
        objectives=OBJECTIVES["codir"](),
        train_dataset=make_texts(64),
        processing_class=padded,
    )
    trainer.train()
    assert trainer.state.global_step == 2


def test_attention_that_a_recurrent_student_has_none_of():
    with pytest.raises(UserError, match="objectives that compare attention, got BiLSTMForSequenceClassification"):
        check_attention(build_student(decided_teacher(), config=SETTINGS))


def test_a_recipe_that_cannot_ask_for_a_recurrent_student(tmp_path, tokenizer):
    teacher = tiny_classifier("bert", num_labels=2, seed=1)
    teacher.save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    make_texts(80).to_csv(tmp_path / "rows.csv", index=False)
    settings = {"num_train_epochs": 1, "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"}
    recipe = codir.Recipe(
        teacher={"model": str(tmp_path / "teacher"), "cache_dir": tmp_path / "cache"},
        data={"source": str(tmp_path / "rows.csv"), "max_length": 16},
        student={"config": {**SETTINGS, "embedding_size": "teacher"}},
        objectives={"preset": "codir", "contrastive": {"num_negatives": 5}},
        training=settings,
        output_dir=tmp_path / "student",
    )
    result = codir.distill(recipe)
    assert result.student.parameters < result.teacher.parameters
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert isinstance(loaded, BiLSTMForSequenceClassification)
    assert "embeddings copied from the teacher" in (tmp_path / "student" / "report.md").read_text()
