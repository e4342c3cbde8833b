"""What an evaluation would get wrong in silence: classes in another order, unknown words, rows under other numbers."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertTokenizer, pipeline

import codir
from codir.config import DataConfig, FinetuneConfig, validate
from codir.errors import UserError
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier

CLASSES = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Answers with the class that a row's words number: `w0` is class 0."""
    return make_model(tmp_path_factory.mktemp("model"), WORDS)


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Path:
    """Reads with another tokenizer, takes `w4` for `w0`, and is less sure of `w3`."""
    folder = make_model(tmp_path_factory.mktemp("second"), [*WORDS[50:], *WORDS[:50]], at=40)
    made = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        made.classifier.weight[4] = 0.0
        made.classifier.weight[0, 4] = 1.0
        made.classifier.weight[3] *= 0.5
    made.save_pretrained(folder)
    return folder


def make_model(folder: Path, words: Sequence[str], *, at: int = 0) -> Path:
    """The model: the words from number `at` on have a class each."""
    made = tiny_classifier("bert", num_labels=CLASSES, layers=1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.bert.embeddings.LayerNorm.weight.fill_(1.0)
        for layer in made.bert.encoder.layer:
            layer.attention.output.LayerNorm.weight.fill_(1.0)
            layer.output.LayerNorm.weight.fill_(1.0)
            layer.attention.self.value.weight.copy_(torch.eye(32))
            layer.attention.output.dense.weight.copy_(torch.eye(32))
        embeddings = made.bert.embeddings.word_embeddings.weight
        for index in range(CLASSES):
            embeddings[len(SPECIAL) + at + index, index] = 5.0
        made.bert.pooler.dense.weight.copy_(torch.eye(32))
        made.classifier.weight[:, :CLASSES] = torch.eye(CLASSES)
    made.save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate([*SPECIAL, *words])}).save_pretrained(folder)
    return folder


