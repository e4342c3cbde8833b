"""Question answering from SQuAD's files to the exported folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, BertTokenizer

import codir
from codir.config import DataConfig, ExportConfig
from codir.data import decode, encode_windows, load_data
from codir.errors import UserError
from codir.models import give_logits, load_model, shape_of
from codir.runs.answers import write_differences
from codir.runs.evaluate import examine
from codir.runs.export import export_model
from codir.tasks import KINDS
from codir.tasks.squad import Gold
from codir.teacher import CacheKey
from codir.teacher.found import find_fault
from conftest import SPECIAL, WORDS
from families import tiny_classifier

TRAINING = {"use_cpu": True, "disable_tqdm": True, "precision": "fp32", "save_strategy": "no", "eval_strategy": "no"}


def squad(articles: int, *, seed: int = 0, without: float = 0.0) -> dict:
    """Contexts in which `w80 w81` is the answer to everything; some have none."""
    rng, data = np.random.default_rng(seed), []
    for article in range(articles):
        paragraphs = []
        for number in range(3):
            words = [WORDS[int(word)] for word in rng.integers(0, 60, rng.integers(8, 40))]
            has_answer = rng.random() >= without
            if has_answer:
                at = int(rng.integers(0, len(words) - 1))
                words[at : at + 2] = ["w80", "w81"]
            context = " ".join(words)
            answers = [{"text": "w80 w81", "answer_start": context.index("w80")}] if has_answer else []
            question = {"id": f"{article}-{number}", "question": "w70 w71", "answers": answers}
            if without:
                question["is_impossible"] = not has_answer
            paragraphs.append({"context": context, "qas": [question]})
        data.append({"title": str(article), "paragraphs": paragraphs})
    return {"version": "2.0" if without else "1.1", "data": data}


def write(path: Path, content: dict) -> str:
    path.write_text(json.dumps(content))
    return str(path)


# ---- Files ----


@pytest.mark.parametrize("without", [0.0, 0.4], ids=["1.1", "2.0"])
def test_questions_that_are_not_read_as_they_stand(tmp_path, without):
    content = squad(10, without=without)
    data = load_data(write(tmp_path / "train.json", content), task="question_answering")
    questions = [(p["context"], q) for a in content["data"] for p in a["paragraphs"] for q in p["qas"]]
    rows = [row for part in (data.train, data.dev["dev"]) for row in part]
    assert len(rows) == len(questions) == 30
    by_id = {row["id"]: row for row in rows}
    for context, question in questions:
        row = by_id[question["id"]]
        start, end = row["label"]
        assert (row["text"], row["text_pair"]) == (question["question"], context)
        assert row["answers"] == [answer["text"] for answer in question["answers"]]
        assert (context[start:end] if start >= 0 else None) == (row["answers"][0] if row["answers"] else None)
    articles = [{row["id"].split("-")[0] for row in part} for part in (data.train, data.dev["dev"])]
    assert not articles[0] & articles[1]
    assert any("by whole articles" in note for note in data.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON"),
        ("[]", "expected a file of SQuAD's form"),
        ('{"data": []}', "got no question"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b"}]}]}]}', "got no 'answers'"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": ["b"]}]}]}', "got something else"),
        (
            '{"data": [{"paragraphs": [{"context": null, "qas": [{"id": 1, "question": "b", "answers": []}]}]}]}',
            "got so",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b", '
            '"answers": [{"text": "a", "answer_start": "first"}]}]}]}]}',
            "got something else",
        ),
        ("[" * 100_000, "no JSON"),
        (
            '{"data": [{"paragraphs": [{"context": "a b", "qas": [{"id": "7", "question": "c", '
            '"answers": [{"text": "b", "answer_start": 1}]}]}]}]}',
            "question '7': expected its answer 'b' at character 1",
        ),
    ],
)
def test_files_that_are_not_squads(tmp_path, content, message):
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_data(str(tmp_path / "train.json"), task="question_answering", evaluation_only=True)


def rows_of(content: dict) -> list[dict]:
    """As the hub has SQuAD: a question in each row, its answers as two lists."""
    return [
        {
            "id": question["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": question["question"],
            "answers": {key: [one[key] for one in question["answers"]] for key in ("text", "answer_start")},
        }
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


FORMS = {
    "parquet": lambda file, rows: Dataset.from_list(rows).to_parquet(str(file)),
    "jsonl": lambda file, rows: file.write_text("\n".join(map(json.dumps, rows))),
    "json": lambda file, rows: file.write_text("\n".join(map(json.dumps, rows))),
    "array.json": lambda file, rows: file.write_text(json.dumps(rows)),
    "data.json": lambda file, rows: file.write_text(json.dumps({"version": "2.0", "data": rows}, indent=1)),
}
"""How people keep SQuAD's rows; `datasets` writes `to_json` as lines, whatever the name."""


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_the_hub_that_are_read_otherwise_than_squads_own_file(tmp_path, form):
    content = squad(8, without=0.4)
    (tmp_path / "hub").mkdir()
    FORMS[form](tmp_path / "hub" / f"train.{form}", rows_of(content))
    FORMS[form](tmp_path / "hub" / f"validation.{form}", rows_of(squad(2, seed=1, without=0.4)))
    own = load_data(write(tmp_path / "train.json", content), task="question_answering", evaluation_only=True)
    found = load_data(str(tmp_path / "hub" / f"train.{form}"), task="question_answering", evaluation_only=True)
    assert found.dev["dev"][:] == own.dev["dev"][:]
    both = load_data(str(tmp_path / "hub"), task="question_answering")
    assert (len(both.train), len(both.dev["dev"])) == (24, 6)
    held_out = load_data(str(tmp_path / "hub" / f"train.{form}"), task="question_answering")
    articles = [{row["id"].split("-")[0] for row in part} for part in (held_out.train, held_out.dev["dev"])]
    assert not articles[0] & articles[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("answers"), "got no 'answers'"),
        (lambda row: row["answers"].pop("answer_start"), "got no 'answer_start'"),
        (
            lambda row: row["answers"].update(answer_start=[3]),
            "question '0-0': expected its answer 'w80 w81' at character 3",
        ),
    ],
)
def test_rows_of_the_hub_without_what_is_read(tmp_path, change, message):
    rows = rows_of(squad(2))
    change(rows[0])
    FORMS["jsonl"](tmp_path / "train.jsonl", rows)
    with pytest.raises(UserError, match=message):
        load_data(str(tmp_path / "train.jsonl"), task="question_answering", evaluation_only=True)


