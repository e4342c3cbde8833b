"""Words with tags from a file to an exported folder: what each command leaves, and a real run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from transformers import AutoModelForTokenClassification, AutoTokenizer

import codir
from codir import runs
from codir.config import CompareConfig, DataConfig, ExportConfig, validate
from codir.data import LoadedData, find_minilm
from codir.runs.answers import write_differences
from codir.tasks import NO_LOGIT, Task
from conftest import WORDS
from families import tiny_classifier

TRAINING = {"use_cpu": True, "disable_tqdm": True, "precision": "fp32", "save_strategy": "no", "eval_strategy": "no"}


def tags_of(numbers: list[int]) -> list[str]:
    """Every fourth word is a person, the one after it a place; neighbours of one type are one entity."""
    types = [{0: "PER", 1: "LOC"}.get(number % 4) for number in numbers]
    pairs = zip([None, *types], types, strict=False)
    return ["O" if one is None else f"{'I' if one == before else 'B'}-{one}" for before, one in pairs]


def write_sentences(file: Path, rows: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    sentences = [rng.integers(0, len(WORDS), rng.integers(2, 9)).tolist() for _ in range(rows)]
    lines = ["".join(f"w{number} {tag}\n" for number, tag in zip(row, tags_of(row), strict=True)) for row in sentences]
    file.write_text("\n".join(lines))
    return str(file)


@pytest.fixture(scope="module")
def world(once_per_suite, tokenizer) -> Path:
    """A teacher that was fine-tuned on `train.conll`, and `dev.conll`."""

    def fill(folder: Path) -> None:
        tiny_classifier("bert", num_labels=2, layers=3).save_pretrained(folder / "start")
        tokenizer.save_pretrained(folder / "start")
        codir.finetune(
            codir.FinetuneConfig(
                model=str(folder / "start"),
                data={
                    "source": write_sentences(folder / "train.conll", 120, 0),
                    "dev": write_sentences(folder / "dev.conll", 40, 1),
                    "max_length": 16,
                },
                training={**TRAINING, "max_steps": 40, "learning_rate": 3e-3, "per_device_train_batch_size": 16},
                output_dir=folder / "teacher",
            )
        )

    return once_per_suite("word-runs", fill)


def data_of(world: Path, **more) -> dict:
    return {"source": str(world / "train.conll"), "dev": str(world / "dev.conll"), "max_length": 16, **more}


@pytest.mark.training
def test_a_teacher_of_words_that_learns_nothing_or_does_not_say_what_it_is(world):
    config = json.loads((world / "teacher" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert config["id2label"] == {"0": "O", "1": "B-LOC", "2": "I-LOC", "3": "B-PER", "4": "I-PER"}
    card = (world / "teacher" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert 'aggregation_strategy="first"' in card
    assert codir.evaluate(str(world / "teacher"), DataConfig(**data_of(world)))["entity_f1"] > 0.5


@pytest.mark.training
def test_a_student_of_words_that_does_not_come_out_of_every_command(world, tmp_path):
    teacher = {"model": str(world / "teacher"), "cache_dir": tmp_path / "cache"}
    training = {**TRAINING, "max_steps": 6, "per_device_train_batch_size": 16}
    result = codir.distill(
        codir.Recipe(
            teacher=teacher,
            data=data_of(world),
            student={"layers": 2},
            objectives={"preset": "codir", "contrastive": {"num_negatives": 5}},
            training=training,
            output_dir=tmp_path / "student",
        )
    )
    assert result.primary_metric == "entity_f1"
    classes = result.judgement.by_class["student"].classes
    assert [one.name for one in classes] == ["LOC", "PER", "no entity"]
    page = (tmp_path / "student" / "report.html").read_text()
    assert "entity f1" in page.lower()
    compared = codir.compare_presets(
        validate(
            CompareConfig,
            {
                "teacher": teacher,
                "data": data_of(world),
                "students": {"two": {"layers": 2}},
                "presets": ["kd", "logit-mse", "fine-tune"],
                "seeds": 1,
                "training": {
                    key: value for key, value in training.items() if key not in ("eval_strategy", "save_strategy")
                },
                "output_dir": tmp_path / "compared",
            },
        )
    )
    assert compared.failed == []
    assert {run.preset for run in compared.runs} == {"kd", "logit-mse", "fine-tune"}


@pytest.mark.training
def test_predictions_of_words_that_are_not_those_of_transformers(world, tmp_path):
    data = DataConfig(source=str(world / "dev.conll"), max_length=8)
    found = runs.examine(str(world / "teacher"), data, predictions=tmp_path / "a.tsv")
    with (tmp_path / "a.tsv").open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    model = AutoModelForTokenClassification.from_pretrained(world / "teacher").eval()
    tokenizer = AutoTokenizer.from_pretrained(world / "teacher")
    sentences = (world / "dev.conll").read_text().strip().split("\n\n")
    expected = []
    for number, sentence in enumerate(sentences, start=1):
        words = [line.split()[0] for line in sentence.splitlines()]
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt", truncation=True, max_length=8)
        shares = model(**encoded).logits[0].softmax(dim=-1)
        ids = encoded.word_ids()
        for place, word in enumerate(words):
            answer = model.config.id2label[int(shares[ids.index(place)].argmax())] if place in ids else ""
            expected.append((str(number), str(place + 1), word, answer))
    assert [(line["row"], line["word"], line["text"], line["answer"]) for line in lines] == expected
    assert any(answer == "" for *_, answer in expected)
    assert found.model.metrics["entity_f1"] > 0


@pytest.mark.training
def test_spans_of_an_exported_folder_that_are_not_those_of_the_model(world, tmp_path):
    out = tmp_path / "exported"
    data = data_of(world)
    content = {"model": str(world / "teacher"), "data": data, "calibration_rows": 30, "output_dir": out}
    result = runs.export_model(validate(ExportConfig, content))
    assert result.chosen.precision == "fp32"
    texts = ["w0 w4, w1 w2. w8", "w2 w3", "w1" + " w2" * 30]
    said = subprocess.run([sys.executable, out / "infer.py", *texts], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    model = AutoModelForTokenClassification.from_pretrained(world / "teacher").eval()
    tokenizer = AutoTokenizer.from_pretrained(world / "teacher")
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(lines) == len(texts)
    for text, spans in zip(texts, lines, strict=True):
        encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=16, return_offsets_mapping=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        shares = model(**encoded).logits[0].softmax(dim=-1)
        tags = [model.config.id2label[int(index)] for index in shares.argmax(dim=-1)]
        of_tokens = [(tuple(place), tag) for place, tag in zip(offsets, tags, strict=True) if place[1] > place[0]]
        inside = {place: tag for place, tag in of_tokens if tag != "O"}
        covered = {place: span["type"] for span in spans for place in inside if span["start"] <= place[0] < span["end"]}
        assert covered == {place: tag[2:] for place, tag in inside.items()}
        for span in spans:
            assert span["text"] == text[span["start"] : span["end"]]
            assert 0 < span["score"] <= 1
    answers = runs.examine(str(out), DataConfig(**data)).model.metrics
    assert answers == pytest.approx(codir.evaluate(str(world / "teacher"), DataConfig(**data)))


@pytest.mark.slow
def test_a_real_encoder_that_does_not_learn_to_tag(tmp_path):
    """MiniLM on sentences whose names can be told by their places alone; three of its layers keep what it learnt."""
    people, places = ["Anna", "Peter Blackburn", "Maria Silva", "Tom"], ["York", "New Delhi", "Lima", "Oslo"]
    frames = [
        "{p} lives in {l} .",
        "In {l} , {p} met nobody .",
        "{p} wrote to {q} from {l} .",
        "A train to {l} is late",
    ]
    rng = np.random.default_rng(0)

    def sentence() -> str:
        lines = []
        for part in str(rng.choice(frames)).split():
            names = {"{p}": ("PER", people), "{q}": ("PER", people), "{l}": ("LOC", places)}.get(part)
            if names is None:
                lines.append(f"{part} O")
                continue
            for number, word in enumerate(str(rng.choice(names[1])).split()):
                lines.append(f"{word} {'I' if number else 'B'}-{names[0]}")
        return "\n".join(lines) + "\n"

    for name, count in (("train", 400), ("dev", 80)):
        (tmp_path / f"{name}.conll").write_text("\n".join(sentence() for _ in range(count)))
    data = {"source": str(tmp_path / "train.conll"), "dev": str(tmp_path / "dev.conll"), "max_length": 32}
    training = {**TRAINING, "num_train_epochs": 4, "per_device_train_batch_size": 16}
    codir.finetune(
        codir.FinetuneConfig(model=str(find_minilm()), data=data, training=training, output_dir=tmp_path / "teacher")
    )
    result = codir.distill(
        codir.Recipe(
            teacher={"model": str(tmp_path / "teacher"), "cache_dir": tmp_path / "cache"},
            data=data,
            student={"layers": 3},
            training=training,
            output_dir=tmp_path / "student",
        )
    )
    assert result.teacher.metrics["entity_f1"] > 0.95
    assert result.student.metrics["entity_f1"] > 0.9


def test_two_evaluation_sets_of_other_lengths_whose_differences_cannot_be_written(tmp_path):
    task = Task("token_classification", ("O", "B-PER"), 2, ())
    dev = {
        "dev": datasets.Dataset.from_dict({"words": [["a", "b"], ["c"]], "label": [[0, 1], [0]]}),
        "heldout": datasets.Dataset.from_dict({"words": [["d", "e", "f"]], "label": [[0, 0, 1]]}),
    }
    data = LoadedData(None, dev, task, row_numbers={"dev": [1, 2], "heldout": [1]})
    shapes = {"dev": (2, 2, 2), "heldout": (1, 3, 2)}
    sure = np.array([2.0, 0.0], np.float32)
    answers = {
        "model": {name: np.broadcast_to(sure, shape).copy() for name, shape in shapes.items()},
        "against": {name: np.broadcast_to(sure[::-1], shape).copy() for name, shape in shapes.items()},
    }
    for given in answers.values():
        given["dev"][1, 1] = NO_LOGIT
    write_differences(tmp_path / "rows.jsonl", data, task.label_names, answers, most=3)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["text"]: (row["model"], row["against"]) for row in rows} == {
        "a b": ("O O", "B-PER B-PER"),
        "c": ("O", "B-PER"),
        "d e f": ("O O O", "B-PER B-PER B-PER"),
    }