def write(path: Path, first: int, *, classes: int = CLASSES, lines: int = 40) -> DataConfig:
    """Rows of each class in turn, whose labels count from `first`."""
    rows = [f"w{row % classes} w{row % classes},{row % classes + first}" for row in range(lines)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return DataConfig(source=str(path), max_length=16)


def test_labels_that_count_from_one_taken_for_indices(tmp_path, model):
    assert codir.evaluate(str(model), write(tmp_path / "rows.csv", 0))["accuracy"] == 1.0
    assert codir.evaluate(str(model), write(tmp_path / "few.csv", 0, classes=4))["accuracy"] == 1.0
    with pytest.raises(UserError, match=r"label order: .* got accuracy 0\.000 .* 1\.000 with its classes renamed"):
        codir.evaluate(str(model), write(tmp_path / "later.csv", 1, classes=4))


def test_texts_of_unknown_words_scored_in_silence(tmp_path, model, caplog):
    data = write(tmp_path / "rows.csv", 0)
    path = Path(data.source)
    path.write_text(path.read_text().replace(",", " zebra zebra,").replace("text zebra zebra,", "text,"))
    with caplog.at_level(logging.WARNING, logger="codir"):
        codir.evaluate(str(model), data)
    assert "50% of the tokens are unknown to the tokenizer" in caplog.text


def test_pairs_that_a_model_cannot_tell_apart(tmp_path, model, tokenizer):
    made = tiny_classifier("roberta", num_labels=2)
    made.config.type_vocab_size = 1
    tiny = type(made)(made.config)
    tiny.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = make_texts(12)
    rows.add_column("text_pair", rows["text"]).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(UserError, match="segment numbers below 1"):
        codir.evaluate(str(tmp_path / "model"), DataConfig(source=str(tmp_path / "rows.csv"), max_length=32))


# ---- Against a second model ----


def read_tsv(file: Path) -> dict[str, list[str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_second_model_that_is_read_with_the_first_ones_tokenizer(tmp_path, model, second):
    found = codir.examine(str(model), write(tmp_path / "rows.csv", 0), against=str(second))
    assert found.metrics["accuracy"] == 1.0
    assert found.against.result.metrics["accuracy"] == pytest.approx(0.8)
    assert found.against.agreement["dev"].value == pytest.approx(0.8)
    assert found.against.agreement["dev"].low < 0.8 < found.against.agreement["dev"].high
    content = json.loads(json.dumps(found.to_json()))
    assert content["differences"]["model"]["against"]["accuracy"]["value"] == pytest.approx(0.2)
    assert content["against"]["agreement"]["dev"]["rows"] == 40
    assert set(content["calibration"]) == {"model", "against"}


def test_a_difference_that_is_not_paired(tmp_path, model, second):
    found = codir.examine(str(model), write(tmp_path / "rows.csv", 0), against=str(second))
    interval = found.judgement.differences["model"]["against"]["accuracy"]
    worse = np.array([row % CLASSES == 4 for row in range(40)], float)
    rng = np.random.default_rng(3)
    plain = [worse[rng.integers(0, 40, 40)].mean() for _ in range(4000)]
    assert [interval.low, interval.high] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.03)


def test_rows_that_differ_most_under_other_numbers_or_out_of_order(tmp_path, model, second):
    data = write(tmp_path / "rows.csv", 0)
    lines = Path(data.source).read_text().splitlines()
    Path(data.source).write_text("\n".join([lines[0], "w0 w0,-", *lines[1:]]))  # a label that stands for none
    codir.examine(
        str(model), data, against=str(second), differences=tmp_path / "rows.tsv", differing_rows=12, output=None
    )
    found = read_tsv(tmp_path / "rows.tsv")
    assert list(found) == ["row", "text", "label", "model", "against", "p_model", "p_against", "distance"]
    assert found["text"] == ["w4 w4"] * 8 + ["w3 w3"] * 4
    assert [int(row) for row in found["row"]] == [*range(6, 42, 5), *range(5, 25, 5)]
    assert found["label"] == found["model"] == ["LABEL_4"] * 8 + ["LABEL_3"] * 4
    assert found["against"] == ["LABEL_0"] * 8 + ["LABEL_3"] * 4
    assert found["distance"] == sorted(found["distance"], key=float, reverse=True)
    ours, theirs = (scores_of(folder, "w4 w4") for folder in (model, second))
    assert float(found["p_model"][0]) == pytest.approx(max(ours.values()), abs=1e-6)
    assert float(found["p_against"][0]) == pytest.approx(max(theirs.values()), abs=1e-6)
    distance = sum(abs(ours[name] - theirs[name]) for name in ours) / 2
    assert float(found["distance"][0]) == pytest.approx(distance, abs=1e-5)


def scores_of(folder: Path, text: str) -> dict[str, float]:
    """The probability of each class, as `transformers` gives it."""
    made = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    answers = pipeline("text-classification", model=made[0], tokenizer=made[1], top_k=None, device="cpu")([text])[0]
    return {one["label"]: one["score"] for one in answers}


def test_two_models_that_do_not_differ_in_any_row(tmp_path, model):
    file = tmp_path / "rows.jsonl"
    found = codir.examine(str(model), write(tmp_path / "rows.csv", 0), against=str(model), differences=file)
    assert found.against.agreement["dev"].value == 1.0
    assert file.read_text() == ""


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b", "c", "d"], "against: expected 5 classes, as the model gives, got 4 classes from the second model"),
        (["b", "a", "c", "d", "e"], "against: expected classes in the model's order: a, b, c, d, e, got the second"),
    ],
)
def test_a_second_model_of_other_classes(tmp_path, model, tokenizer, monkeypatch, labels, message):
    for name, names in (("first", ["a", "b", "c", "d", "e"]), ("second", labels)):
        made = tiny_classifier("bert", num_labels=len(names), layers=1)
        made.config.id2label = dict(enumerate(names))
        made.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    monkeypatch.setattr("codir.measure.exam.Exam.answers", None)  # no model is asked
    with pytest.raises(UserError, match=message):
        codir.examine(str(tmp_path / "first"), write(tmp_path / "rows.csv", 0), against=str(tmp_path / "second"))