@pytest.mark.parametrize(
    "given",
    [{"text_column": "question"}, {"separator": ";"}, {"header": False}, {"id_column": "uid"}, {"data_dir": "glue"}],
    ids=lambda given: next(iter(given)),
)
def test_options_that_files_of_squad_leave_unused(tmp_path, given):
    source = write(tmp_path / "train.json", squad(4))
    with pytest.raises(UserError, match=f"{next(iter(given))}: expected nothing"):
        load_data(source, task="question_answering", **given)


@pytest.mark.parametrize("given", [{"dev_fraction": 1.5}, {"max_train_rows": 0}], ids=["fraction", "rows"])
def test_a_part_of_the_questions_that_is_none(tmp_path, given):
    with pytest.raises(UserError, match=next(iter(given))):
        load_data(write(tmp_path / "train.json", squad(4)), task="question_answering", **given)


def test_held_out_questions_that_are_shown_under_other_numbers_or_names(tmp_path):
    data = load_data(write(tmp_path / "train.json", squad(10)), task="question_answering")
    numbers = [
        int(article) * 3 + int(question) + 1 for article, question in (i.split("-") for i in data.dev["dev"]["id"])
    ]
    assert list(data.row_numbers["dev"]) == numbers
    assert data.origins == {"train": "train.json", "dev": "held out of train.json"}
    (tmp_path / "other").mkdir()
    own = load_data(
        str(tmp_path / "train.json"),
        dev=write(tmp_path / "other" / "train.json", squad(2, seed=1)),
        task="question_answering",
    )
    assert own.origins["dev"] == "train.json"
    assert list(own.row_numbers["dev"]) == [1, 2, 3, 4, 5, 6]


