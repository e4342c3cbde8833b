"""The text of a model card, from values that a run hands over: hostile, missing, or of several evaluation sets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from codir.bilstm.config import BiLSTMConfig
from codir.bilstm.model import BiLSTMForSequenceClassification
from codir.measure import ModelResult
from codir.report import Findings, Origin, RunResult, Term, findings_of_run, write_card
from codir.report.card import render_card
from codir.report.findings import Scores

ORIGIN = Origin(
    name="student",
    auto_class="AutoModelForSequenceClassification",
    size="3 layers x 384, 17.4M parameters",
    start="weights copied from the teacher's layers 1, 3, 5",
    base="org/teacher",
    method="Objectives:",
    labels=("negative", "positive"),
)
SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


def read(origin: Origin, found: Findings, folder: Path) -> ModelCard:
    write_card(origin, found, folder)
    return ModelCard.load(folder / "README.md", ignore_metadata_errors=False)


def test_two_evaluation_sets_that_become_one(tmp_path):
    metrics = {"accuracy": 0.8, "macro_f1": 0.7, "accuracy_mismatched": 0.6, "macro_f1_mismatched": 0.5}
    model = ModelResult(metrics, 10, 40, None)
    data = {"evaluation": {f"dev_{name}": {"source": f"{name}.csv", "rows": 9} for name in ("matched", "mismatched")}}
    result = RunResult(
        title="x", task_name="x", primary_metric="accuracy", teacher=model, student=model, baseline=None, agreement=1.0,
        baseline_agreement=None, conditions={}, notes=(), log_history=[], output_dir=None, data=data,
    )  # fmt: skip
    card = read(replace(ORIGIN, datasets=["nyu-mll/glue"]), findings_of_run(result), tmp_path)
    found = {(one.dataset_split, one.dataset_name, one.metric_name): one.metric_value for one in card.data.eval_results}
    assert found == {
        ("dev_matched", "matched.csv", "accuracy"): 0.8,
        ("dev_matched", "matched.csv", "macro f1"): 0.7,
        ("dev_mismatched", "mismatched.csv", "accuracy"): 0.6,
        ("dev_mismatched", "mismatched.csv", "macro f1"): 0.5,
    }
    assert {one.dataset_type for one in card.data.eval_results} == {"nyu-mll/glue"}
    assert card.data.datasets == ["nyu-mll/glue"]
    assert card.data.base_model == "org/teacher"


def test_a_set_whose_name_ends_as_another_does_that_gets_its_scores():
    sets = {"dev": {}, "dev_new": {}, "dev_brand_new": {}}
    metrics = {"accuracy": 0.1, "accuracy_new": 0.2, "accuracy_brand_new": 0.3}
    model = ModelResult(metrics, 10, 40, None)
    result = RunResult(
        title="x", task_name="x", primary_metric="accuracy", teacher=model, student=model, baseline=None, agreement=1.0,
        baseline_agreement=None, conditions={}, notes=(), log_history=[], output_dir=None, data={"evaluation": sets},
    )  # fmt: skip
    found = {one.name: dict(one.values) for one in findings_of_run(result).results}
    assert found == {"dev": {"accuracy": 0.1}, "dev_new": {"accuracy": 0.2}, "dev_brand_new": {"accuracy": 0.3}}


def test_a_hostile_name_or_note_that_breaks_a_card(tmp_path):
    origin = replace(
        ORIGIN,
        name='a"); import os #\n---\nlicense: mit',
        base="my teacher: <b>",
        labels=("<script>x</script>", "| b"),
        facts={"training set": "/mnt/me/private/reviews.csv, 9 rows"},
        terms=[Term("kd", 0.5, "`KL` to *it*", {"path": "/mnt/me/x"})],
    )
    found = Findings(
        results=[Scores("dev", "/mnt/me/private/dev set.csv", {"accuracy": 0.5})],
        notes=[f"read /mnt/me/private/x.csv with token={SECRET}", "ends\n---\n# here"],
        warnings=["<img src=x>"],
        conditions={"versions": {"python": "3", "codir": None}, "date": None},
    )
    card = read(origin, found, tmp_path)
    text = str(card)
    assert card.data.to_dict().keys() == {
        "library_name", "metrics", "pipeline_tag", "tags", "model-index"
    }  # fmt: skip  # no licence, and no base model, whose name the hub would not take
    for forbidden in ("/mnt", "private", SECRET, "<script", "<img"):
        assert forbidden not in text, forbidden
    (snippet,) = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    compile(snippet, "snippet", "exec")
    assert "import os" not in snippet.replace('model="', "").partition("model(")[0].splitlines()[0]


def test_a_model_without_scores_whose_card_claims_some(tmp_path):
    card = read(ORIGIN, Findings(), tmp_path)
    assert card.data.eval_results is None
    assert card.data.get("metrics") is None
    assert "This model was not scored by itself." in card.text
    assert "## Speed" not in card.text


def test_a_model_that_only_codir_knows_and_a_snippet_without_it(tmp_path, tokenizer):
    config = BiLSTMConfig(vocab_size=100, embedding_size=8, hidden_size=8, num_labels=2)
    BiLSTMForSequenceClassification(config).save_pretrained(tmp_path / "student")
    tokenizer.save_pretrained(tmp_path / "student")
    card = read(replace(ORIGIN, needs_codir=True), Findings(), tmp_path / "student")
    assert "which has to be installed" in card.text
    snippet = card.text.split("```python\n")[1].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "'label'" in done.stdout


@pytest.mark.parametrize("auto_class", ["AutoModelForSequenceClassification", "AutoModelForMultipleChoice"])
def test_a_task_that_the_hub_has_no_word_for(auto_class):
    text = render_card(replace(ORIGIN, auto_class=auto_class), Findings())
    assert ("pipeline_tag" in text) == (auto_class == "AutoModelForSequenceClassification")
    assert f"{auto_class}.from_pretrained" in text or "pipeline(" in text
