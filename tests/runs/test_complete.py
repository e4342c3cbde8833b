"""A run that is complete: its checkpoints go, and `--resume` says so at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_output import finetuning, place  # noqa: F401 - a fixture

from codir.config import FinetuneConfig
from codir.errors import CompleteError, UserError
from codir.runs.output import RunFolder, run_folder
from codir.store import SCAFFOLDING_NAME


def leave_checkpoint(folder: Path, name: str, *, sign: str = SCAFFOLDING_NAME) -> Path:
    """A checkpoint with a few files."""
    checkpoint = folder / name
    checkpoint.mkdir(parents=True)
    for file in (sign, "optimizer.pt", "scheduler.pt"):
        (checkpoint / file).write_text("state")
    return checkpoint


def do_run(config: FinetuneConfig) -> None:
    """A run that leaves a model, checkpoints of its own, and beside them what others wrote."""
    out = config.output_dir
    with run_folder(config) as folder:
        folder.claim()
        leave_checkpoint(out, "checkpoints/checkpoint-4")
        leave_checkpoint(out, "baseline/checkpoints/checkpoint-8")
        folder.ledger.add([out / "model.safetensors", out / "config.json"])
        for name in ("model.safetensors", "config.json"):
            (out / name).write_text("whole")


def left_in(folder: Path) -> set[str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return {name for name in names if "checkpoint" in name}


def test_checkpoints_that_outlive_their_run(place):  # noqa: F811
    do_run(finetuning(place))
    assert left_in(place / "out") == set()
    assert (place / "out" / "model.safetensors").read_text() == "whole"


def test_checkpoints_that_go_though_they_were_to_stay(place):  # noqa: F811
    do_run(finetuning(place, keep_checkpoints=True))
    assert "checkpoints/checkpoint-4/optimizer.pt" in left_in(place / "out")
    assert "baseline/checkpoints/checkpoint-8/scheduler.pt" in left_in(place / "out")


def test_checkpoints_of_others_that_go_too(place):  # noqa: F811
    out = place / "out"
    config = finetuning(place, overwrite=True)
    leave_checkpoint(out, "checkpoints/checkpoint-2", sign="theirs.pt")
    leave_checkpoint(place / "elsewhere", "checkpoint-9")
    (out / "checkpoints" / "mine.txt").write_text("mine")
    (out / "checkpoints" / "checkpoint-7").symlink_to(place / "elsewhere" / "checkpoint-9")
    do_run(config)
    assert (out / "checkpoints" / "mine.txt").read_text() == "mine"
    assert (out / "checkpoints" / "checkpoint-2" / "optimizer.pt").exists()
    assert (place / "elsewhere" / "checkpoint-9" / "optimizer.pt").exists()
    assert not (out / "checkpoints" / "checkpoint-4").exists()


def test_a_run_that_is_not_whole_and_loses_its_checkpoints(place):  # noqa: F811
    def stop_within() -> None:
        with run_folder(finetuning(place)) as folder:
            folder.claim()
            leave_checkpoint(place / "out", "checkpoints/checkpoint-4")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_within()
    assert "checkpoints/checkpoint-4/optimizer.pt" in left_in(place / "out")


@pytest.mark.parametrize("keep", [True, False])
def test_a_complete_run_that_is_trained_again(place, keep):  # noqa: F811
    do_run(finetuning(place, keep_checkpoints=keep))
    with (
        pytest.raises(CompleteError, match=r"is complete.*--overwrite"),
        run_folder(finetuning(place, resume=True, keep_checkpoints=keep)),
    ):
        pytest.fail("a complete run began again")
    assert bool(left_in(place / "out")) == keep
    with run_folder(finetuning(place, overwrite=True)) as folder:
        folder.claim()


def test_a_run_killed_while_its_checkpoints_go(place, monkeypatch):  # noqa: F811
    """It was whole before the first of them went, so the next start says so, and removes the rest."""

    def die(folder: RunFolder) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "drop_checkpoints", die)
        with pytest.raises(SystemExit):
            do_run(finetuning(place))
    assert left_in(place / "out")
    for half in (place / "out" / "checkpoints" / "checkpoint-4").iterdir():
        if half.is_file() and half.name != SCAFFOLDING_NAME:
            half.unlink()
    with pytest.raises(CompleteError), run_folder(finetuning(place, resume=True)):
        pytest.fail("a complete run began again")
    assert left_in(place / "out") == set()


def test_a_complete_run_whose_model_is_gone_and_cannot_be_made_again(place):  # noqa: F811
    do_run(finetuning(place, keep_checkpoints=True))
    (place / "out" / "model.safetensors").unlink()
    with run_folder(finetuning(place, resume=True)) as folder:
        folder.claim()
        assert "checkpoints/checkpoint-4/optimizer.pt" in left_in(place / "out")


def test_another_recipe_that_is_told_it_is_complete(place):  # noqa: F811
    do_run(finetuning(place))
    other = finetuning(place, resume=True, training={"seed": 7})
    with pytest.raises(UserError, match=r"training.seed"), run_folder(other):
        pytest.fail("another recipe was resumed")