def test_a_folder_of_squad_that_lacks_a_part(tmp_path):
    write(tmp_path / "train-v1.1.json", squad(4))
    with pytest.raises(UserError, match=r"expected a file dev\*.json.*, got train-v1.1.json"):
        load_data(str(tmp_path), task="question_answering", evaluation_only=True)  # not judged by what it trained on
    (tmp_path / "train-v1.1.json").rename(tmp_path / "dev-v1.1.json")
    assert len(load_data(str(tmp_path), task="question_answering", evaluation_only=True).dev["dev"]) == 12
    with pytest.raises(UserError, match=r"expected a file train\*.json.*, got dev-v1.1.json"):
        load_data(str(tmp_path), task="question_answering")


def test_unlabelled_questions_that_must_have_answers(tmp_path):
    """Nobody reads them."""
    source, more = write(tmp_path / "train.json", squad(4)), squad(2)
    for question in (question for article in more["data"] for one in article["paragraphs"] for question in one["qas"]):
        del question["answers"]
    more["data"][1]["paragraphs"][0]["qas"][0]["answers"] = [{"text": "nowhere", "answer_start": 0}]
    unlabelled = write(tmp_path / "more.json", more)
    data = load_data(source, dev=source, unlabelled=[unlabelled], task="question_answering")
    assert data.num_unlabelled == 6
    assert [row["label"] for row in data.train][-6:] == [[-100, -100]] * 6


# ---- Windows ----


def test_windows_that_lose_a_token_or_an_answer(tokenizer):
    content = squad(20, seed=3, without=0.2)["data"]
    rows = load_rows(content)
    encoded = encode_windows(rows, tokenizer, max_length=20, with_offsets=True)
    seen: dict[int, set[int]] = {}
    found = dict.fromkeys(range(len(rows)), False)
    for window in encoded:
        row = rows[window["row"]]
        assert len(window["input_ids"]) <= 20
        seen.setdefault(window["row"], set()).update(
            place for start, end in window["offsets"] if end > start for place in range(start, end)
        )
        first, last = window["labels"]
        start, end = row["label"]
        if first:
            assert (window["offsets"][first][0], window["offsets"][last][1]) == (start, end)
            found[window["row"]] = True
        else:
            assert last == 0
    for number, row in enumerate(rows):
        assert seen[number] == {place for place, letter in enumerate(row["text_pair"]) if letter != " "}
        assert found[number] == bool(row["answers"])
    assert encoded["example_index"][:] == list(range(len(encoded)))
    assert len(encoded) > len(rows)


@pytest.mark.parametrize(("before", "behind"), [(" ", ""), ("", " "), ("\u200b", ""), ("", "\u200b"), (" ", "  ")])
@pytest.mark.parametrize("max_length", [12, 40])
def test_an_answer_that_is_lost_for_a_space_at_its_ends(tokenizer, before, behind, max_length):
    """Of which there is no token. Every window that holds the words would have been taught that it holds no answer."""
    words, rows = [f"w{number}" for number in range(20)], []
    for place in range(1, 19):
        context = f"{' '.join(words[:place])} {before}w80{behind} {' '.join(words[place:])}"
        start = context.index("w80") - len(before)
        label = [start, start + len(before) + 3 + len(behind)]
        rows.append({"text": "w70", "text_pair": context, "label": label})
    encoded, found = encode_windows(Dataset.from_list(rows), tokenizer, max_length=max_length, with_offsets=True), set()
    for window in encoded:
        first, last = window["labels"]
        if first:
            start, end = window["offsets"][first]
            assert rows[window["row"]]["text_pair"][start:end] == "w80"
            assert first == last
            found.add(window["row"])
    assert found == {*range(len(rows))}


def test_an_answer_that_a_window_holds_half_of(tokenizer):
    context = " ".join(f"w{number}" for number in range(20))
    rows = Dataset.from_dict({"text": ["w70"], "text_pair": [context], "label": [[0, len(context)]]})
    assert {tuple(one) for one in encode_windows(rows, tokenizer, max_length=12)["labels"]} == {(0, 0)}


