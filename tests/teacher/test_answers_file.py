"""A teacher that is a file: every form of answers, every way in which it cannot be that of these rows."""

from __future__ import annotations

import json
import logging
import math

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import codir
from codir.config import DataConfig, ObjectivesConfig
from codir.data import find_minilm, load_movie_reviews
from codir.errors import UserError
from codir.models import shape_of
from codir.objectives import Contrastive, HardLabel, SoftTarget, WeightedObjectives
from codir.runs.objectives import preset, presets_for
from codir.runs.teachers import check_needs, presets_for_file
from codir.signals import Batch, Representation
from codir.student import build_student
from codir.tasks import KINDS, Task
from codir.teacher import (
    AnswersFile,
    FileTeacher,
    LiveTeacher,
    TeacherView,
    is_answers_file,
)
from codir.teacher.answers.forms import LEAST, logits_of_top_k
from codir.trainer import DistillationArguments, DistillationTrainer
from codir.trainer.answers import read_answers
from conftest import make_texts
from families import tiny_classifier

TASK = Task("classification", ("down", "up"), 2, ("accuracy",))
VECTORS = Task("embedding", None, 4, ("spearman",))
SCORES = Task("regression", None, 1, ("pearson",))
TEXTS = ["w0 w1", "w2", "w3 w4 w5"]
SHARES = np.array([[0.9, 0.1], [0.25, 0.75], [0.5, 0.5]])


