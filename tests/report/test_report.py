"""Reports: cost, conditions, curves and the files that a run leaves behind."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from codir.cli import tables
from codir.errors import UserError
from codir.measure import (
    AnsweredSet,
    Interval,
    Latency,
    ModelResult,
    Standing,
    Throughput,
    TorchRunner,
    count_parameters,
    folder_bytes,
    gather_conditions,
    judge,
    measure_latencies,
    measure_throughputs,
)
from codir.report import (
    RunResult,
    plot_training_curves,
    result_table,
    summarise,
    table_rows,
    to_markdown,
    write_report,
)
from codir.report.curves import select_panels
from codir.report.judgement import warn_of
from codir.report.words import in_markdown
from codir.tasks import Task

LOG: list[dict[str, float]] = [
    {"step": 10, "epoch": 0.5, "loss": 3.0, "loss/hard_label": 1.0, "loss/contrastive": 2.0, "learning_rate": 1e-4},
    {"step": 20, "epoch": 1.0, "loss": 2.0, "loss/hard_label": 0.5, "loss/contrastive": 1.5, "learning_rate": 0.0},
    {
        "step": 20,
        "epoch": 1.0,
        "eval_accuracy": 0.8,
        "eval_loss": 0.4,
        "eval_runtime": 1.0,
        "eval_steps_per_second": 9.0,
    },
    {"step": 20, "epoch": 1.0, "train_loss": 2.5, "train_runtime": 12.0},
]
REPORT_FILES = {"report.html", "report.json", "report.md", "training_curves.png"}


class Recorder(nn.Module):
    """A model that notes the mode in which it was called, and in which order."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__()
        self.name, self.calls, self.linear, self.frozen = name, calls, nn.Linear(3, 2), nn.Dropout()
        self.frozen.eval()

    def forward(self, inputs: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.calls.append(self.name)
        outputs: Tensor = self.linear(inputs)
        self.dtype = outputs.dtype
        return SequenceClassifierOutput(logits=outputs)


def batches(count: int = 2, rows: int = 4) -> list[dict[str, Tensor]]:
    return [{"inputs": torch.ones(rows, 3), "attention_mask": torch.ones(rows, 3)} for _ in range(count)]


def throughput_of(runner: TorchRunner, read: Sequence[dict[str, Tensor]], **how: int) -> Throughput:
    return measure_throughputs({"model": runner}, {"model": read}, **how)["model"]


@pytest.fixture
def result() -> RunResult:
    return RunResult(
        title="CoDIR on [films]",
        task_name="films",
        primary_metric="accuracy",
        teacher=ModelResult({"accuracy": 0.8}, 22_700_000, 90_800_000, 100.0),
        student=ModelResult({"accuracy": 0.76}, 12_000_000, 48_000_000, 190.0),
        baseline=ModelResult({"accuracy": 0.72}, 12_000_000, 48_000_000, None),
        agreement=0.9,
        baseline_agreement=0.85,
        conditions={"versions": {"python": "3.12", "codir": None}, "cores": 2, "commit": None, "command": "codir demo"},
        notes=("This was a part of the data.",),
        log_history=LOG,
        output_dir=None,
    )


# Cost


def test_shared_parameters_are_counted_twice() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 5), "head": nn.Linear(5, 7, bias=False)})
    model["head"].weight = model["embedding"].weight
    assert count_parameters(model) == 35


def test_size_counts_more_than_the_weights(tmp_path: Path) -> None:
    for shard in ("model-1.safetensors", "model-2.safetensors"):
        save_file({"weight": torch.zeros(1000)}, tmp_path / shard)
    (tmp_path / "tokenizer.json").write_text("x" * 10_000)
    assert 8000 < folder_bytes(tmp_path) < 8500


def test_folder_without_weights_counts_as_free(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="safetensors"):
        folder_bytes(tmp_path)


