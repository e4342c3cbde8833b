"""Every preset trains every pair of models that docs/papers.md says it fits, and refuses the others before training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_training import arguments, decided_teacher, terms_of, weights_of
from transformers import AutoModelForSequenceClassification

import codir
from codir.config import FinetuneConfig, ObjectivesConfig, Recipe, preset_names
from codir.data import find_minilm
from codir.errors import UserError
from codir.runs.objectives import build_objectives, presets_for
from codir.student import build_student
from codir.tasks import KINDS
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
OF_CLASSES = presets_for(KINDS["classification"])
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
        args=arguments(
            tmp_path / "run",
            max_steps=steps,
            learning_rate=3e-3,
            train_sampling_strategy="random",
            max_length=16,
            teacher_cache_dir=tmp_path / "cache",
            teacher_cache=True,
        ),
        objectives=objectives,
        train_dataset=make_texts(256),
        processing_class=tokenizer,
    )


def test_a_preset_whose_fit_no_table_tells():
    assert set(preset_names("distill")) - set(requirements()) == {"fine-tune"}
    over_tokens = {name for name, asked in requirements().items() if "tokenizer" in asked}
    assert over_tokens == {name for name in preset_names("distill") if codir.preset(name).needs.tokens}


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("preset", sorted({*requirements()} & {*OF_CLASSES}))
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


@pytest.fixture(scope="module")
def rte_teacher(tmp_path_factory, glue_dir) -> Path:
    """MiniLM after a few steps on RTE."""
    folder = tmp_path_factory.mktemp("rte") / "teacher"
    settings = {"data": real_pairs(glue_dir), "training": {"max_steps": 60, "use_cpu": True}}
    codir.finetune(FinetuneConfig(model=str(find_minilm()), output_dir=folder, **settings))
    return folder


def real_pairs(glue_dir: Path) -> dict[str, object]:
    return {"source": "glue:RTE", "data_dir": glue_dir, "max_length": 64}


@pytest.mark.slow
@pytest.mark.parametrize("preset", OF_CLASSES)
def test_a_preset_that_does_not_train_on_real_pairs(tmp_path, rte_teacher, glue_dir, preset):
    recipe = Recipe(
        teacher={"model": str(rte_teacher), "cache_dir": rte_teacher.parent / "cache"},
        data=real_pairs(glue_dir),
        student={"layers": 3},
        objectives={"preset": preset},
        training={"max_steps": 20, "logging_steps": 1, "use_cpu": True},
        output_dir=tmp_path / "student",
    )
    history = [entry for entry in codir.distill(recipe).log_history if "loss" in entry]
    assert len(history) == 20
    assert all(np.isfinite([value for name, value in entry.items() if "loss" in name]).all() for entry in history)
    student = AutoModelForSequenceClassification.from_pretrained(recipe.output_dir)
    start = AutoModelForSequenceClassification.from_pretrained(rte_teacher).state_dict()
    moved = [name for name, weight in student.state_dict().items() if not weight.equal(start[name])]
    assert len(moved) > len(student.state_dict()) / 2


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
