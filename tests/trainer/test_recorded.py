"""What training did when it was recorded, it does still: the losses of every preset, and runs that were interrupted."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from torch.testing import assert_close

import codir

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recorded"))
from record import LOSSES, RUNS, STEPS, losses_of, preset_names, recipe_for

pytestmark = pytest.mark.training

ROUNDING = {"rel": 1e-4, "abs": 1e-6}
"""On another processor. A KL subtracts log-probabilities near log(100) = 4.6, whose spacing in float32 is 5e-7."""


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_that_trains_otherwise_than_it_did(tmp_path, preset):
    recorded = json.loads(LOSSES.read_text())[preset]
    assert len(recorded) == STEPS
    for step, (now, before) in enumerate(zip(losses_of(preset, tmp_path), recorded, strict=True), start=1):
        assert now == pytest.approx(before, **ROUNDING), f"step {step}"


@pytest.mark.parametrize("stage", ["distill", "pretrain"])
def test_an_interrupted_run_of_an_earlier_version_that_cannot_go_on(tmp_path, monkeypatch, stage):
    folder = Path(shutil.copytree(RUNS / stage, tmp_path / stage))
    monkeypatch.chdir(folder)
    recorded = yaml.safe_load((folder / "student" / "recipe.yaml").read_text())
    if stage == "distill":  # the key came later, with a default that runs did without
        with pytest.raises(codir.UserError, match=r"objectives\.contrastive\.warmup_steps changed from 0 to 50"):
            codir.distill(recipe_for(stage, **{**recorded, "resume": True}))
        recorded["objectives"]["contrastive"]["warmup_steps"] = 0
    recipe = recipe_for(stage, **{**recorded, "resume": True})
    result = getattr(codir, stage)(recipe)
    steps = [entry["step"] for entry in result.log_history if "loss" in entry]
    assert steps == list(range(1, 9))  # four of them from the checkpoint
    assert_close(load_file("student/model.safetensors"), load_file("expected.safetensors"), rtol=1e-4, atol=1e-6)