def test_throughput_leaves_the_model_in_another_mode() -> None:
    model = Recorder("model", [])
    measured = throughput_of(TorchRunner(model), batches())
    assert model.training
    assert not model.frozen.training
    assert 0 < measured.spread[0] <= measured.sentences_per_second <= measured.spread[1]


def test_models_are_measured_one_after_the_other() -> None:
    calls: list[str] = []
    models = {name: Recorder(name, calls) for name in ("teacher", "student")}
    runners = {name: TorchRunner(model) for name, model in models.items()}
    found = measure_throughputs(runners, dict.fromkeys(models, batches(1)), warmup=1, repeats=3)
    assert list(found) == ["teacher", "student"]
    assert calls == ["teacher", "student"] * 4


def test_autocast_is_ignored() -> None:
    model = Recorder("model", [])
    throughput_of(TorchRunner(model, dtype=torch.bfloat16), batches(), repeats=1)
    assert model.dtype == torch.bfloat16
    throughput_of(TorchRunner(model), batches(), repeats=1)
    assert model.dtype == torch.float32


def test_sentences_are_counted_as_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr("codir.measure.cost.time.perf_counter", lambda: float(next(seconds)))
    assert throughput_of(TorchRunner(Recorder("model", [])), batches(count=3, rows=5)).sentences_per_second == 15.0


def test_nothing_to_read_is_measured_as_infinitely_fast() -> None:
    with pytest.raises(UserError, match="at least one batch"):
        throughput_of(TorchRunner(Recorder("model", [])), [])


def test_one_sentence_timed_as_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = iter([second for row in range(10) for _ in "ab" for second in (0.0, 0.001 * (row + 1))])
    monkeypatch.setattr("codir.measure.cost.time.perf_counter", lambda: next(clock))
    runners = {name: TorchRunner(Recorder(name, calls)) for name in ("a", "b")}
    found = measure_latencies(runners, dict.fromkeys(runners, batches(10, rows=1)), warmup=0, turns=10)
    assert calls == ["a", "b"] * 10
    assert found["a"] == found["b"]
    assert (found["a"].p50, found["a"].p95, found["a"].rows) == (pytest.approx(5.5), pytest.approx(9.55), 10)


def test_no_sentence_is_read_in_no_time() -> None:
    with pytest.raises(UserError, match="at least one sentence"):
        measure_latencies({"model": TorchRunner(Recorder("model", []))}, {"model": []})


# Conditions


def test_conditions_name_the_folder_of_the_program() -> None:
    command = ["/somewhere/bin/codir", "demo", "--output-dir", "my run"]
    found = gather_conditions(dtype="bf16", seed=3, command=command)
    assert found["command"] == "codir demo --output-dir 'my run'"
    assert gather_conditions(dtype="bf16", seed=3, command=["/x/codir/__main__.py", "demo"])["command"] == (
        "python -m codir demo"
    )
    assert (found["dtype"], found["seed"]) == ("bf16", 3)
    assert json.loads(json.dumps(found)) == found
    assert set(found["versions"]) == {"python", "torch", "transformers", "datasets", "codir"}