def load_rows(content):
    from codir.data.sources.squad import Questions, _row

    rows = [_row(Path("x"), q, p["context"]) for a in content for p in a["paragraphs"] for q in p["qas"]]
    return Questions("x", rows, [], []).to_dataset()


@pytest.mark.parametrize("column", ["text", "text_pair"])
def test_a_question_or_a_context_that_is_none(tokenizer, column):
    rows = load_rows(squad(2)["data"]).to_list()
    rows[1][column] = None
    with pytest.raises(UserError, match=f"column '{column}', row 2: expected a text"):
        encode_windows(datasets.Dataset.from_list(rows), tokenizer, max_length=20)


def test_a_span_of_another_window_or_of_the_question(tokenizer):
    rows = load_rows(squad(6, seed=5)["data"])
    encoded = encode_windows(rows, tokenizer, max_length=20, with_offsets=True)
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(len(encoded), 20, 2)).astype(np.float32)
    found = decode(logits, encoded, len(rows), may_be_none=True)
    for number in range(len(rows)):
        windows = [row for row, of in enumerate(encoded["row"]) if of == number]
        best = (-np.inf, None)
        for window in windows:
            offsets = encoded[window]["offsets"]
            inside = [place for place, (start, end) in enumerate(offsets) if end > start]
            for first in inside:
                for last in inside:
                    if first <= last < first + 30:
                        score = float(logits[window, first, 0]) + float(logits[window, last, 1])
                        best = max(best, (score, (offsets[first][0], offsets[last][1])))
        assert tuple(found[number, :2]) == best[1]
        assert found[number, 2] == pytest.approx(best[0], rel=1e-5)
        assert found[number, 3] == pytest.approx(min(float(logits[window, 0].sum()) for window in windows))
    without = decode(logits, encoded, len(rows), may_be_none=False)
    assert (KINDS["question_answering"].answers(without) >= 0).all()


def test_a_question_that_leaves_no_room(tokenizer):
    rows = load_rows(squad(1)["data"]).map(lambda row: {"text": " ".join(["w1"] * 30)})
    with pytest.raises(UserError, match="question 1: expected at most 9 tokens"):
        encode_windows(rows, tokenizer, max_length=20)


# ---- Logits ----


def test_padding_that_an_answer_may_start_in(tokenizer):
    torch.manual_seed(0)
    model = AutoModelForQuestionAnswering.from_config(tiny_classifier("bert", num_labels=2).config).eval()
    batch = tokenizer(["w1 w2", "w1 w2 w3 w4"], padding=True, return_tensors="pt")
    before = model(**batch)
    give_logits(model, 12)
    logits = model(**batch).logits
    assert logits.shape == (2, 12, 2)
    assert torch.equal(logits[1, :6, 0], before.start_logits[1])
    assert torch.equal(logits[0, :4, 1], before.end_logits[0, :4])
    assert (logits[0, 4:].softmax(dim=0).sum(dim=1) > 0).all()
    assert (logits.softmax(dim=1)[0, 4:] == 0).all()
    assert type(model).__name__ == "BertForQuestionAnswering"


# ---- Runs ----


@pytest.fixture(scope="module")
def made(once_per_suite, tokenizer) -> Path:
    """Files of version 2.0, and a teacher that was fine-tuned on them until it answers."""

    def fill(folder: Path) -> None:
        write(folder / "train.json", squad(40, without=0.3))
        write(folder / "dev.json", squad(10, seed=1, without=0.3))
        tiny_classifier("bert", num_labels=2, layers=2).save_pretrained(folder / "start")
        tokenizer.save_pretrained(folder / "start")
        config = codir.FinetuneConfig(
            model=str(folder / "start"),
            data=data_of(folder),
            training={**TRAINING, "max_steps": 100, "learning_rate": 3e-3, "per_device_train_batch_size": 16},
            output_dir=folder / "teacher",
        )
        assert codir.finetune(config)["f1"] > 0.9

    return once_per_suite("question answering", fill)


def data_of(folder: Path, **changes: object) -> dict[str, object]:
    files = {"source": str(folder / "train.json"), "dev": str(folder / "dev.json")}
    return {**files, "task": "question_answering", "max_length": 32, **changes}


