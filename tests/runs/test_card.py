"""The model card that a run leaves: the hub can read it, its numbers are the report's, and its snippet runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from huggingface_hub import ModelCard

import codir
from codir.config import ObjectivesConfig, preset_names
from codir.report.words import in_markdown, show_metric
from codir.runs.card import PAPERS, method_of, terms_of
from codir.runs.objectives import OBJECTIVES
from conftest import WORDS, make_texts
from families import tiny_classifier, tiny_language_model

ROOT = Path(__file__).resolve().parents[2]
TRAINING = {"max_steps": 20, "learning_rate": 3e-3, "use_cpu": True, "disable_tqdm": True, "precision": "fp32"}
TRAINING |= {"save_strategy": "no", "eval_strategy": "no"}
CLASSES = ("bad", "good *really*")


def rows_of(kind: str, rows: int, seed: int) -> Dataset:
    texts = make_texts(rows, seed=seed)
    if kind == "scores":
        scores = [1.5 + 3 * row["label"] + len(row["text"].split()) / 20 for row in texts]
        return texts.remove_columns("label").add_column("label", scores)
    named = texts.map(lambda row: {"label": CLASSES[row["label"]]}, features=None)
    return named.add_column("text_pair", named["text"][::-1]) if kind == "pairs" else named


def save(model, tokenizer, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def distill(folder: Path, tokenizer, kind: str) -> Path:
    """A run on files of the user's own, in a folder whose name must not be published."""
    data: dict[str, Any] = {"source": str(folder / "my reviews.csv"), "dev": str(folder / "dev.csv"), "max_length": 16}
    rows_of(kind, 160, 0).to_csv(data["source"], index=False)
    rows_of(kind, 100, 1).to_csv(data["dev"], index=False)
    start = save(tiny_classifier("bert", num_labels=2, layers=3), tokenizer, folder / "start")
    learning = {**TRAINING, "max_steps": 80}
    teaching = {"model": start, "data": data, "training": learning, "output_dir": folder / "teacher"}
    codir.finetune(codir.FinetuneConfig.model_validate(teaching))
    recipe = {
        "teacher": {"model": str(folder / "teacher"), "cache_dir": folder / "cache"},
        "student": {"layers": 2},
        "objectives": {"preset": "codir", "contrastive": {"num_negatives": 20}} if kind == "classes" else "kd",
        "baseline": kind == "classes",
        "output_dir": folder / "student",
    }
    codir.distill(codir.Recipe.model_validate({"data": data, "training": TRAINING, **recipe}))
    return folder


def pretrain(folder: Path, tokenizer, family: str) -> Path:
    (folder / "texts.txt").write_text("\n\n".join(" ".join(WORDS[i : i + 12]) for i in range(70)))
    recipe = {
        "teacher": save(tiny_language_model(family), tokenizer, folder / "teacher"),
        "corpus": {"source": str(folder / "texts.txt"), "cache_dir": folder / "cache", "max_length": 16},
        "objectives": "kd-pre",
        "student": {"layers": 2},
        "training": {**TRAINING, "max_steps": 3},
        "output_dir": folder / "student",
    }
    codir.pretrain(codir.PretrainRecipe.model_validate(recipe))
    return folder


KINDS = {"classes": "bert", "scores": "bert", "pairs": "bert", "masked": "bert", "causal": "gpt2"}


@pytest.fixture(scope="module")
def runs(tokenizer, tmp_path_factory) -> dict[str, Path]:
    """One run of each kind, each in its folder."""
    folders = {kind: tmp_path_factory.mktemp(f"secret-{kind}") for kind in KINDS}
    for kind, family in KINDS.items():
        if kind in ("masked", "causal"):
            pretrain(folders[kind], tokenizer, family)
        else:
            distill(folders[kind], tokenizer, kind)
    return folders


def card_of(folder: Path) -> ModelCard:
    """As the hub's own library reads and checks it."""
    return ModelCard.load(folder / "README.md", ignore_metadata_errors=False)


