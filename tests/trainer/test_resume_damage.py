"""Checkpoints that are damaged, half-written, foreign or old: never used in silence, and never deleted by mistake."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from test_resume import Taken, steps_saved
from test_training import StopAt, assert_same, make_trainer, weights_of

from codir.errors import NonFiniteLossError, UserError
from codir.store import MANIFEST_NAME, MARKER_NAME, SCAFFOLDING_NAME, checkpoints_in
from codir.trainer import last_complete_checkpoint
from codir.trainer.checkpoints import find_fault, remove_half_written, rotate
from conftest import make_texts

pytestmark = pytest.mark.training

SAVING = {"save_strategy": "steps", "save_steps": 4}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tokenizer) -> tuple[Path, dict[str, torch.Tensor]]:
    """A run with checkpoints of 4, 8, 12 and 16 steps, and the weights that it ended with."""
    folder = tmp_path_factory.mktemp("trained")
    trainer = make_trainer(folder, tokenizer, **SAVING)
    trainer.train()
    return folder / "run", weights_of(trainer)


@pytest.fixture
def run_dir(trained, tmp_path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def zero(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_another_step(path: Path) -> None:
    shutil.copy(path.parent.parent / "checkpoint-8" / path.name, path)


DAMAGES = {"flip": flip, "zero": zero, "cut": cut, "step": of_another_step, "empty": lambda path: path.write_bytes(b"")}
DAMAGES["delete"] = Path.unlink
SAME_AT_EVERY_STEP = {"config.json", "tokenizer.json", "tokenizer_config.json"}


def test_damage_of_any_file_that_is_used_in_silence(run_dir):
    newest = run_dir / "checkpoint-16"
    names = sorted(path.name for path in newest.iterdir())
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors", SCAFFOLDING_NAME} < set(names)
    assert len(names) >= 11
    for name in names:
        kept = (newest / name).read_bytes()
        for kind, damage in DAMAGES.items():
            if kind == "step" and name in SAME_AT_EVERY_STEP:
                continue
            damage(newest / name)
            fault = find_fault(newest)
            assert fault, (name, kind)
            assert name in fault or name in (SCAFFOLDING_NAME, MANIFEST_NAME), (name, kind, fault)
            (newest / name).write_bytes(kept)
    assert find_fault(newest) is None


def test_a_damaged_newest_checkpoint_that_stops_a_resume(run_dir, trained, tmp_path, tokenizer, caplog):
    flip(run_dir / "checkpoint-16" / "optimizer.pt")
    (run_dir / "checkpoint-12" / "rng_state.pth").unlink()
    taken = Taken()
    resumed = make_trainer(tmp_path, tokenizer, callbacks=[taken], **SAVING)
    resumed.train(resume_from_checkpoint=True)
    assert taken.steps == 8
    assert_same(weights_of(resumed), trained[1])
    said = " ".join(caplog.messages)
    assert "checkpoint-16 is damaged: optimizer.pt" in said
    assert "checkpoint-12 is damaged: rng_state.pth is missing" in said
    assert all(find_fault(path) is None for path in checkpoints_in(run_dir))  # written anew


def test_a_named_checkpoint_that_is_damaged_and_used(run_dir, tmp_path, tokenizer):
    flip(run_dir / "checkpoint-12" / "model.safetensors")
    trainer = make_trainer(tmp_path, tokenizer, **SAVING)
    with pytest.raises(UserError, match=r"checkpoint-12, which is damaged: model.safetensors .*resume from .*-16"):
        trainer.train(resume_from_checkpoint=str(run_dir / "checkpoint-12"))


def test_a_damaged_best_model_taken_at_the_end(tmp_path, tokenizer):
    settings = {**SAVING, "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 4}
    settings |= {"eval_dataset": make_texts(16, seed=5), "metric_for_best_model": "first", "greater_is_better": True}

    def make():
        trainer = make_trainer(
            tmp_path,
            tokenizer,
            compute_metrics=lambda answers: {"first": -float(trainer.state.global_step)},
            **settings,
        )
        return trainer

    trainer = make()
    trainer.train()
    flip(tmp_path / "run" / "checkpoint-4" / "model.safetensors")
    with pytest.raises(Exception, match=r"checkpoint-4, the best model of the run, is damaged: model.safetensors"):
        make().train(resume_from_checkpoint=True)


def as_earlier_version(checkpoint: Path) -> None:
    """Take away what earlier versions did not write."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = checkpoint / SCAFFOLDING_NAME
    with safe_open(path, framework="pt") as stored:
        metadata = {"training_set": stored.metadata()["training_set"]}
    save_file(load_file(path), path, metadata=metadata)
    (checkpoint / MANIFEST_NAME).unlink()
    (checkpoint / "codir_progress.pth").unlink()