def test_classes_that_the_second_model_numbers_otherwise_without_a_name(tmp_path, model, second):
    data = write(tmp_path / "rows.csv", 0)
    made = AutoModelForSequenceClassification.from_pretrained(second)
    with torch.no_grad():
        made.classifier.weight.copy_(torch.roll(torch.eye(CLASSES, made.config.hidden_size), 1, dims=0))
    made.save_pretrained(tmp_path / "rolled")
    AutoTokenizer.from_pretrained(second).save_pretrained(tmp_path / "rolled")
    with pytest.raises(UserError, match="label order: expected data that numbers its classes as the second model does"):
        codir.examine(str(model), data, against=str(tmp_path / "rolled"))


# ---- Answers in a file ----


@pytest.mark.parametrize("ending", [".tsv", ".jsonl", ".parquet"])
def test_answers_that_are_not_those_of_the_model(tmp_path, second, ending):
    file = tmp_path / f"answers{ending}"
    data = write(tmp_path / "rows.csv", 0)
    names = ["zero", "one", "two", "three", "four"]
    made = AutoModelForSequenceClassification.from_pretrained(second)
    made.config.id2label, made.config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
    made.save_pretrained(tmp_path / "named")
    AutoTokenizer.from_pretrained(second).save_pretrained(tmp_path / "named")
    codir.examine(str(tmp_path / "named"), data, predictions=file)
    read = {
        ".tsv": read_tsv,
        ".parquet": lambda file: pq.read_table(file).to_pydict(),
        ".jsonl": lambda file: {
            name: [json.loads(line)[name] for line in file.read_text().splitlines()]
            for name in ["row", "text", "answer", *(f"p_{name}" for name in names)]
        },
    }[ending](file)
    assert list(read) == ["row", "text", "answer", *(f"p_{name}" for name in names)]
    assert read["text"][:2] == ["w0 w0", "w1 w1"]
    assert [int(row) for row in read["row"]] == list(range(1, 41))
    assert read["answer"][:5] == ["zero", "one", "two", "three", "zero"]
    for row in range(5):
        given = {name: float(read[f"p_{name}"][row]) for name in names}
        assert given == pytest.approx(scores_of(tmp_path / "named", f"w{row} w{row}"), abs=2e-6)


def test_scores_that_are_written_as_classes(tmp_path, tokenizer):
    made = tiny_classifier("bert", num_labels=1, layers=1)
    other = tiny_classifier("bert", num_labels=1, layers=1, seed=5)
    for name, one in (("model", made), ("other", other)):
        one.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    rows = make_texts(30, kind="scores")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    found = codir.examine(
        str(tmp_path / "model"),
        DataConfig(source=str(tmp_path / "rows.csv"), max_length=32),
        against=str(tmp_path / "other"),
        predictions=tmp_path / "answers.parquet",
        differences=tmp_path / "rows.parquet",
    )
    assert found.judgement.calibration == {}
    answers = pq.read_table(tmp_path / "answers.parquet").to_pydict()
    assert list(answers) == ["row", "text", "score"]
    batch = tokenizer(rows["text"][:], padding=True, return_tensors="pt")
    with torch.inference_mode():
        ours, theirs = (one(**batch).logits[:, 0].double().numpy() for one in (made.eval(), other.eval()))
    assert answers["score"] == pytest.approx(ours.tolist(), abs=2e-6)
    assert found.against.agreement["dev"].value == pytest.approx(stats.pearsonr(ours, theirs)[0], abs=1e-4)
    differing = pq.read_table(tmp_path / "rows.parquet").to_pydict()
    assert list(differing) == ["row", "text", "label", "model", "against", "distance"]
    order = np.argsort(-np.abs(ours - theirs), kind="stable")
    assert differing["row"][:5] == (order[:5] + 1).tolist()
    assert differing["distance"] == pytest.approx(np.abs(ours - theirs)[order].tolist(), abs=1e-5)


def test_rows_that_were_held_out_of_a_file_under_their_numbers_in_the_part(tmp_path, model):
    data = write(tmp_path / "rows.csv", 0)
    codir.examine(str(model), data, predictions=tmp_path / "answers.parquet", of_run=tmp_path)
    found = pq.read_table(tmp_path / "answers.parquet").to_pydict()
    assert len(found["row"]) == len({(row - 1) % CLASSES for row in found["row"]}) == 4
    assert [int(name.removeprefix("LABEL_")) for name in found["answer"]] == [(r - 1) % CLASSES for r in found["row"]]