def write(path, rows: dict[str, list]) -> AnswersFile:
    """A file of answers by its ending; lists are JSON in CSV."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(rows), path)
    elif path.suffix == ".jsonl":
        records = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, records)) + "\n")
    else:
        import csv

        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(rows)
            cells = [[json.dumps(v) if isinstance(v, list | dict) else v for v in values] for values in rows.values()]
            writer.writerows(zip(*cells, strict=True))
    return AnswersFile(path)


def rows_of(texts, labels=None) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": texts, **({} if labels is None else {"label": labels})})


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def listed(token: str, share: float) -> dict[str, object]:
    return {"token": token, "logprob": math.log(share)}


FORMS = {
    "probabilities": {"p_up": SHARES[:, 1].tolist(), "p_down": SHARES[:, 0].tolist()},
    "numbered": {"p_1": SHARES[:, 1].tolist(), "p_0": SHARES[:, 0].tolist()},
    "as models number": {"p_LABEL_1": SHARES[:, 1].tolist(), "p_LABEL_0": SHARES[:, 0].tolist()},
    "in a list": {"probabilities": SHARES.tolist()},
    "logits": {"logit_up": np.log(SHARES[:, 1] * 3).tolist(), "logit_down": np.log(SHARES[:, 0] * 3).tolist()},
    "logits in a list": {"logits": np.log(SHARES * 3).tolist()},
    "top-k": {"logprobs": [[listed("down", row[0]), listed("up", row[1])] for row in SHARES.tolist()]},
    "top-k by token": {
        "top_logprobs": [{" Down": math.log(row[0]), "UP": math.log(row[1])} for row in SHARES.tolist()]
    },
}


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_answers_that_is_read_as_something_else(tmp_path, form, ending):
    file = write(tmp_path / f"answers{ending}", {"text": TEXTS, **FORMS[form]})
    asked = rows_of(TEXTS[::-1])
    assert softmax(file.answer(asked, TASK)) == pytest.approx(SHARES[::-1], abs=1e-6)
    assert len(file) == 3
    assert is_answers_file(file.path)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_vectors_of_other_rows(tmp_path, ending):
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    file = write(tmp_path / f"answers{ending}", {"text": TEXTS, "embedding": vectors.tolist()})
    representation = Representation("all", "mean")
    teacher = FileTeacher(file, rows_of(TEXTS[::-1]), TASK, frozenset({representation}))
    signal = teacher.signal(Batch({}, torch.tensor([2, 0])))
    assert signal.logits.shape == (2, 0)
    assert signal.pooled[representation][:, 0].tolist() == vectors[[0, 2]].tolist()
    negatives = teacher.pooled(torch.tensor([[1, 0], [2, 2]]), representation)
    assert negatives.shape == (2, 2, 1, 4)
    assert negatives[0, 1, 0].tolist() == vectors[2].tolist()


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_scores_that_are_not_those_of_the_file(tmp_path, ending):
    file = write(tmp_path / f"answers{ending}", {"text": TEXTS, "score": [1.5, -2.0, 7.0]})
    assert file.num_labels == 1
    assert file.answer(rows_of([TEXTS[2], TEXTS[0]]), SCORES).tolist() == [[7.0], [1.5]]


def test_several_labels_whose_probabilities_do_not_add_up(tmp_path):
    columns = {"p_up": [0.9, 0.0, 0.5], "p_down": [0.8, 0.0, 1.0]}
    file = write(tmp_path / "answers.csv", {"text": TEXTS, **columns})
    task = Task("multi_label", ("down", "up"), 2, ("micro_f1",))
    labels = [[1.0, 1.0], [0.0, 0.0], [1.0, float("nan")]]
    teacher = FileTeacher(file, rows_of(TEXTS, labels), task)
    shares = 1 / (1 + np.exp(-file.answer(rows_of(TEXTS), task).astype(np.float64)))
    assert shares == pytest.approx(np.array([[0.8, 0.9], [0.0, 0.0], [1.0, 0.5]]), abs=1e-6)
    assert "answers.csv answers 1.33 labels to each of 3 training rows on average." in teacher.notes
    assert any("subset_accuracy" in note and "with the labels of 3 labelled" in note for note in teacher.notes)


# ---- Log-probabilities of the likeliest ----


def plain_top_k(row: dict[str, float], names: list[str]) -> list[float]:
    """What is listed, as it is; what is not, an equal part of what is left, at most the least that is listed."""
    shares = {token: math.exp(log) for token, log in row.items()}
    unlisted = [name for name in names if name not in {token.strip().lower() for token in shares}]
    rest = max(0.0, 1 - sum(shares.values()))
    found = []
    for name in names:
        listed = [share for token, share in shares.items() if token.strip().lower() == name]
        found.append(sum(listed) if listed else min(rest / len(unlisted), min(shares.values())))
    return [max(share / sum(found), 0) for share in found]


@pytest.mark.parametrize(
    "row",
    [
        {"up": -0.1, "down": -3.0},
        {"up": -0.1, " Up": -4.0, "The": -5.0},
        {"down": -0.5, "up": -2.0, "flat": -2.5, "none": -6.0},
        {"flat": -1e-9},
    ],
)
def test_top_k_that_is_not_made_whole_as_the_docs_say(row):
    names = ["down", "flat", "up"]
    logits, notes = logits_of_top_k([list(row.items())], names, "answers")
    assert np.exp(logits[0]) == pytest.approx(plain_top_k(row, names), abs=2 * LEAST)
    assert np.isfinite(logits).all()
    assert bool(notes) == (len(row) != 4 or "none" in row)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([("The", -0.1)], "at least one of the classes"),
        ([("up", -9999.0), ("The", -0.1)], "with a probability above 0"),
        ([("up", 0.4)], "log-prob"),
        ([("up", None)], "log-prob"),
        ([], "at least"),
    ],
)
def test_top_k_that_says_nothing(row, said):
    with pytest.raises(UserError, match=said):
        logits_of_top_k([row], ["down", "up"], "answers")


def test_classes_told_apart_by_capitals_that_are_one_in_the_answers():
    with pytest.raises(UserError, match="names differ in more than capitals, to find the answers by, got US, us"):
        logits_of_top_k([[("US", -0.1)]], ["US", "us"], "answers")


# ---- Files that cannot be a teacher ----


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"p_up": [0.5, 0.9, 0.1], "p_down": [0.5, 0.3, 0.9]}, "row 2: expected probabilities that add up to 1"),
        ({"p_up": [0.5, 1.2, 0.1], "p_down": [0.5, -0.2, 0.9]}, "row 2: expected probabilities from 0 to 1"),
        ({"p_up": [0.5, float("nan"), 0.1], "p_down": [0.5, 0.3, 0.9]}, "row 2: expected a finite number"),
        ({"p_up": [0.5, None, 0.1], "p_down": [0.5, 0.3, 0.9]}, "row 2: expected a"),
        (
            {"p_up": [0.5, 0.5, 0.5], "p_down": [0.5, 0.5, 0.5], "p_flat": [0.0, 0.0, 0.0]},
            "the classes of the data: down, up",
        ),
        ({"p_up": [0.5, 0.5, 0.5], "p_dwn": [0.5, 0.5, 0.5]}, "the classes of the data: down, up"),
        ({"logits": [[1, 2], [1], [1, 2]]}, "row 2: expected 2 numbers"),
        ({"score": [1.0, 2.0, 3.0]}, "answers to 2 classes"),
        ({"answer": ["up", "up", "down"]}, "columns `p_<label>`"),
        ({"vector": [[1.0, 2.0], [1.0], [1.0, 2.0]]}, "numbers"),
        ({"vector": [None, [1.0], [1.0]]}, "column 'vector', row 1: expected"),
        ({"vector": [["1", "2"], ["x", "y"], ["1", "2"]]}, "column 'vector', row 2: expected 2 numbers"),
        ({"vector": [[[1.0, 2.0]]] * 3}, "column 'vector', row 1: expected a list of numbers, got [[1.0, 2.0]]"),
        ({"vector": [{"a": 1.0}] * 3}, "column 'vector', row 1: expected a list of numbers, got {'a': 1.0}"),
        ({"vector": [1.0] * 3}, "column 'vector', row 1: expected a list of numbers, got 1.0"),
        (
            {"probabilities": [None, {"up": 1.0}, {"up": 1.0}]},
            "column 'probabilities', row 1: expected a number, got no",
        ),
        ({"p_up": [[0.5]] * 3, "p_down": [0.5] * 3}, "column 'p_up', row 1: expected a number, got [0.5]"),
        ({"logprobs": [["up"]] * 3}, "column 'logprobs', row 1: expected log-probabilities by token"),
        ({"text": [["a"]] * 3, "p_up": [0.5] * 3, "p_down": [0.5] * 3}, "column 'text', row 1: expected a text"),
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_answers_that_are_none(tmp_path, columns, said, ending):
    with pytest.raises(UserError) as refused:
        FileTeacher(write(tmp_path / f"answers{ending}", {"text": TEXTS, **columns}), rows_of(TEXTS), TASK)
    assert said in str(refused.value), refused.value


def test_training_rows_that_nobody_answered(tmp_path):
    file = write(tmp_path / "answers.csv", {"text": ["w0  w1", "w2"], "p_up": [0.5, 0.5], "p_down": [0.5, 0.5]})
    with pytest.raises(UserError) as refused:
        FileTeacher(file, rows_of(TEXTS), TASK)
    said = str(refused.value)
    for part in (
        "each of the 3 training rows",
        "none to 2 of them",
        "1 of them are there with other white space",
        "'w3 w4 w5'",
    ):
        assert part in said
    assert file.answer(rows_of(TEXTS), TASK) is None


def test_a_row_that_is_answered_twice(tmp_path):
    answers = {"text": ["w2", "w0", "w2"], "p_up": [0.5, 0.1, 0.5], "p_down": [0.5, 0.9, 0.5]}
    assert write(tmp_path / "alike.csv", answers).answer(rows_of(["w2"]), TASK) is not None
    answers["p_up"][2], answers["p_down"][2] = 0.6, 0.4
    with pytest.raises(UserError, match="row 3 as row 1: 'w2'"):
        write(tmp_path / "other.csv", answers).answer(rows_of(["w2"]), TASK)


def test_an_answer_to_another_pair(tmp_path):
    columns = {"text": ["a", "a"], "text_pair": ["b", "c"], "p_up": [0.1, 0.9], "p_down": [0.9, 0.1]}
    file = write(tmp_path / "answers.csv", columns)
    pairs = datasets.Dataset.from_dict({"text": ["a", "a"], "text_pair": ["c", "b"]})
    assert softmax(file.answer(pairs, TASK))[:, 1] == pytest.approx([0.9, 0.1], abs=1e-6)
    single = write(tmp_path / "single.csv", {"text": ["a"], "p_up": [0.1], "p_down": [0.9]})
    with pytest.raises(UserError, match="since the data has pairs of texts"):
        single.answer(pairs, TASK)


def test_an_id_that_finds_another_row(tmp_path):
    answers = {"uid": [10, 7], "text": ["y", "y"], "p_up": [0.1, 0.9], "p_down": [0.9, 0.1]}
    write(tmp_path / "answers.jsonl", answers)
    file = AnswersFile(tmp_path / "answers.jsonl", id_column="uid")
    for rows in ({"text": ["x", "x"], "uid": [7, 10]}, {"text": ["x", "x"], "id": ["7", "10"]}):
        found = file.answer(datasets.Dataset.from_dict(rows), TASK)
        assert softmax(found)[:, 1] == pytest.approx([0.9, 0.1], abs=1e-6)
    with pytest.raises(UserError, match="a column 'uid' in the data too"):
        file.answer(rows_of(["x"]), TASK)


def test_classes_that_are_called_otherwise_and_matched_in_silence(tmp_path):
    file = write(tmp_path / "answers.csv", {"text": TEXTS, "p_bad": [0.9, 0.25, 0.5], "p_good": [0.1, 0.75, 0.5]})
    teacher = FileTeacher(file, rows_of(TEXTS), TASK)
    assert "answers.csv calls its classes bad, good, the data down, up; matched by place." in teacher.notes


def test_answers_with_their_classes_swapped(tmp_path):
    texts = [f"w{row}" for row in range(40)]
    labels = [row % 2 for row in range(40)]
    shares = [[0.9, 0.1] if label else [0.1, 0.9] for label in labels]
    file = write(tmp_path / "answers.jsonl", {"text": texts, "probabilities": shares})
    with pytest.raises(UserError, match="label order"):
        FileTeacher(file, rows_of(texts, labels), TASK)
    right = FileTeacher(file, rows_of(texts, [1 - label for label in labels]), TASK)
    assert "answers.jsonl answers as the labels of 100.0% of 40 labelled training rows say." in right.notes
    unlabelled = FileTeacher(file, rows_of(texts, [-100] * 40), TASK)
    (note,) = unlabelled.notes
    assert "down to 50.0%, up to 50.0% of 40 training rows" in note


def test_scores_that_do_not_go_with_the_labels(tmp_path):
    file = write(tmp_path / "answers.csv", {"text": TEXTS, "score": [3.0, 2.0, 1.0]})
    notes = FileTeacher(file, rows_of(TEXTS, [1.0, 2.5, 3.0]), SCORES).notes
    assert any("pearson -0." in note for note in notes)
    assert any("do both mean the same" in note for note in notes)


def test_a_column_of_answers_left_out_in_silence(tmp_path):
    shares = {"p_up": [0.1, 0.2, 0.3], "p_down": [0.9, 0.8, 0.7], "score": [1.0, 2.0, 3.0]}
    notes = FileTeacher(write(tmp_path / "answers.csv", {"text": TEXTS, **shares}), rows_of(TEXTS), TASK).notes
    assert "answers.csv: not read, since there are probabilities: score." in notes


# ---- Presets ----


@pytest.mark.parametrize("holds", ["answers", "vectors", "both"])
def test_a_preset_that_is_named_and_does_not_work(tmp_path, holds, student):
    """Every preset of fine-tuning either trains from a file, and is listed, or is refused with the list."""
    texts, rng = make_texts(8), np.random.default_rng(0)
    columns = {"text": texts["text"][:]}
    if holds != "vectors":
        columns |= {"p_0": [0.4] * 8, "p_1": [0.6] * 8}
    if holds != "answers":
        columns["vector"] = rng.normal(size=(8, 6)).tolist()
    file, works = write(tmp_path / "answers.jsonl", columns), []
    for name in presets_for(KINDS["classification"]):
        objectives = preset(name)
        try:
            made = read_answers(file, student, objectives, texts)
            objectives.build(teacher=made.shape, student=shape_of(student))
        except UserError:
            with pytest.raises(UserError, match=f"presets {', '.join(presets_for_file(file, TASK))}"):
                check_needs(file, ObjectivesConfig.model_validate(name), TASK)
        else:
            works.append(name)
    assert works == presets_for_file(file, TASK)
    some = {"answers": {"kd", "logit-mse"}, "vectors": set(), "both": {"kd", "logit-mse", "codir", "crd", "pooled-mse"}}
    assert some[holds] | {"fine-tune"} <= set(works)
    assert {"codir", "tinybert"} & set(works) <= some[holds]


# ---- Training ----


def arguments(folder, **overrides) -> DistillationArguments:
    usual = {"max_steps": 12, "learning_rate": 1e-3, "max_length": 16, "precision": "fp32", "use_cpu": True}
    usual |= {"per_device_train_batch_size": 8, "report_to": "none", "save_strategy": "no", "eval_strategy": "no"}
    return DistillationArguments(str(folder), **{**usual, "teacher_cache": False, "disable_tqdm": True, **overrides})


def objectives(*, contrast: bool, **options) -> WeightedObjectives:
    terms = {"hard_label": HardLabel(), "soft_target": SoftTarget()}
    if contrast:
        settings = {"anchor": "both", "num_negatives": 6, "projection_dim": 8, "warmup_steps": 0}
        terms["contrastive"] = Contrastive(teacher_layers="last", **settings, **options)
    return WeightedObjectives(terms, dict.fromkeys(terms, 0.5))


def spoken(teacher, texts, tokenizer, representation: Representation) -> tuple[np.ndarray, np.ndarray]:
    """Logits and vectors of a model, row by row."""
    live = LiveTeacher(teacher, texts, tokenizer, TeacherView(frozenset({representation})), max_length=16)
    signal = live.signal(Batch({}, torch.arange(len(texts))))
    return signal.logits.double().numpy(), signal.pooled[representation][:, 0].numpy()


@pytest.mark.training
@pytest.mark.parametrize(
    ("contrast", "options"),
    [(False, {}), (True, {}), (True, {"teacher_head": "pca", "estimator": "soft"})],
    ids=["soft targets", "contrast", "fixed space"],
)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_file_that_teaches_another_student_than_its_model(
    tmp_path, teacher, tokenizer, texts, ending, contrast, options
):
    logits, vectors = spoken(teacher, texts, tokenizer, Representation("last", "mean"))
    shares = softmax(logits)
    columns = {"text": texts["text"][:], "p_LABEL_1": shares[:, 1].tolist(), "p_LABEL_0": shares[:, 0].tolist()}
    columns |= {"vector": vectors.astype(np.float64).tolist()} if contrast else {}
    file = write(tmp_path / f"answers{ending}", columns)
    students = []
    for source in (teacher, file):
        made = tiny_classifier("bert", num_labels=2, layers=2, seed=2)
        before = made.classifier.weight.detach().clone()
        args = arguments(tmp_path / str(len(students)))
        DistillationTrainer(
            source, made, args, objectives(contrast=contrast, **options), texts, None, tokenizer
        ).train()
        assert not torch.equal(before, made.classifier.weight)
        students.append({name: weight.detach() for name, weight in made.named_parameters()})
    for name, weight in students[0].items():
        torch.testing.assert_close(students[1][name], weight, atol=1e-5, rtol=0, msg=name)


@pytest.mark.training
def test_scores_of_a_file_that_teach_another_student(tmp_path, tokenizer):
    texts, teacher = make_texts(32, kind="scores"), tiny_classifier("bert", num_labels=1, seed=1)
    logits, _ = spoken(teacher, texts, tokenizer, Representation("last", "mean"))
    file = write(tmp_path / "answers.csv", {"text": texts["text"][:], "score": logits[:, 0].tolist()})
    weights = []
    for source in (teacher, file):
        made = tiny_classifier("bert", num_labels=1, layers=2, seed=2)
        args = arguments(tmp_path / str(len(weights)))
        DistillationTrainer(source, made, args, objectives(contrast=False), texts, None, tokenizer).train()
        weights.append(made.classifier.weight.detach())
    torch.testing.assert_close(*weights, atol=1e-5, rtol=0)


@pytest.mark.training
def test_a_run_resumed_with_another_file(tmp_path, tokenizer, texts, student):
    columns = {"text": texts["text"][:], "p_0": [0.4] * 64, "p_1": [0.6] * 64}

    def make(file: AnswersFile) -> DistillationTrainer:
        args = arguments(tmp_path / "run", save_strategy="steps", save_steps=6)
        made = tiny_classifier("bert", num_labels=2, layers=2, seed=2)
        return DistillationTrainer(file, made, args, objectives(contrast=False), texts, None, tokenizer)

    make(write(tmp_path / "answers.csv", columns)).train()
    make(AnswersFile(tmp_path / "answers.csv")).train(resume_from_checkpoint=True)
    columns["p_0"][5], columns["p_1"][5] = 0.5, 0.5
    with pytest.raises(UserError, match="the teacher"):
        make(write(tmp_path / "other.csv", columns)).train(resume_from_checkpoint=True)


@pytest.mark.slow
def test_a_real_teacher_whose_file_teaches_another_student(tmp_path):
    """MiniLM, fine-tuned on movie reviews: `codir evaluate --predictions` of it teaches what it teaches itself."""
    tokenizer = AutoTokenizer.from_pretrained(find_minilm())
    data = load_movie_reviews(max_train_rows=400)
    names = {"id2label": data.task.id2label, "label2id": data.task.label2id}
    torch.manual_seed(0)
    teacher = AutoModelForSequenceClassification.from_pretrained(find_minilm(), **names)
    usual = {"max_steps": 25, "per_device_train_batch_size": 16, "learning_rate": 2e-5, "max_length": 64}
    args = arguments(tmp_path / "teacher", **{**usual, "max_steps": 50, "learning_rate": 2e-4})
    DistillationTrainer(None, teacher, args, preset("fine-tune"), data.train, None, tokenizer).train()
    teacher.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = data.train.to_pandas()
    rows["label"] = rows["label"].map(data.task.id2label)
    rows.to_csv(tmp_path / "train.csv", index=False)
    config = DataConfig(source=str(tmp_path / "train.csv"), max_length=64)
    codir.examine(str(tmp_path / "model"), config, predictions=tmp_path / "answers.parquet")
    students = []
    for source in (teacher, AnswersFile(tmp_path / "answers.parquet")):
        made = build_student(teacher, layers=3)
        args = arguments(tmp_path / str(len(students)), **usual)
        DistillationTrainer(source, made, args, preset("kd"), data.train, None, tokenizer).train()
        students.append({name: weight.detach() for name, weight in made.named_parameters()})
    moved = build_student(teacher, layers=3).classifier.weight.detach() - students[0]["classifier.weight"]
    assert moved.abs().max() > 1e-4
    for name, weight in students[0].items():
        torch.testing.assert_close(students[1][name], weight, atol=1e-5, rtol=0, msg=name)
    farthest = max(float((students[1][name] - weight).abs().max()) for name, weight in students[0].items())
    print(f"farthest weight: {farthest:.2g}")


def test_notes_that_a_python_user_never_hears(tmp_path, tokenizer, texts, student, caplog):
    columns = {"text": texts["text"][:], "p_0": [0.4] * 64, "p_1": [0.6] * 64}
    with caplog.at_level(logging.INFO, "codir"):
        file = write(tmp_path / "answers.csv", columns)
        DistillationTrainer(file, student, arguments(tmp_path), objectives(contrast=False), texts, None, tokenizer)
    assert "1 to 100.0%, 0 to 0.0% of 64 training rows; mean entropy 0.67 of at most 0.69" in caplog.text.replace(
        "LABEL_", ""
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["probabilities", "logits"])
def test_an_object_of_probabilities_that_is_no_answer(tmp_path, ending, column):
    shares = SHARES if column == "probabilities" else np.log(SHARES)
    cells = [{"up": up, "Down": down} for down, up in shares.tolist()]
    answers = write(tmp_path / f"answers.{ending}", {"text": TEXTS, column: cells})
    assert answers.label_names == ("up", "Down")
    assert softmax(answers.logits(TASK)) == pytest.approx(SHARES, abs=1e-6)


def test_an_object_that_names_other_classes_than_the_first(tmp_path):
    cells = [{"up": 0.9, "down": 0.1}, {"up": 0.9, "sideways": 0.1}, {"up": 0.5, "down": 0.5}]
    with pytest.raises(UserError, match=r"row 2.*a number for each of up, down"):
        write(tmp_path / "answers.jsonl", {"text": TEXTS, "probabilities": cells}).logits(TASK)


def test_labels_alone_without_a_way_out(tmp_path):
    with pytest.raises(UserError, match=r"train on labels alone as data \(`--data answers.jsonl`\)"):
        write(tmp_path / "answers.jsonl", {"text": TEXTS, "label": ["up", "down", "up"]})


def test_scores_of_queries_and_documents_that_are_not_found(tmp_path):
    columns = {"query": TEXTS, "document": ["d0", "d1", "d2"], "score": [0.5, 1.5, 2.5]}
    answers = write(tmp_path / "answers.csv", columns)
    rows = datasets.Dataset.from_dict({"text": TEXTS[::-1], "text_pair": ["d2", "d1", "d0"]})
    task = Task("reranking", None, 1, KINDS["reranking"].metrics)
    assert answers.answer(rows, task)[:, 0].tolist() == [2.5, 1.5, 0.5]


def test_tokens_that_exclude_one_another_taught_as_several_labels(tmp_path):
    task = Task("multi_label", ("down", "up"), 2, KINDS["multi_label"].metrics)
    file = write(tmp_path / "answers.jsonl", {"text": TEXTS, "logprobs": [{"up": -0.1, "down": -0.2}] * 3})
    with pytest.raises(UserError, match="expected an answer to each class by itself, for task `multi_label`"):
        file.logits(task)


def test_scores_of_candidates_that_nobody_compares_with_their_relevance(tmp_path):
    pairs = {"text": ["q", "q", "r", "r"], "text_pair": ["a", "b", "a", "b"]}
    file = write(tmp_path / "answers.csv", {**pairs, "score": [3.0, 1.0, 0.5, 2.5]})
    labels = [[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [float("nan"), 1.0]]
    task = Task("reranking", None, 1, KINDS["reranking"].metrics)
    teacher = FileTeacher(file, datasets.Dataset.from_dict({**pairs, "label": labels}), task)
    assert "answers.csv: spearman 1.000 with the labels of 3 labelled training rows." in teacher.notes


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not kind.answers_rows])
def test_a_task_that_a_file_cannot_answer_row_by_row(tmp_path, kind):
    file = write(tmp_path / "answers.jsonl", {"text": TEXTS, "p_a": [0.5] * 3, "p_b": [0.5] * 3})
    task = Task(kind, ("a", "b"), 2, KINDS[kind].metrics)
    for act in (
        lambda: FileTeacher(file, rows_of(TEXTS), task),
        lambda: check_needs(file, ObjectivesConfig.model_validate("kd"), task),
    ):
        with pytest.raises(UserError, match=f"one answer for each row: classification, .* got `{kind}`"):
            act()


def test_rows_without_a_text_or_an_id_that_repeat_one_another(tmp_path):
    """They answer no row of the data, so that nothing depends on which of them is taken."""
    columns = {
        "text": ["w0 w1", None, None],
        "uid": [None, None, 3],
        "p_up": [0.5, 0.1, 0.9],
        "p_down": [0.5, 0.9, 0.1],
    }
    file = write(tmp_path / "answers.jsonl", columns)
    assert file.known(TASK) == {("w0 w1",): 0}
    assert AnswersFile(file.path, id_column="uid").known(TASK) == {("3",): 2}


def test_vectors_of_no_row_that_are_a_traceback(tmp_path):
    nothing = {"text": pa.array([], pa.string()), "vector": pa.array([], pa.list_(pa.float32()))}
    pq.write_table(pa.table(nothing), tmp_path / "vectors.parquet")
    with pytest.raises(UserError, match="expected at least one row, got no rows"):
        AnswersFile(tmp_path / "vectors.parquet").vectors  # noqa: B018 - reads


@pytest.mark.parametrize("column", ["vector", "probabilities", "p_up", "score"])
def test_a_number_of_hundreds_of_digits_that_is_a_traceback(tmp_path, column):
    several = column in ("vector", "probabilities")
    cells = [[1, 0], [10**400, 1], [1, 0]] if several else [1, 10**400, 0]
    answers = {"text": TEXTS, column: cells, **({"p_down": [0, 1, 1]} if column == "p_up" else {})}
    with pytest.raises(UserError, match=f"column '{column}', row 2: expected"):
        FileTeacher(write(tmp_path / "answers.jsonl", answers), rows_of(TEXTS), SCORES if column == "score" else TASK)
    unlikely = {"text": TEXTS, "logprobs": [{"up": -0.1, "down": -(10**400)}] * 3}
    assert np.isfinite(write(tmp_path / "unlikely.jsonl", unlikely).logits(TASK)).all()


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["[1, 2.5]", "[0, 3]", "[4, 5]"], pa.string()),
        ([["1", "2.5"], ["0", "3"], ["4", "5"]], pa.list_(pa.string())),
        ([[1, 2.5], [0, 3], [4, 5]], pa.list_(pa.float16(), 2)),
        ([[1, 2], [0, 3], [4, 5]], pa.large_list(pa.int64())),
    ],
    ids=["JSON", "texts", "halves", "integers"],
)
def test_vectors_that_parquet_alone_cannot_hold(tmp_path, cells, kind):
    cells = pa.array(np.array(cells, np.float16).tolist() if pa.types.is_fixed_size_list(kind) else cells, kind)
    pq.write_table(pa.table({"text": TEXTS, "vector": cells}), tmp_path / "vectors.parquet")
    second = 2.0 if pa.types.is_large_list(kind) else 2.5
    assert AnswersFile(tmp_path / "vectors.parquet").vectors.tolist() == [[1, second], [0, 3], [4, 5]]


def test_a_map_of_probabilities_that_is_no_object(tmp_path):
    cells = pa.array([[("up", up), ("down", down)] for down, up in SHARES.tolist()], pa.map_(pa.string(), pa.float64()))
    pq.write_table(pa.table({"text": TEXTS, "probabilities": cells}), tmp_path / "answers.parquet")
    assert softmax(AnswersFile(tmp_path / "answers.parquet").logits(TASK)) == pytest.approx(SHARES, abs=1e-6)


def test_columns_beside_vectors_left_out_in_silence(tmp_path):
    columns = {"text": TEXTS, "text_pair": TEXTS, "vector": [[1.0, 0.0]] * 3, "embedding": [[0.0, 1.0]] * 3}
    file = write(tmp_path / "vectors.jsonl", {**columns, "score": [1.0] * 3})
    notes = FileTeacher(file, rows_of(TEXTS), VECTORS).notes
    assert file.vectors[0].tolist() == [1.0, 0.0]
    for said in (
        "since there are vectors: score.",
        "since texts have their vectors one by one: text_pair.",
        "since the vectors are those of `vector`: embedding.",
    ):
        assert f"vectors.jsonl: not read, {said}" in notes


def test_a_text_with_two_vectors_that_is_to_be_found_by_ids(tmp_path):
    """Ids find no texts that are read one by one, nor where rows are found by them already."""
    columns = {"uid": [1, 1, 2], "text": ["a", "a", "b"], "vector": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]}
    file = write(tmp_path / "vectors.jsonl", columns)
    with pytest.raises(UserError, match="repeat an earlier") as of_vectors:
        file.known(VECTORS)
    with pytest.raises(UserError, match="repeat an earlier") as of_ids:
        AnswersFile(file.path, id_column="uid").known(TASK)
    with pytest.raises(UserError, match="told apart by ids"):
        file.known(TASK)
    assert "--id-column" not in str(of_vectors.value) + str(of_ids.value)


def test_directions_that_are_held_once_for_each_task(tmp_path, monkeypatch):
    """In parts, which change no bit; a vector of zeros is named by its row in the file."""
    monkeypatch.setattr("codir.teacher.answers.vectors.ROWS_AT_ONCE", 2)
    found = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    file = write(tmp_path / "vectors.parquet", {"text": TEXTS, "vector": found.tolist()})
    wide = found.astype(np.float64)
    expected = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    assert (file.logits(VECTORS) == expected).all()
    assert file.logits(Task("retrieval", None, 4, ("ndcg@10",))) is file.logits(VECTORS)
    zero = write(tmp_path / "zero.parquet", {"text": TEXTS, "vector": [[1.0], [1.0], [0.0]]})
    with pytest.raises(UserError, match="row 3: expected a vector with a direction"):
        zero.logits(VECTORS)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_vector_that_is_too_large_to_be_a_number(tmp_path, ending):
    vectors = [[1.0, 2.0], [3.0, 1e300], [0.0, 1.0]]
    with pytest.raises(UserError, match=r"row 2.*a finite number in every cell, in float32"):
        _ = write(tmp_path / f"vectors.{ending}", {"text": TEXTS, "vector": vectors}).vectors