def snippet_in(folder: Path) -> str:
    (body,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    return body


@pytest.mark.training
def test_metadata_that_the_hub_cannot_read(runs):
    tasks = {"masked": "fill-mask", "causal": "text-generation"}
    for kind, folder in runs.items():
        data = card_of(folder / "student").data
        assert data.pipeline_tag == tasks.get(kind, "text-classification")
        assert (data.library_name, data.base_model, data.tags) == ("transformers", "teacher", ["codir", "distillation"])
        assert data.model_name == "student"
        assert {one.metric_type for one in data.eval_results} == set(data.metrics)
        assert data.get("datasets") is None  # files of the user's own are no data sets of the hub
    teacher = card_of(runs["classes"] / "teacher").data
    assert (teacher.base_model, teacher.tags) == ("start", ["codir"])


@pytest.mark.training
def test_a_number_that_is_not_the_reports(runs):
    on_hub = {"accuracy": "accuracy", "macro f1": "f1", "pearson": "pearsonr", "spearman": "spearmanr"}
    for kind in ("classes", "scores", "pairs"):
        folder = runs[kind] / "student"
        report, card = json.loads((folder / "report.json").read_text()), card_of(folder)
        found = {one.metric_name: (one.metric_type, one.metric_value) for one in card.data.eval_results}
        assert found == {
            name.replace("_", " "): (on_hub[name.replace("_", " ")], value)
            for name, value in report["student"]["metrics"].items()
        }
        assert {(one.dataset_name, one.dataset_split) for one in card.data.eval_results} == {("dev.csv", "dev")}
        table = {tuple(line.strip("| ").split(" | ")) for line in card.text.splitlines() if line.startswith("| ")}
        assert report["teacher"]["metrics"] != report["student"]["metrics"]
        models = ["teacher", "student", *(["baseline"] if kind == "classes" else [])]
        for name in models:
            for metric, interval in report["intervals"][name].items():
                value, low, high = (show_metric(metric, interval[key]) for key in ("value", "low", "high"))
                shown = "no teacher" if name == "baseline" else name
                assert (shown, metric.replace("_", " "), value, f"{low} to {high}", "100") in table
            latency, rate = report[name]["latency"], report[name]["sentences_per_second"]
            assert (shown, f"{rate:,.0f}", f"{latency['p50']:.1f}", f"{latency['p95']:.1f}") in table
    report = json.loads((runs["masked"] / "student" / "report.json").read_text())
    results = card_of(runs["masked"] / "student").data.eval_results
    assert {one.metric_name: one.metric_value for one in results} == {
        key: report["scores"]["student"][key] for key in ("loss", "perplexity")
    }


@pytest.mark.training
def test_a_folder_of_the_users_that_is_published(runs):
    for folder in runs.values():
        for card in (folder / "student" / "README.md", folder / "teacher" / "README.md"):
            text = card.read_text() if card.exists() else ""  # a teacher that was no run's
            assert "secret" not in text
            assert str(Path.home()) not in text
            assert not re.findall(r"(?<![\w.:/~-])~?/\w[\w.-]*/", text)


@pytest.mark.training
def test_a_card_that_leaves_out_what_a_reader_needs(runs):
    text = card_of(runs["classes"] / "student").text
    report = json.loads((runs["classes"] / "student" / "report.json").read_text())
    assert "a text classifier of 2 layers x 32" in text
    assert "distilled from `teacher` (3 layers x 32" in text
    assert "weights copied from the teacher's layers 1, 2" in text
    assert r"bad, good \*really\*." in text
    for said in (
        "preset `codir` (Sun et al. 2020, [arXiv 2009.14167](https://arxiv.org/abs/2009.14167)",
        "with changes:",
        "`contrastive`, weight 0.3",
        "`num_negatives` 20",
        "my reviews.csv, 160 rows",
        "20 steps",
        "- **seed**: 0",
        f"torch {report['conditions']['versions']['torch']}",
        report["conditions"]["device"],
        "tokens, median",
        "Memory and energy were not measured",
        "Other languages and domains",
    ):
        assert said in text, said
    for warning in report["warnings"]:
        assert f"**Warning:** {in_markdown(warning, keeps_code=True)}" in text
    assert "No student was trained without a teacher" not in text
    assert "No student was trained without a teacher" in card_of(runs["pairs"] / "student").text
    for note in report["notes"]:
        assert f"- {in_markdown(note, keeps_code=True)}" in text
    assert "with changes" not in card_of(runs["pairs"] / "student").text
    assert "15% of the tokens" in card_of(runs["masked"] / "student").text


@pytest.mark.training
def test_a_snippet_that_does_not_run(runs):
    """In a process of its own, with transformers and without codir."""
    lines = ["import os, sys"]
    for folder in runs.values():
        lines += [f"os.chdir({str(folder)!r})", snippet_in(folder / "student")]
    lines += ["print(sorted({name.partition('.')[0] for name in sys.modules} & {'codir'}))"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout.splitlines()
    assert len(printed) == len(KINDS) + 1
    assert printed[-1] == "[]"
    assert "'label'" in printed[0]
    assert "'token_str'" in printed[3]


# ---- Objectives ----


def test_an_objective_without_its_paper():
    """The plain loss on labels has none; each other one has the paper that `docs/papers.md` names for it."""
    assert PAPERS.keys() == OBJECTIVES.keys() - {"hard_label"}
    page = (ROOT / "docs" / "papers.md").read_text()
    section = page[page.index("## Objectives") : page.index("## The contrastive family")]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", section, re.MULTILINE))
    for name, (authors, arxiv) in PAPERS.items():
        assert authors.partition(" et al")[0] in rows[name], name
        assert f"arxiv.org/abs/{arxiv}" in page, name


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_that_a_card_cannot_name(name):
    objectives = ObjectivesConfig.model_validate(name)
    assert method_of(objectives).startswith(f"Objectives of preset `{name}` (")
    assert "with changes" not in method_of(objectives)
    terms = list(terms_of(objectives))
    expected = [term for stage in objectives.stages or [objectives] for term in stage.terms()]
    assert [term.name for term in terms] == expected
    assert all(str(term) for term in terms)
    assert all(term.stage for term in terms) == bool(objectives.stages)


def test_stages_that_are_told_as_one():
    first, _, last = map(str, terms_of(ObjectivesConfig.model_validate("tinybert")))
    assert first.startswith("stage 1 of 2, 67% of the training: `hidden_mse`, weight 1")
    assert last.startswith("stage 2 of 2, 33% of the training: `soft_target`, weight 1")