def git(*words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_commit_hides_changes_or_fails_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    commit = lambda: gather_conditions(dtype="fp32", seed=0)["commit"]  # noqa: E731
    assert commit() is None
    git("init")
    assert commit() is None
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    git("tag", "-a", "v1", "-m", "v1")
    head = git("rev-parse", "HEAD")
    assert commit() == head
    (tmp_path / "file").write_text("two")
    assert commit() == head + "+dirty"


# Curves


def test_a_loss_term_or_metric_has_no_line() -> None:
    panels = select_panels(LOG)
    assert [panel.title for panel in panels] == ["total loss", "hard label", "contrastive", "evaluation"]
    assert panels[2].lines == {"loss/contrastive": ([10, 20], [2.0, 1.5])}
    assert panels[3].lines == {"accuracy": ([20], [0.8])}
    assert panels[3].quantity == "accuracy"


@pytest.mark.parametrize("log", [LOG, LOG[:1], LOG[2:], []])
def test_short_log_breaks_the_picture(log: list[dict[str, float]], tmp_path: Path) -> None:
    plot_training_curves(log, tmp_path / "curves.png", title="Training")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


# Results


def test_ratios_are_taken_the_wrong_way_round(result: RunResult) -> None:
    assert result.retention == pytest.approx(0.95)
    assert result.baseline_retention == pytest.approx(0.9)
    assert result.speedup == pytest.approx(1.9)


@pytest.mark.parametrize("of_teacher", [0.0, -0.1])
def test_retention_of_a_useless_teacher_is_a_number(result: RunResult, of_teacher: float) -> None:
    useless = replace(result, teacher=replace(result.teacher, metrics={"accuracy": of_teacher}))
    assert useless.retention is None
    assert useless.baseline_retention is None
    assert "where the teacher reaches" in summarise(useless)


def test_report_is_not_read_back_as_it_was_written(result: RunResult, tmp_path: Path) -> None:
    written = write_report(result, tmp_path / "new" / "folder")
    assert {path.name for path in written} == REPORT_FILES
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == REPORT_FILES
    read = json.loads(written[0].read_text("utf-8"))
    assert read == result.to_json()
    keys = "teacher student baseline retention agreement baseline_retention baseline_agreement speedup"
    assert set(read) >= {*keys.split(), "primary_metric", "task", "notes", "conditions"}
    assert set(read["baseline"]) == {"metrics", "parameters", "bytes", "sentences_per_second", "latency"}


def test_page_lacks_a_part(result: RunResult, tmp_path: Path) -> None:
    page = write_report(result, tmp_path)[1].read_text("utf-8")
    for part in (
        in_markdown(result.title),
        summarise(result),
        to_markdown(table_rows(result)),
        "(training_curves.png)",
        *result.notes,
    ):
        assert part in page
    assert "- **versions**: python 3.12, codir unknown\n- **cores**: 2\n- **commit**: unknown\n" in page
    assert "\n\n\n" not in page


def test_run_without_a_baseline_has_no_report(result: RunResult, tmp_path: Path) -> None:
    alone = replace(result, baseline=None, baseline_agreement=None, notes=(), log_history=[])
    page = write_report(alone, tmp_path)[1].read_text("utf-8")
    assert "no teacher" not in page
    assert "Notes" not in page
    assert alone.to_json()["baseline"] is None


def test_terminal_and_page_tell_different_numbers(result: RunResult) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(result_table(result))
    terminal, page = console.export_text(), to_markdown(table_rows(result))
    for row in table_rows(result):
        for column, cell in row.items():
            assert column in terminal
            assert column in page
            assert cell in terminal
            assert cell in page
    assert "CoDIR on [films]" in terminal


def test_correlations_are_shown_in_percent(result: RunResult) -> None:
    scores = ModelResult({"pearson": 0.8812, "spearman": 0.87}, 950, 48_000_000, 1234.0)
    found = replace(result, primary_metric="pearson", teacher=scores, student=scores, baseline=None)
    row = table_rows(found)[1]
    assert (row["pearson"], row["agreement"]) == ("0.881", "0.900")
    assert (row["retention"], row["params"], row["sent./s"]) == ("100.0%", "950", "1,234")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ([{"step": 1, "loss": 2.0, "eval_accuracy": 0.5}], "The loss, each of its terms and the evaluation metrics"),
        ([{"step": 1, "loss": 2.0}], "The loss and each of its terms"),
    ],
)
def test_a_picture_said_to_show_what_nothing_measured(result: RunResult, tmp_path: Path, log, words) -> None:
    write_report(replace(result, log_history=log), tmp_path)
    assert f"![{words} over training steps](training_curves.png)" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("failing", ["codir.report.results.plot_training_curves", "codir.store.folders.os.replace"])