def recipe_of(made: Path, output: Path, preset: str, **training: object) -> codir.Recipe:
    return codir.Recipe(
        teacher={"model": str(made / "teacher"), "cache_dir": output.parent / "cache"},
        data=data_of(made, task="auto"),  # the teacher's class names its kind
        student={"layers": 1},
        objectives={"preset": preset, "contrastive": {"num_negatives": 10}} if preset == "codir" else preset,
        training={**TRAINING, "max_steps": 60, "learning_rate": 3e-3, "per_device_train_batch_size": 16, **training},
        output_dir=output,
    )


@pytest.mark.training
@pytest.mark.parametrize("preset", ["kd", "codir"])
def test_a_student_that_does_not_learn_where_answers_stand(made, tmp_path, preset):
    result = codir.distill(recipe_of(made, tmp_path / "student", preset))
    assert result.primary_metric == "exact_match"
    assert result.teacher.metrics["f1"] > 0.9
    assert result.student.metrics["f1"] > result.judgement.floor["f1"] + 0.2
    assert "no answer" in (tmp_path / "student" / "report.md").read_text()


@pytest.mark.training
def test_a_cached_teacher_that_marks_other_words_than_a_live_one(made, tmp_path):
    metrics = []
    for cache in (True, False):
        config = recipe_of(made, tmp_path / f"student-{cache}", "kd", max_steps=5).model_dump()
        config["teacher"]["cache"] = cache
        result = codir.distill(codir.Recipe(**config))
        metrics.append([line["loss"] for line in result.log_history if "loss" in line])
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-4)


@pytest.mark.training
def test_a_teachers_cache_of_windows_that_is_built_anew(made, tmp_path, caplog):
    """A second run finds it whole, and so does the second process of a run."""
    for run in ("first", "second"):
        config = recipe_of(made, tmp_path / run, "kd", max_steps=2).model_dump()
        config["teacher"]["cache"] = True
        with caplog.at_level("WARNING"):
            codir.distill(codir.Recipe(**config))
    assert "is not used as a teacher cache" not in caplog.text
    (cache,) = [folder for folder in (tmp_path / "cache").iterdir() if folder.name[0] != "."]
    key = CacheKey.read(cache)
    assert find_fault(cache, key) is None
    np.save(cache / "logits.npy", np.load(cache / "logits.npy")[:, :-1])
    assert "which is not what key.json says" in str(find_fault(cache, key, is_checked=True))