def test_a_checkpoint_of_an_earlier_version_that_cannot_go_on(run_dir, trained, tmp_path, tokenizer, caplog):
    shutil.rmtree(run_dir / "checkpoint-16")
    as_earlier_version(run_dir / "checkpoint-12")
    resumed = make_trainer(tmp_path, tokenizer, **SAVING)
    resumed.train(resume_from_checkpoint=True)
    assert_same(weights_of(resumed), trained[1])
    assert "checkpoint-12 was written by an earlier version, without checksums" in " ".join(caplog.messages)


@pytest.mark.parametrize("name", ["rng_state.pth", "scheduler.pt", "trainer_state.json", "model.safetensors"])
def test_a_checkpoint_of_an_earlier_version_that_lacks_a_file(run_dir, name):
    checkpoint = run_dir / "checkpoint-12"
    as_earlier_version(checkpoint)
    assert find_fault(checkpoint) is None
    (checkpoint / name).unlink()
    assert find_fault(checkpoint) == f"is damaged: {name} is missing"


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", SCAFFOLDING_NAME, "trainer_state.json"])
def test_a_checkpoint_of_an_earlier_version_cut_short(run_dir, name):
    as_earlier_version(run_dir / "checkpoint-12")
    cut(run_dir / "checkpoint-12" / name)
    assert find_fault(run_dir / "checkpoint-12") == f"is damaged: {name} cannot be read"


def test_a_checkpoint_killed_before_its_manifest(tmp_path, tokenizer, monkeypatch):
    """It has every file that an earlier version would have written."""

    def dies(*_, **__):
        raise KeyboardInterrupt

    trainer = make_trainer(tmp_path, tokenizer, **SAVING)
    monkeypatch.setattr("codir.trainer.saving.write_manifest", dies)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert find_fault(tmp_path / "run" / "checkpoint-4") == "was not written to its end"
    (tmp_path / "run" / "checkpoint-4" / MARKER_NAME).unlink()
    assert find_fault(tmp_path / "run" / "checkpoint-4") == f"is damaged: {MANIFEST_NAME} is missing"
    assert last_complete_checkpoint(tmp_path / "run") is None


# ---- Rotation ----


def test_a_checkpoint_of_the_future_that_has_newer_ones_deleted(tmp_path, tokenizer):
    settings = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}
    make_trainer(tmp_path, tokenizer, callbacks=[StopAt(4)], **settings).train()
    os.utime(tmp_path / "run" / "checkpoint-2", (2**32, 2**32))
    make_trainer(tmp_path, tokenizer, **settings).train(resume_from_checkpoint=True)
    assert steps_saved(tmp_path / "run") == [14, 16]


def test_a_folder_that_is_not_the_runs_and_goes(tmp_path, tokenizer):
    run = tmp_path / "run"
    make_trainer(tmp_path, tokenizer, max_steps=1, save_strategy="steps", save_steps=1).train()  # another run's
    (run / "checkpoint-1").rename(run / "checkpoint-3")
    for name in ("checkpoint-2", "checkpoint-5-mine", "checkpoint-best", "checkpoint-12.bak"):
        (run / name).mkdir()
        (run / name / "notes.txt").write_text("mine")
    (run / "checkpoint-9").write_text("a file")
    before = {path.name for path in run.iterdir()}
    make_trainer(tmp_path, tokenizer, **{**SAVING, "save_total_limit": 1}).train()
    assert {path.name for path in run.iterdir()} == before | {"checkpoint-16"}


def test_the_best_checkpoint_that_rotation_deletes(tmp_path, tokenizer):
    settings = {**SAVING, "eval_strategy": "steps", "eval_steps": 4, "save_total_limit": 2}
    settings |= {"eval_dataset": make_texts(16, seed=5), "metric_for_best_model": "first", "greater_is_better": True}
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        compute_metrics=lambda answers: {"first": -float(trainer.state.global_step)},
        **settings,
    )
    trainer.train()
    assert steps_saved(tmp_path / "run") == [4, 16]


def test_a_checkpoint_of_an_abandoned_future_that_outlives_the_present(run_dir):
    """After going back to an early checkpoint by name."""
    from codir.trainer.checkpoints import run_of

    run = run_of(run_dir / "checkpoint-8")
    rotate(run_dir, run_dir / "checkpoint-8", run=run, limit=2, best=None)
    assert steps_saved(run_dir) == [4, 8]