def test_failed_report_leaves_half_of_itself(
    result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*arguments: Sequence[Any], **options: Any) -> None:
        raise OSError("no space left on device")

    before = {path.name: path.read_bytes() for path in write_report(result, tmp_path)}
    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="no space"):
        write_report(replace(result, agreement=0.1), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nan_is_written_down_as_a_number(result: RunResult, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_report(replace(result, agreement=float("nan")), tmp_path)
    assert list(tmp_path.iterdir()) == []


# ---- What stands beside the scores ----


def judged(result: RunResult, *names: str) -> RunResult:
    """The same result with answers of three models to 90 rows, of classes with these names."""
    rng, task = np.random.default_rng(0), Task("classification", names, len(names), ("accuracy",))
    labels = np.arange(90) % len(names)
    answers = {
        name: np.where(rng.random(90) < share, labels, 0)
        for name, share in (("teacher", 0.9), ("student", 0.8), ("baseline", 0.0))
    }
    judgement = judge(
        [AnsweredSet("dev", labels, answers)],
        task,
        lengths=np.arange(90),
        against={"student": ["teacher", "baseline"]},
    )
    alone = {"latency": Latency(4.1, 5.2, 6.3, 90)}
    return replace(
        result,
        teacher=replace(result.teacher, **alone),
        student=replace(result.student, **alone),
        judgement=judgement,
        speed={"batch_size": 32, "rows": 90, "latency_rows": 90},
        data={"train": {"source": "t.csv", "rows": 900}, "evaluation": {"dev": {"source": "d.csv", "rows": 90}}},
        training={"steps": 30, "epochs": 2.0, "minutes": 1.25, "batch_size": 32, "learning_rate": 5e-5},
    )


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_that_a_terminal_cuts(result: RunResult, width: int) -> None:
    metrics = {"accuracy": 0.837, "macro_f1": 0.837}
    two = {
        name: replace(getattr(result, name), metrics=metrics, sentences_per_second=1203.0)
        for name in ("teacher", "student", "baseline")
    }
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(result_table(judged(replace(result, **two), "no", "yes")))
    shown = console.export_text()
    assert "…" not in shown
    words = " ".join(shown.split())
    for part in ("student - no teacher", "90.8 MB", "1,203", "d.csv, 90 rows", "student 4.1 ms (p95 5.2)", "largest"):
        assert part in words
    assert words.startswith("The student trained without a teacher answers 'no' to each of 90 rows")


def test_a_table_of_many_metrics_that_a_terminal_cuts(result: RunResult) -> None:
    names = ("entity_f1", "entity_precision", "entity_recall", "token_accuracy")
    models = {
        name: replace(getattr(result, name), metrics=dict.fromkeys(names, 0.4321)) for name in ("teacher", "student")
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result_table(replace(result, **models, primary_metric="entity_f1", baseline=None)))
    shown = console.export_text()
    assert "…" not in shown
    (head,) = [line.split() for line in shown.splitlines() if line.split()[:1] == ["what"]]
    assert head == ["what", "teacher", "student"]
    assert "entity precision    43.2%    43.2%" in shown


def test_a_floor_that_is_called_the_no_answer() -> None:
    standing = Standing(Interval(0.0, -0.1, 0.1, 30), 0.5, None)
    (said,) = warn_of("model", standing, 0.4, ("no answer", 0.4), "exact_match")
    assert said.endswith("no better than no answer (exact match 40.0%).")


def test_a_page_that_counts_what_is_no_entity_among_the_classes(result, tmp_path):
    """It has a row in the confusions and none in the table, which leaves out nothing here."""
    found = judged(result, *(f"class {number}" for number in range(30)), "no entity")
    for file in texts_of(write_report(found, tmp_path)):
        assert "classes with the lowest F1" not in file.read_text("utf-8"), file


def test_more_classes_than_a_page_holds(result: RunResult, tmp_path: Path) -> None:
    many = judged(result, *(f"class {number}" for number in range(45)))
    page = write_report(many, tmp_path)[1].read_text("utf-8")
    assert "The 30 of 45 classes with the lowest F1" in page
    assert "| class | taken for | rows |" in page
    read = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert len(read["by_class"]["student"]["classes"]) == len(read["by_class"]["student"]["confusion"]) == 45


# ---- Texts from outside ----

HOSTILE = (
    "<script>x</script> [click](http://evil.example) *b* | `c` $m$\n# heading\x1b[31m [bold]x[/red] www.evil.example"
)


def test_a_label_that_a_report_obeys(result: RunResult, tmp_path: Path) -> None:
    hostile = replace(result, title=HOSTILE, task_name=HOSTILE, notes=(HOSTILE,), conditions={"command": HOSTILE})
    hostile = judged(hostile, HOSTILE, "other")
    hostile = replace(hostile, data={"evaluation": {"dev": {"source": HOSTILE, "rows": 90}}})
    page = write_report(hostile, tmp_path)[1].read_text("utf-8")
    without_code = re.sub(r"(`+) ?.*?[^`]\1(?!`)", "", page)
    for markup in ("<script", "[click](http", "://", "www.", "\n# heading", "\x1b", "[bold]"):
        assert markup not in without_code, markup
    assert page.count("\n## ") == 7


def test_a_label_that_breaks_a_table() -> None:
    page = to_markdown([{"model": HOSTILE, "b": "2"}, {"model": "a|b\nc", "b": "*teacher*"}])
    lines = page.splitlines()
    assert len(lines) == 4
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines)
    assert "*teacher*" in lines[3]


def test_rich_markup_that_ends_a_run(result: RunResult, capsys) -> None:
    tables.show_result(replace(result, title=HOSTILE, output_dir=Path(HOSTILE.replace("/", ""))))
    tables.show_metrics({HOSTILE: 0.5}, title=HOSTILE)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]x[red]" in printed.replace("\n", "")


