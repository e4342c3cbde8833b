"""Every preset trains every pair of models that docs/papers.md says it fits, and refuses the others before training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_training import arguments, decided_teacher, terms_of, weights_of

import codir
from codir.config import ObjectivesConfig, preset_names
from codir.errors import UserError
from codir.recipe import build_objectives
from codir.student import build_student
from codir.trainer import DistillationTrainer
from conftest import make_texts

pytestmark = pytest.mark.training

PAGE = Path(__file__).resolve().parents[2] / "docs" / "papers.md"
STEPS = 12
NARROW = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
STUDENTS = {  # of a teacher of width 32 with 4 heads: how to build them, and what the teacher has in common with them
    "copied": ({"layers": 2}, {"width", "heads", "attention"}),
    "narrow": ({"config": NARROW}, {"heads", "attention"}),
    "of-two-heads": ({"config": {"num_hidden_layers": 2, "num_attention_heads": 2}}, {"width", "attention"}),
    "recurrent": ({"config": {"model_type": "codir-bilstm", "hidden_size": 32, "num_hidden_layers": 2}}, {"width"}),
}
ASKS_FOR = {"any two": {"attention"}, "as many on both sides": {"attention", "heads"}, "any, or none": set()}


def requirements() -> dict[str, set[str]]:
    """What each preset asks two models to have in common, as the table in the documentation says."""
    asked = {}
    for presets, widths, heads in re.findall(
        r"^\| (`.*?`) \| (any two|equal) \| (a.*?) \|", PAGE.read_text(), re.MULTILINE
    ):
        for name in re.findall(r"`(.*?)`", presets):
            asked[name] = ASKS_FOR[heads] | ({"width"} if widths == "equal" else set())
    return asked


def make_trainer(tmp_path, tokenizer, objectives, student: str, *, steps: int = STEPS) -> DistillationTrainer:
    teacher = decided_teacher()
    for layer in teacher.bert.encoder.layer:
        for part in (layer.attention.self.query, layer.attention.self.key, layer.attention.self.value):
            part.weight.data.mul_(8)  # tokens that look at some more than at others
    return DistillationTrainer(
        teacher=teacher,
        student=build_student(teacher, **STUDENTS[student][0]),
        args=arguments(tmp_path / "run", max_steps=steps, learning_rate=3e-3, train_sampling_strategy="random"),
        objectives=objectives,
        train_dataset=make_texts(256),
        processing_class=tokenizer,
        max_length=16,
        teacher_cache_dir=tmp_path / "cache",
    )


def test_a_preset_that_no_table_says_the_fit_of():
    assert len(requirements()) >= 14
    assert set(preset_names()) - set(requirements()) == {"fine-tune"}


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("preset", requirements())
def test_a_preset_that_does_not_train_what_it_fits(tmp_path, tokenizer, preset, student):
    if not requirements()[preset] <= STUDENTS[student][1]:
        with pytest.raises(UserError, match="What to do"):
            make_trainer(tmp_path, tokenizer, codir.preset(preset), student)
        return
    trainer = make_trainer(tmp_path, tokenizer, codir.preset(preset), student)
    before = weights_of(trainer)
    trainer.train()
    history = terms_of(trainer)
    assert len(history) == STEPS
    assert all(np.isfinite(list(terms.values())).all() for terms in history)
    still = {name for name, weight in weights_of(trainer).items() if weight.equal(before[name])}
    assert not {name for name in still if name.startswith("objectives.")}  # every map learns
    assert len(still) < len(before) / 2


@pytest.mark.parametrize("student", ["narrow", "copied"])
@pytest.mark.parametrize(
    "term", ["logit_mse", "pooled_mse", "hidden_mse", "attention_mse", "attention_kl", "relation_kl"]
)
def test_a_term_that_brings_the_student_no_nearer_to_its_teacher(tmp_path, tokenizer, term, student):
    alone = build_objectives(ObjectivesConfig.model_validate({"preset": None, term: {}}))
    trainer = make_trainer(tmp_path, tokenizer, alone, student, steps=48)
    trainer.train()
    values = [terms[f"loss/{term}"] for terms in terms_of(trainer)]
    assert np.mean(values[-8:]) < 0.9 * np.mean(values[:8])