def test_rows_that_changed_since_the_run_that_is_evaluated(tmp_path, model, caplog):
    """Another row in the file, and other rows are held out: among them are some that the run was trained on."""
    data, run = write(tmp_path / "rows.csv", 0), tmp_path / "run"
    training = {"max_steps": 1, "per_device_train_batch_size": 4}
    config = {"model": str(model), "data": data, "training": training, "output_dir": run}
    scores = codir.finetune(validate(FinetuneConfig, config))
    report = json.loads((run / "report.json").read_text("utf-8"))
    assert report["metrics"] == scores
    assert report["data"]["evaluation"]["dev"]["rows"] == 4

    caplog.set_level(logging.INFO, "codir")
    codir.examine(str(run), data, of_run=run)
    assert "other rows" not in caplog.text
    write(tmp_path / "rows.csv", 0, lines=41)
    codir.examine(str(run), data, of_run=run)
    assert caplog.text.count("other rows than those of the report") == 1
    caplog.clear()
    codir.examine(str(run), data)  # all rows of that file, asked for as such
    assert "other rows" not in caplog.text


@pytest.mark.parametrize("report", ["", "[]", '{"data": 1}', '{"data": {"evaluation": {"dev": 1}}}'])
def test_a_run_whose_report_names_no_rows(tmp_path, model, caplog, report):
    (tmp_path / "report.json").write_text(report)
    caplog.set_level(logging.INFO, "codir")
    codir.examine(str(model), write(tmp_path / "rows.csv", 0), of_run=tmp_path)
    assert "other rows" not in caplog.text


# ---- Submissions ----