def test_a_secret_in_a_report(result: RunResult, tmp_path: Path) -> None:
    conditions = gather_conditions(dtype="fp32", seed=0, command=["codir", "--set", "training.hub_token=s3cr3t"])
    notes = ("read from https://me:s3cr3t@host/x",)
    secret = replace(result, task_name="https://me:s3cr3t@host/x", notes=notes, conditions=conditions)
    secret = replace(secret, recipe="source: https://me:s3cr3t@host/x\n")
    for file in texts_of(write_report(secret, tmp_path)):
        assert "s3cr3t" not in file.read_text("utf-8")
        assert "***" in file.read_text("utf-8")


def test_a_report_that_tells_where_its_writer_lives(result: RunResult, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["/usr/bin/codir", "distill", f"--data={tmp_path}/train.csv", "--teacher", str(Path.home() / "teacher")]
    conditions = gather_conditions(dtype="fp32", seed=0, command=words)
    assert conditions["command"] == "codir distill --data=train.csv --teacher '~/teacher'"
    report = replace(result, task_name=f"{tmp_path}/train.csv", conditions=conditions)
    report = replace(report, recipe=f"output_dir: {tmp_path}/out\n")
    files = texts_of(write_report(report, tmp_path / "out"))
    assert all(str(tmp_path) not in file.read_text("utf-8") for file in files)


def texts_of(files: Sequence[Path]) -> list[Path]:
    found = [file for file in files if file.suffix != ".png"]
    assert len(found) == 3
    return found


@pytest.mark.parametrize("name", sorted(REPORT_FILES))
def test_a_report_written_through_a_link(result: RunResult, tmp_path: Path, name: str) -> None:
    mine, folder = tmp_path / "mine", tmp_path / "out"
    mine.write_text("mine")
    folder.mkdir()
    (folder / name).symlink_to(mine)
    (tmp_path / "elsewhere").mkdir()
    (folder / ".drafts-0000").symlink_to(tmp_path / "elsewhere")
    write_report(result, folder)
    assert mine.read_text() == "mine"
    assert not (folder / name).is_symlink()
    assert list((tmp_path / "elsewhere").iterdir()) == []