def test_a_checkpoint_half_deleted_by_a_killed_process_that_stays(tmp_path, tokenizer, monkeypatch):
    """Whatever was unlinked before the kill, nothing of it is left at the end, and nothing of it is used."""
    settings = {"save_strategy": "steps", "save_steps": 4, "save_total_limit": 1}
    real, left = Path.unlink, []

    def dies(path, *args, **kwargs):
        if path.parent.name == "checkpoint-4" and path.name != MARKER_NAME and len(left) == 3:
            raise KeyboardInterrupt
        if path.parent.name == "checkpoint-4" and path.name != MARKER_NAME:
            left.append(path.name)
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", dies)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, tokenizer, **settings).train()
    monkeypatch.setattr(Path, "unlink", real)
    assert steps_saved(tmp_path / "run") == [4, 8]
    assert last_complete_checkpoint(tmp_path / "run").name == "checkpoint-8"
    make_trainer(tmp_path, tokenizer, **settings).train(resume_from_checkpoint=True)
    assert steps_saved(tmp_path / "run") == [16]


# ---- Losses that are not finite, and another learning rate ----


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_nan_in_one_tokens_embedding_found_late(tmp_path, tokenizer, teacher, student, role):
    broken = {"teacher": teacher, "student": student}[role]
    with torch.no_grad():
        broken.bert.embeddings.word_embeddings.weight[94] = float("nan")
    with pytest.raises(UserError, match=rf"{role}: .*32 in `bert.embeddings.word_embeddings.weight`"):
        make_trainer(tmp_path, tokenizer, teacher=teacher, student=student)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant", "reduce_lr_on_plateau"])
def test_a_lower_learning_rate_that_a_resume_ignores(tmp_path, tokenizer, schedule):
    settings = {**SAVING, "lr_scheduler_type": schedule, "eval_strategy": "epoch", "metric_for_best_model": "loss"}
    settings |= {"eval_dataset": make_texts(16, seed=5), "warmup_steps": 2}
    rates = {}
    for name, rate in (("as before", 1e-3), ("lower", 5e-4)):
        folder = tmp_path / name
        make_trainer(folder, tokenizer, callbacks=[StopAt(4)], **settings).train()
        resumed = make_trainer(folder, tokenizer, **{**settings, "learning_rate": rate})
        resumed.train(resume_from_checkpoint=True)
        rates[name] = [line["learning_rate"] for line in resumed.state.log_history if "learning_rate" in line]
    assert rates["lower"][:4] == rates["as before"][:4]
    assert rates["lower"][4:] == pytest.approx([rate / 2 for rate in rates["as before"][4:]])
    assert len(rates["lower"]) == 16


def test_heads_that_keep_the_earlier_learning_rate(tmp_path, tokenizer):
    make_trainer(tmp_path, tokenizer, callbacks=[StopAt(4)], **SAVING).train()
    resumed = make_trainer(tmp_path, tokenizer, learning_rate=5e-4, callbacks=[StopAt(5)], **SAVING)
    resumed.train(resume_from_checkpoint=True)
    groups = resumed.optimizer.param_groups
    assert {group["initial_lr"] for group in groups} == {5e-4, 1e-2}
    assert [group["lr"] / group["initial_lr"] for group in groups] == pytest.approx([11 / 16] * len(groups))