def write_glue(folder: Path, task: str, *, test: bool = True) -> Path:
    """Two classes that `w0` and `w1` stand for, in a task whose labels are words."""
    names = ("entailment", "not_entailment")
    lines = [f"{row}\tw{row % 2}\tw{row % 2}" for row in range(12)]
    (folder / task).mkdir(parents=True)
    labelled = [f"{line}\t{names[row % 2]}" for row, line in enumerate(lines)]
    (folder / task / "dev.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *labelled]) + "\n")
    if test:
        (folder / task / "test.tsv").write_text("\n".join(["index\tsentence1\tsentence2", *lines]) + "\n")
    return folder


@pytest.fixture
def entailment(tmp_path, model, tokenizer) -> Path:
    """The model with two classes that have GLUE's names in the other order: `w0` is `entailment`."""
    made = AutoModelForSequenceClassification.from_pretrained(model)
    weight = made.classifier.weight[:2].flip(0).clone()
    made.classifier = torch.nn.Linear(made.config.hidden_size, 2)
    with torch.no_grad():
        made.classifier.weight.copy_(weight)
        made.classifier.bias.zero_()
    made.config.id2label = {0: "not_entailment", 1: "entailment"}
    made.config.label2id = {"not_entailment": 0, "entailment": 1}
    made.save_pretrained(tmp_path / "entailment")
    tokenizer.save_pretrained(tmp_path / "entailment")
    return tmp_path / "entailment"


def test_a_submission_of_a_model_whose_classes_stand_in_another_order(tmp_path, entailment):
    glue = write_glue(tmp_path / "glue", "RTE")
    data = DataConfig(source="glue:RTE", data_dir=glue, max_length=16, labels=["not_entailment", "entailment"])
    found = codir.examine(str(entailment), data, submission=tmp_path / "submission")
    assert found.metrics["accuracy"] == 1.0
    assert found.files == (tmp_path / "submission" / "RTE.tsv",)
    lines = (tmp_path / "submission" / "RTE.tsv").read_text().splitlines()
    names = ("entailment", "not_entailment")
    assert lines == ["index\tprediction", *(f"{row}\t{names[row % 2]}" for row in range(12))]
    with pytest.raises(UserError, match="label order"):
        codir.examine(
            str(entailment), DataConfig(source="glue:RTE", data_dir=glue, max_length=16), submission=tmp_path / "other"
        )
    assert not (tmp_path / "other").exists()


def test_a_submission_that_is_refused_after_the_model_was_loaded(tmp_path):
    nowhere = str(tmp_path / "no-model")
    glue = write_glue(tmp_path / "glue", "RTE", test=False)
    rows = write(tmp_path / "rows.csv", 0)
    with pytest.raises(UserError, match="submission: expected a task of GLUE as the data"):
        codir.examine(nowhere, rows, submission=tmp_path / "submission")
    with pytest.raises(UserError, match=r"test\.tsv': expected a file"):
        codir.examine(nowhere, DataConfig(source="glue:RTE", data_dir=glue), submission=tmp_path / "submission")
    with pytest.raises(UserError, match="differences: expected a second model beside it"):
        codir.examine(nowhere, rows, differences=tmp_path / "rows.tsv")
    with pytest.raises(UserError, match=r"expected a place apart from all that is read, such as `data\.source`"):
        codir.examine(
            nowhere, rows.model_copy(update={"source": str(tmp_path / "x.tsv")}), predictions=touched(tmp_path)
        )
    assert {path.name for path in tmp_path.iterdir()} == {"glue", "rows.csv", "x.tsv"}


def touched(folder: Path) -> Path:
    (folder / "x.tsv").touch()
    return folder / "x.tsv"


def test_two_evaluation_sets_that_are_mixed_up(tmp_path, model, second):
    """MNLI's matched and mismatched rows, of two models with five classes cut to three."""
    names = ("entailment", "neutral", "contradiction")
    for name, whole in (("first", model), ("second", second)):
        made = AutoModelForSequenceClassification.from_pretrained(whole)
        weight = made.classifier.weight[:3].clone()
        made.classifier = torch.nn.Linear(made.config.hidden_size, 3)
        with torch.no_grad():
            made.classifier.weight.copy_(weight)
            made.classifier.bias.zero_()
            if name == "second":
                made.classifier.weight[2] *= 0.5
        made.config.id2label = dict(enumerate(names))
        made.save_pretrained(tmp_path / name)
        AutoTokenizer.from_pretrained(whole).save_pretrained(tmp_path / name)
    folder = tmp_path / "glue" / "MNLI"
    folder.mkdir(parents=True)
    for name, shift in (("matched", 0), ("mismatched", 1)):
        lines = [f"{row}\tw{(row + shift) % 3}\tw{(row + shift) % 3}" for row in range(9)]
        gold = [f"{line}\t{names[(row + shift) % 3]}" for row, line in enumerate(lines)]
        (folder / f"dev_{name}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tgold_label", *gold]) + "\n")
        (folder / f"test_{name}.tsv").write_text("\n".join(["index\tsentence1\tsentence2", *lines]) + "\n")
    found = codir.examine(
        str(tmp_path / "first"),
        DataConfig(source="glue:MNLI", data_dir=tmp_path / "glue", max_length=16),
        against=str(tmp_path / "second"),
        differences=tmp_path / "rows.tsv",
        differing_rows=6,
        predictions=tmp_path / "answers.tsv",
        submission=tmp_path / "submission",
    )
    assert list(found.against.agreement) == ["dev_matched", "dev_mismatched"]
    answers = read_tsv(tmp_path / "answers.tsv")
    assert answers["set"] == ["dev_matched"] * 9 + ["dev_mismatched"] * 9
    assert answers["row"] == [str(row) for row in range(1, 10)] * 2
    assert answers["answer"][:2] == ["entailment", "neutral"]
    assert answers["answer"][9:11] == ["neutral", "contradiction"]
    differing = read_tsv(tmp_path / "rows.tsv")
    assert list(differing)[:5] == ["set", "row", "text", "text_pair", "label"]
    assert differing["text_pair"] == ["w2"] * 6
    assert list(zip(differing["set"], differing["row"], strict=True)) == [
        *(("dev_matched", row) for row in "369"),
        *(("dev_mismatched", row) for row in "258"),
    ]
    for name, first in (("MNLI-m", "entailment"), ("MNLI-mm", "neutral")):
        lines = (tmp_path / "submission" / f"{name}.tsv").read_text().splitlines()
        assert lines[:2] == ["index\tprediction", f"0\t{first}"]
        assert len(lines) == 10
