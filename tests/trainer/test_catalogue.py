"""Every preset trains, on students of the teacher's width and, where its paper has a map, of another."""

from __future__ import annotations

import pytest
import torch
from test_training import decided_teacher, make_trainer, weights_of
from transformers import AutoModelForSequenceClassification

from codir.config import preset_names
from codir.errors import UserError
from codir.recipe import preset
from families import FAMILIES

pytestmark = pytest.mark.training

WITHOUT_A_MAP = {
    "distilbert": "width_map",
    "internal": "width_map",
    "internal-stacked": "width_map",
    "mobilebert": "width_map",
    "pkd": "width_map",
    "pkd-last": "width_map",
}
FEW = {"contrastive": {"num_negatives": 10}}


def objectives_of(name: str):
    has_contrast = preset(name).needs.negatives is not None
    return preset(name, **FEW) if has_contrast else preset(name)


def narrow_student():
    torch.manual_seed(2)
    config = FAMILIES["bert"](num_hidden_layers=2, num_labels=2, hidden_size=16)
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_that_does_not_train(tmp_path, tokenizer, name):
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives_of(name), teacher=decided_teacher(), max_steps=6)
    before = {key: weight.clone() for key, weight in weights_of(trainer).items()}
    trainer.train()
    moved = [key for key, weight in weights_of(trainer).items() if not torch.equal(weight, before[key])]
    assert any("encoder.layer.0" in key for key in moved)
    assert any("classifier" in key for key in moved)


@pytest.mark.parametrize("name", [name for name in preset_names() if name not in WITHOUT_A_MAP])
def test_a_preset_that_does_not_train_a_narrow_student(tmp_path, tokenizer, name):
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        objectives=objectives_of(name),
        teacher=decided_teacher(),
        student=narrow_student(),
        max_steps=3,
    )
    trainer.train()
    assert trainer.state.global_step == 3


@pytest.mark.parametrize("name", WITHOUT_A_MAP)
def test_a_narrow_student_without_a_map_that_trains_on(tmp_path, tokenizer, name):
    with pytest.raises(UserError, match=WITHOUT_A_MAP[name]):
        make_trainer(tmp_path, tokenizer, objectives=preset(name), teacher=decided_teacher(), student=narrow_student())