def test_other_logging_and_warm_up_that_a_resume_ignores(tmp_path, tokenizer):
    make_trainer(tmp_path, tokenizer, callbacks=[StopAt(4)], **SAVING).train()
    resumed = make_trainer(tmp_path, tokenizer, logging_steps=4, warmup_steps=8, **SAVING)
    resumed.train(resume_from_checkpoint=True)
    lines = [line for line in resumed.state.log_history if "loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 8, 12, 16]
    assert lines[4]["learning_rate"] == pytest.approx(1e-3 * 7 / 8)


def test_advice_after_a_nan_that_cannot_be_followed(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, **SAVING)
    lookup = trainer.bank.lookup
    trainer.bank.lookup = lambda index: lookup(index) * (float("nan") if trainer.state.global_step == 5 else 1.0)
    with pytest.raises(NonFiniteLossError) as stop:
        trainer.train()
    said = str(stop.value)
    assert "checkpoint-4" in said
    assert "`--learning-rate 0.0005`" in said
    assert "--resume" in said
    resumed = make_trainer(tmp_path, tokenizer, learning_rate=0.0005, **SAVING)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 16
    assert resumed.state.log_history[4]["learning_rate"] == pytest.approx(0.0005 * 12 / 16)


def test_a_run_in_another_precision_that_cannot_go_on(tmp_path, tokenizer):
    make_trainer(tmp_path, tokenizer, callbacks=[StopAt(4)], precision="bf16", **SAVING).train()
    resumed = make_trainer(tmp_path, tokenizer, precision="fp32", **SAVING)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 16


@pytest.mark.parametrize(
    "left", [".tmpA1b2C3", ".drafts-00aa11bb22cc33dd/", ".drafts-00aa11bb22cc33dd/model.safetensors"]
)
def test_what_a_kill_leaves_of_an_unfinished_file_taken_for_someone_elses(tmp_path, left):
    """safetensors' own draft, and scratch with or without a file, in a checkpoint that was never finished."""
    checkpoint = tmp_path / "checkpoint-8"
    place = checkpoint / left
    (place if left.endswith("/") else place.parent).mkdir(parents=True)
    if not left.endswith("/"):
        place.write_text("half")
    (checkpoint / MARKER_NAME).write_text("this run")
    remove_half_written(tmp_path, "this run")
    assert list(tmp_path.iterdir()) == []


def test_files_of_someone_else_that_checkpoints_write_over_or_take_along(tmp_path, tokenizer):
    run = tmp_path / "run"
    (run / "checkpoint-8").mkdir(parents=True)  # another tool's, in the place of one to come
    for name in ("optimizer.pt", "mine.txt"):
        (run / "checkpoint-8" / name).write_text("mine")

    class Noting(StopAt):
        """Puts a note into a checkpoint that rotation will delete."""

        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 4:
                (run / "checkpoint-4" / "notes.txt").write_text("mine")

    make_trainer(tmp_path, tokenizer, callbacks=[Noting(12)], **{**SAVING, "save_total_limit": 1}).train()
    assert [path.name for path in (run / "checkpoint-4").iterdir()] == ["notes.txt"]
    (aside,) = run.glob(".set-aside-checkpoint-8-*")
    assert {path.name: path.read_text() for path in aside.iterdir()} == {"optimizer.pt": "mine", "mine.txt": "mine"}
    assert steps_saved(run) == [4, 12]


@pytest.mark.parametrize("what", ["the labels", "the teacher", "the number of processes"])
def test_another_run_that_goes_on_from_a_checkpoint(run_dir, tmp_path, tokenizer, what, monkeypatch):
    trainer = make_trainer(tmp_path, tokenizer, **SAVING)
    trainer.args.output_dir = str(run_dir)
    if what == "the labels":
        trainer.train_dataset = trainer.train_dataset.map(lambda row: {"labels": 1 - row["labels"]})
    if what == "the teacher":
        monkeypatch.setattr(type(trainer.teacher), "fingerprint", "another")
    if what == "the number of processes":
        vars(trainer)["_identity"] = {**trainer._identity, "processes": "2"}
    with pytest.raises(UserError, match=f"expected {what} that the checkpoint was made with"):
        trainer.train(resume_from_checkpoint=True)


def test_a_full_disk_under_a_checkpoint_that_is_not_named(tmp_path, tokenizer, monkeypatch):
    """torch says in its own words that it could not write; the disk says that it is full."""

    def full(*args, **kwargs):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 66112 vs 66000")

    usage = shutil.disk_usage(tmp_path)
    trainers = {free: make_trainer(tmp_path / str(free), tokenizer, **SAVING) for free in (0, 10**10)}
    monkeypatch.setattr(torch, "save", full)
    for free, expected in ((0, r"checkpoint-4 \(No space left on device\)"), (10**10, "inline_container")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        with pytest.raises(UserError if free == 0 else RuntimeError, match=expected):
            trainers[free].train()


def test_a_checkpoint_that_is_read_twice_before_it_is_used(run_dir, tmp_path, tokenizer, monkeypatch):
    from codir.trainer import checkpoints

    trainer, read = make_trainer(tmp_path, tokenizer, **SAVING), []
    trainer.args.output_dir = str(run_dir)
    real = checkpoints.find_damage
    monkeypatch.setattr(checkpoints, "find_damage", lambda folder: read.append(folder.name) or real(folder))
    assert trainer.resolve_checkpoint(str(trainer.last_checkpoint())) == str(run_dir / "checkpoint-16")
    assert read == ["checkpoint-16"]
    flip(run_dir / "checkpoint-16" / "optimizer.pt")
    with pytest.raises(UserError, match="is damaged"):  # what was read once is not trusted for ever
        trainer.resolve_checkpoint(str(run_dir / "checkpoint-16"))