@pytest.mark.training
def test_answers_that_are_not_those_of_plain_transformers(made, tmp_path):
    """The predictions file, judged by the official measure, against a loop over single windows."""
    found = examine(
        str(made / "teacher"),
        DataConfig(**data_of(made, source=str(made / "dev.json"), dev=None)),
        predictions=tmp_path / "predictions.json",
    )
    said = json.loads((tmp_path / "predictions.json").read_text())
    model = AutoModelForQuestionAnswering.from_pretrained(made / "teacher").eval()
    tokenizer = AutoTokenizer.from_pretrained(made / "teacher")
    scores = []
    for article in json.loads((made / "dev.json").read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answer = answer_of(model, tokenizer, question["question"], paragraph["context"])
                assert said[question["id"]] == answer
                gold = Gold(answer, tuple(one["text"] for one in question["answers"]))
                scores.append(gold.f1(0, len(answer)) if answer else gold.f1(-1, -1))
    assert found.model.metrics["f1"] == pytest.approx(np.mean(scores))


def test_answers_that_differ_shown_as_numbers_of_characters(tmp_path):
    content = {"data": [{"paragraphs": [{"context": "one two three", "qas": [question_of("two", 4), question_of()]}]}]}
    data = load_data(write(tmp_path / "dev.json", content), task="question_answering", evaluation_only=True)
    said = {"model": [[4.0, 7.0, 5.0, 0.0], [0.0, 3.0, 0.0, 5.0]], "against": [[0.0, 13.0, 5.0, 0.0]] * 2}
    answers = {name: {"dev": np.array(rows)} for name, rows in said.items()}
    write_differences(tmp_path / "rows.jsonl", data, (), answers, 5)
    found = {row["label"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    assert found["two"]["model"] == "two"
    assert found[""]["model"] == ""
    assert [row["against"] for row in found.values()] == ["one two three"] * 2


def question_of(*answer: Any) -> dict[str, Any]:
    """Answered by a text from a place on, or not at all."""
    answers = [{"text": answer[0], "answer_start": answer[1]}] if answer else []
    return {"id": str(len(answer)), "question": "which one", "answers": answers}


@torch.no_grad()
def answer_of(model, tokenizer, question: str, context: str) -> str:
    encoded = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=32,
        stride=10,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    best, none = (-np.inf, 0, 0), np.inf
    for window in range(len(encoded["input_ids"])):
        inputs = {name: torch.tensor([encoded[name][window]]) for name in tokenizer.model_input_names}
        output = model(**inputs)
        start, end = output.start_logits[0], output.end_logits[0]
        none = min(none, float(start[0] + end[0]))
        inside = [place for place, part in enumerate(encoded.sequence_ids(window)) if part == 1]
        for first in inside:
            for last in inside:
                if first <= last < first + 30:
                    places = encoded["offset_mapping"][window]
                    best = max(best, (float(start[first] + end[last]), places[first][0], places[last][1]))
    threshold = np.log(model.config.codir_thresholds[0] / (1 - model.config.codir_thresholds[0]))
    return "" if none - threshold > best[0] else context[best[1] : best[2]]


@pytest.mark.training
def test_a_student_that_reads_other_tokens(made, tmp_path, tokenizer):
    folder = tmp_path / "other"
    AutoModelForQuestionAnswering.from_config(tiny_classifier("bert", num_labels=2, layers=1).config).save_pretrained(
        folder
    )
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])}).save_pretrained(folder)
    config = recipe_of(made, tmp_path / "student", "kd").model_dump()
    config["student"] = {"checkpoint": str(folder)}
    with pytest.raises(UserError, match="expected the teacher's tokenizer, for question answering"):
        codir.distill(codir.Recipe(**config))


@pytest.mark.training
def test_an_answers_file_of_squad_for_another_kind(tmp_path, made, tokenizer):
    tiny_classifier("bert", num_labels=2).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "rows.csv").write_text("text,label\nw1,0\nw2,1\n")
    with pytest.raises(UserError, match=r"predictions: expected a file whose name ends in \.tsv"):
        examine(str(tmp_path / "model"), DataConfig(source=str(tmp_path / "rows.csv")), predictions=tmp_path / "p.json")


@pytest.mark.training
def test_an_export_that_answers_otherwise(made, tmp_path):
    pytest.importorskip("onnxruntime")
    export_model(ExportConfig(model=str(made / "teacher"), data=data_of(made), output_dir=tmp_path / "exported"))
    long = " ".join([*WORDS[:35], "w80", "w81", *WORDS[:4]])
    model, tokenizer = (
        AutoModelForQuestionAnswering.from_pretrained(made / "teacher").eval(),
        AutoTokenizer.from_pretrained(made / "teacher"),
    )
    for context in (long, "w1 w2 w3", "w80 w81 w4"):
        said = subprocess.run(
            [sys.executable, tmp_path / "exported" / "infer.py", "w70 w71", context],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert json.loads(said)["answer"] == answer_of(model, tokenizer, "w70 w71", context)
    assert shape_of(load_model(made / "teacher", tokenizer)).kind is KINDS["question_answering"]


@pytest.mark.training
def test_a_comparison_whose_shared_cache_has_questions_in_place_of_windows(made, tmp_path):
    recipe = recipe_of(made, tmp_path / "unused", "kd", max_steps=4)
    comparison = codir.compare_presets(
        codir.CompareConfig(
            teacher=recipe.teacher,
            data=recipe.data,
            students={"one": recipe.student},
            presets=["kd", "logit-mse"],
            seeds=[1],
            training=recipe.training,
            output_dir=tmp_path / "comparison",
        )
    )
    assert len(comparison.runs) == 2
    caches = [folder for folder in (tmp_path / "cache").iterdir() if folder.is_dir() and folder.name[0] != "."]
    assert len(caches) == 1
