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
ASKS_FOR = {
    ("widths", "equal"): {"width"},
    ("heads", "any two"): {"attention"},
    ("heads", "as many on both sides"): {"attention", "heads"},
    ("tokenizers", "one for both"): {"tokenizer"},
}
REFUSED_WITH = {"width": "width_map", "heads": "heads", "attention": "attention"}


def requirements() -> dict[str, set[str]]:
    """What each preset asks two models to have in common, as the table in the documentation says."""
    table = PAGE.read_text().partition("| presets | widths | heads | tokenizers |\n")[2].partition("\n\n")[0]
    asked = {}
    for row in table.splitlines()[1:]:
        presets, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        told = [ASKS_FOR.get(pair, set()) for pair in zip(("widths", "heads", "tokenizers"), cells, strict=True)]
        asked |= {name: set().union(*told) for name in re.findall(r"`(.*?)`", presets)}
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


def test_a_preset_whose_fit_no_table_tells():
    assert set(preset_names("distill")) - set(requirements()) == {"fine-tune"}
    over_tokens = {name for name, asked in requirements().items() if "tokenizer" in asked}
    assert over_tokens == {name for name in preset_names("distill") if codir.preset(name).needs.tokens}


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("preset", requirements())
def test_a_preset_that_does_not_train_what_it_fits(tmp_path, tokenizer, preset, student):
    missing = requirements()[preset] - STUDENTS[student][1] - {"tokenizer"}
    if missing:
        with pytest.raises(UserError, match="|".join(REFUSED_WITH[part] for part in missing)):
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
    assert any("classifier" in name for name in before.keys() - still)


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
