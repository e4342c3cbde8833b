"""`--task embedding` from sentences to a folder that sentence-transformers loads, and all that refuses it by name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import TrainerCallback

import codir
from codir.config import CompareConfig, DataConfig, ExportConfig, FinetuneConfig, Recipe
from codir.data import encode
from codir.errors import UserError
from codir.measure import Exam, TorchRunner, predict_logits
from codir.models import SentenceEncoder, load_model, load_tokenizer, note_shape
from codir.models.sentence_files import SentenceShape
from codir.report import PYTORCH
from codir.runs.compare import compare_presets
from codir.runs.distill import distill
from codir.runs.evaluate import evaluate, examine
from codir.runs.export import export_model
from codir.runs.finetune import finetune
from conftest import WORDS, make_texts
from families import FAMILIES, tiny_classifier

pytestmark = pytest.mark.training
TRAINING: dict[str, Any] = {"max_steps": 40, "learning_rate": 2e-3, "use_cpu": True, "disable_tqdm": True}
TRAINING |= {"precision": "fp32", "save_strategy": "no", "per_device_train_batch_size": 16}

RANDOM: dict[str, Any] = {
    "config": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1},
    "embeddings": "random",
}


def teacher_of(folder: Path, tokenizer) -> Path:
    """A tiny encoder whose vectors say which words a text has."""
    config = FAMILIES["bert"](num_hidden_layers=3)
    note_shape(config, SentenceShape(max_length=32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = SentenceEncoder(config)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=1.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pairs_of(rows: int, *, seed: int) -> Dataset:
    """Two texts, and the share of their words that are the same."""
    rng = np.random.default_rng(seed)
    texts, others, scores = [], [], []
    for _ in range(rows):
        first, shared = rng.choice(WORDS, 8, replace=False), int(rng.integers(0, 9))
        second = [*first[:shared], *rng.choice(WORDS, 8 - shared, replace=False)]
        texts.append(" ".join(first))
        others.append(" ".join(second))
        scores.append(shared / 8 * 5)
    return Dataset.from_dict({"text": texts, "text_pair": others, "score": scores})


@pytest.fixture(scope="module")
def world(once_per_suite, tokenizer) -> Path:
    def fill(folder: Path) -> None:
        teacher_of(folder / "teacher", tokenizer)
        make_texts(240, kind="none").to_csv(folder / "sentences.csv", index=False)
        pairs_of(60, seed=1).to_csv(folder / "sts.csv", index=False)
        found = pairs_of(60, seed=2).filter(lambda row: row["score"] > 3.5)
        found = found.rename_columns({"text": "query", "text_pair": "document"}).remove_columns("score")
        found.to_csv(folder / "find.csv", index=False)
        tiny_classifier("bert").save_pretrained(folder / "classifier")
        tokenizer.save_pretrained(folder / "classifier")

    return once_per_suite("embeddings", fill)


def recipe_of(world: Path, output: Path, **changes: Any) -> Recipe:
    content: dict[str, Any] = {
        "teacher": {"model": str(world / "teacher"), "cache": True, "cache_dir": output / "cache"},
        "data": {"source": str(world / "sentences.csv"), "dev": str(world / "sts.csv"), "max_length": 16},
        "student": {"layers": [1, 3]},
        "objectives": {"preset": "embed-soft", "embedding_contrast": {"num_negatives": 64}},
        "training": TRAINING,
        "output_dir": output / "student",
    }
    return Recipe.model_validate({**content, **changes})


@pytest.fixture(scope="module")
def student(once_per_suite, world) -> Path:
    """Narrower than its teacher, from random weights. Read it only."""
    changes = {"student": RANDOM, "training": {**TRAINING, "max_steps": 150, "learning_rate": 5e-3}}
    return once_per_suite("embedding-student", lambda folder: distill(recipe_of(world, folder, **changes)))


def test_a_student_that_learns_nothing_of_its_teachers_vectors(world, student, tmp_path, tokenizer):
    """Its cosines order pairs as the teacher's do, more than those that it began with."""
    report = json.loads((student / "student" / "report.json").read_text())
    assert report["student"]["metrics"].keys() == {"spearman", "pearson"}
    teacher = load_model(world / "teacher", tokenizer)
    untrained = codir.build_student(teacher, **RANDOM)
    untrained.save_pretrained(tmp_path / "untrained")
    tokenizer.save_pretrained(tmp_path / "untrained")
    data = DataConfig(source=str(world / "sts.csv"), max_length=16)
    agreement = {
        model.name: examine(str(model), data, against=str(world / "teacher")).against.agreement["dev"].value
        for model in (tmp_path / "untrained", student / "student")
    }
    assert agreement["student"] > agreement["untrained"] + 0.02, agreement
    card = (student / "student" / "README.md").read_text()
    assert "library_name: sentence-transformers" in card
    assert "SentenceTransformer(" in card
    assert "codir is not needed" in card


def test_a_map_that_outruns_the_student_it_is_lost_with(world, tmp_path, tokenizer):
    """The map of the vectors has the student's rate, that of the layers beside it the rate of all heads."""
    teacher = load_model(world / "teacher", tokenizer)

    def rates(**own: float) -> dict[str, float]:
        args = codir.DistillationArguments(str(tmp_path), learning_rate=1e-3, eval_strategy="no", max_length=16, **own)
        trainer = codir.DistillationTrainer(
            teacher,
            codir.build_student(teacher, **RANDOM),
            args,
            codir.preset("embed-layers"),
            Dataset.from_csv(str(world / "sentences.csv")),
            processing_class=tokenizer,
        )
        groups = trainer.create_optimizer().param_groups
        of = {id(weight): group["lr"] for group in groups for weight in group["params"]}
        found = {name: of[id(weight)] for name, weight in trainer.distiller.objectives.named_parameters()}
        assert {of[id(weight)] for weight in trainer.student.parameters() if weight.requires_grad} == {1e-3}
        return {name.split(".")[1]: rate for name, rate in found.items()}

    assert rates() == {"embedding_cosine": 1e-3, "pooled_mse": pytest.approx(2e-2)}
    assert set(rates(head_learning_rate=5e-3).values()) == {5e-3}


def test_a_student_that_sentence_transformers_reads_otherwise(world, student):
    """In a fresh process, without codir: the cosines of its own library give the same score."""
    if find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed")
    rows = Dataset.from_csv(str(world / "sts.csv"))
    script = f"""
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(r"{student / "student"}", device="cpu")
first, second = model.encode({rows["text"][:]}), model.encode({rows["text_pair"][:]})
assert "codir" not in sys.modules
print(json.dumps([float(x) for x in (first * second).sum(axis=1)]))
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    from scipy.stats import spearmanr

    theirs = spearmanr(json.loads(done.stdout.splitlines()[-1]), rows["score"][:])[0]
    data = DataConfig(source=str(world / "sts.csv"), max_length=32)
    assert evaluate(str(student / "student"), data)["spearman"] == pytest.approx(
        theirs, abs=2e-3
    )  # rounding orders near cosines


@pytest.mark.parametrize("preset", ["embed-mse", "embed-leaf", "embed-cosine", "embed-nce", "embed-layers"])
def test_a_narrow_student_that_a_preset_cannot_train(preset, world, tmp_path, tokenizer):
    """Another width, which a map bridges that goes; judged by retrieval."""
    narrow = {"config": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}}
    objectives: dict[str, Any] = {"preset": preset}
    if preset == "embed-nce":
        objectives["embedding_contrast"] = {"num_negatives": 32, "prefixes": [4]}
    data = {"source": str(world / "sentences.csv"), "dev": str(world / "find.csv"), "max_length": 16}
    training = {**TRAINING, "max_steps": 4, "eval_strategy": "steps", "eval_steps": 2}
    recipe = recipe_of(world, tmp_path, student=narrow, objectives=objectives, data=data, training=training)
    found = distill(recipe)
    assert found.student.metrics.keys() == {"ndcg@10", "recall@10"}
    assert found.teacher.metrics["recall@10"] > 0.5
    evaluated = [line for line in found.log_history if "eval_ndcg@10" in line]
    assert evaluated[-1]["eval_ndcg@10"] == pytest.approx(found.student.metrics["ndcg@10"])
    model = load_model(tmp_path / "student", tokenizer)
    assert model.config.num_labels == 16
    assert not list((tmp_path / "student").glob("[0-9]_Dense"))


def test_a_dense_map_that_does_not_stay(world, tmp_path, tokenizer):
    narrow = {"config": {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}, "dense": True}
    distill(recipe_of(world, tmp_path, student=narrow, training={**TRAINING, "max_steps": 2}))
    model = load_model(tmp_path / "student", tokenizer)
    assert model.config.num_labels == 32
    assert (tmp_path / "student" / "2_Dense" / "model.safetensors").is_file()


def test_a_live_teacher_that_says_other_things_than_its_cache(world, tmp_path, tokenizer):
    weights = []
    for cache in (True, False):
        recipe = recipe_of(world, tmp_path / str(cache), training={**TRAINING, "max_steps": 3})
        teacher = recipe.teacher.model_copy(update={"cache": cache})
        distill(recipe.model_copy(update={"teacher": teacher}))
        weights.append(load_model(tmp_path / str(cache) / "student", tokenizer).state_dict())
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


@pytest.mark.parametrize(
    ("taught_by", "preset"), [("a model", "embed-soft"), ("a file", "embed-soft"), ("a file", "embed-cosine")]
)
def test_an_interrupted_run_that_ends_with_other_vectors(taught_by, preset, world, vectors, tmp_path, tokenizer):
    """To the bit; a file is read anew by the run that goes on."""
    steps = {**TRAINING, "max_steps": 6, "save_strategy": "steps", "save_steps": 3, "eval_strategy": "no"}
    changes = {"training": steps, "objectives": {"preset": preset, **CONTRAST.get(preset, {})}}

    def recipe(folder: Path) -> Recipe:
        file = vectors / "sentences.jsonl"
        return (
            recipe_of(world, folder, **changes) if taught_by == "a model" else of_file(world, folder, file, **changes)
        )

    distill(recipe(tmp_path / "straight"))
    stopped = recipe(tmp_path / "resumed")

    class StoppedError(Exception):
        pass

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise StoppedError

    module = import_module("codir.runs.distill")
    make = module.build_trainer
    with pytest.MonkeyPatch.context() as patch:

        def with_stop(*args: Any, **kwargs: Any):
            trainer = make(*args, **kwargs)
            trainer.add_callback(Stop())
            return trainer

        patch.setattr(module, "build_trainer", with_stop)
        with pytest.raises(StoppedError):
            distill(stopped)
    distill(stopped.model_copy(update={"resume": True}))
    weights = [load_model(tmp_path / run / "student", tokenizer).state_dict() for run in ("straight", "resumed")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_export_that_gives_other_vectors(world, student, tmp_path, tokenizer):
    config = {"model": str(student / "student"), "output_dir": tmp_path / "onnx", "calibration_rows": 20}
    data = {"source": str(world / "sts.csv"), "max_length": 16}
    result = export_model(ExportConfig.model_validate({**config, "data": data}))
    assert result.models[result.chosen.name].metrics["spearman"] == pytest.approx(
        result.models[PYTORCH].metrics["spearman"], abs=1e-3
    )
    text = " ".join(WORDS[:4])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "onnx" / "infer.py"), text, WORDS[7]],
        capture_output=True,
        text=True,
        check=True,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    model = load_model(student / "student", tokenizer).eval()
    with torch.no_grad():
        expected = model(**tokenizer([text, WORDS[7]], padding=True, return_tensors="pt")).logits
    assert np.allclose(said, expected.numpy(), atol=1e-4)
    assert F.normalize(torch.tensor(said), dim=1).allclose(torch.tensor(said), atol=1e-4)
    whole = DataConfig(source=str(world / "sts.csv"), max_length=16)
    exported, original = (evaluate(str(model), whole) for model in (tmp_path / "onnx", student / "student"))
    assert exported == pytest.approx(original, abs=2e-3)


@pytest.mark.parametrize("taught_by", ["a model", "a file"])
def test_a_comparison_of_presets_over_vectors(taught_by, world, vectors, tmp_path):
    recipe = recipe_of(world, tmp_path) if taught_by == "a model" else of_file(world, tmp_path, vectors / "all.parquet")
    content = recipe.model_dump(exclude={"objectives", "output_dir", "student", "baseline"})
    for key in ("overwrite", "resume", "keep_checkpoints", "push_to_hub", "report_texts"):
        content.pop(key)
    content["training"] = {**TRAINING, "max_steps": 3, "eval_strategy": "no"}
    students = {"two": {"layers": [1, 3]} if taught_by == "a model" else recipe.student.model_dump()}
    presets = ["embed-cosine", "embed-mse"]
    config = {**content, "students": students, "presets": presets, "seeds": 2, "output_dir": tmp_path / "comparison"}
    found = compare_presets(CompareConfig.model_validate(config))
    assert found.metric == "spearman"
    assert {run.preset for run in found.runs} == {*presets}
    assert found.teacher["spearman"] > 0.5
    assert all(run.agreement is not None for run in found.runs)


@pytest.mark.slow
def test_a_real_encoder_whose_half_learns_nothing(tmp_path):
    """MiniLM's layers 1, 3 and 5 on sentences of reviews: their cosines come nearer to the whole model's."""
    from codir.data import find_minilm, load_movie_reviews
    from codir.models import load_tokenizer

    tokenizer = load_tokenizer(find_minilm())
    teacher = load_model(find_minilm(), tokenizer)
    sentences = load_movie_reviews(held_out=300, max_train_rows=600)
    dev = sentences.dev["dev"]["text"][:]
    pairs = Dataset.from_dict({"text": dev[::2], "text_pair": dev[1::2]})
    first, second = (vectors_of(teacher, tokenizer, pairs[column][:]) for column in pairs.column_names)
    pairs.add_column("score", (first * second).sum(axis=1).tolist()).to_csv(tmp_path / "dev.csv", index=False)
    sentences.train.remove_columns("label").to_csv(tmp_path / "sentences.csv", index=False)
    training = {**TRAINING, "max_steps": 60, "learning_rate": 3e-4, "eval_strategy": "no"}
    data = {"source": str(tmp_path / "sentences.csv"), "dev": str(tmp_path / "dev.csv"), "max_length": 48}
    model, layers = {"model": str(find_minilm()), "cache_dir": tmp_path / "cache"}, {"layers": [1, 3, 5]}
    changes = {"teacher": model, "data": data, "student": layers, "objectives": "embed-cosine", "training": training}
    found = distill(recipe_of(tmp_path, tmp_path, **changes))
    untrained = codir.build_student(teacher, **layers).eval()
    first, second = (vectors_of(untrained, tokenizer, pairs[column][:]) for column in pairs.column_names)
    from scipy.stats import spearmanr

    scores = Dataset.from_csv(str(tmp_path / "dev.csv"))["score"][:]
    before = spearmanr((first * second).sum(axis=1), scores)[0]
    assert found.student.metrics["spearman"] > before + 0.05, before


def vectors_of(model: SentenceEncoder, tokenizer, texts: list[str]) -> np.ndarray:
    read = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
    with torch.inference_mode():
        return model.eval()(**read).logits.numpy()


# ---- The trainer ----


def trainer_of(world: Path, folder: Path, tokenizer, train: Dataset, dev: Dataset) -> codir.DistillationTrainer:
    teacher = load_model(world / "teacher", tokenizer)
    how = {
        "max_steps": 2,
        "max_length": 32,
        "precision": "fp32",
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
    }
    args = codir.DistillationArguments(str(folder), teacher_cache_dir=str(folder / "cache"), **how)
    student = codir.build_student(teacher, layers=[1, 3])
    return codir.DistillationTrainer(teacher, student, args, codir.preset("embed-cosine"), train, dev, tokenizer)


def test_pairs_that_an_evaluation_while_training_takes_apart(world, tmp_path, tokenizer):
    """Longest rows first: the two texts of a pair would no longer have stood together."""
    data = codir.load_data(str(world / "sentences.csv"), dev=str(world / "sts.csv"), task="embedding")
    lengths = np.random.default_rng(0).integers(1, 8, len(data.dev["dev"]))
    shorter = [" ".join(text.split()[:n]) for text, n in zip(data.dev["dev"]["text"], lengths, strict=True)]
    dev = data.dev["dev"].remove_columns("text").add_column("text", shorter)
    trainer = trainer_of(world, tmp_path, tokenizer, data.train, dev)
    exam = Exam({"dev": dev}, data.task, max_length=32)
    expected = exam.score(exam.answers(TorchRunner(trainer.student, tokenizer)))
    found = trainer.evaluate()
    assert found["eval_spearman"] == pytest.approx(expected["spearman"], abs=1e-6)
    assert "eval_loss" not in found, "no text by itself has a label, and 0 would be told"


@pytest.mark.parametrize("label", [None, "score", "class"])
def test_pairs_that_python_cannot_train_on(world, tmp_path, tokenizer, label):
    """Each of their texts is a sentence; what they are labelled with is not learnt."""
    rows = Dataset.from_csv(str(world / "sts.csv")).rename_column("score", "label")
    if label is None:
        rows = rows.remove_columns("label")
    elif label == "class":
        rows = rows.remove_columns("label").add_column("label", ["near"] * len(rows))
    trainer = trainer_of(world, tmp_path, tokenizer, rows, None)
    trainer.train()
    assert len(trainer.train_dataset) == 2 * len(rows)
    assert "labels" not in trainer.train_dataset.column_names


# ---- Refusals ----


REFUSED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a preset that needs logits": (
        lambda world, out: distill(recipe_of(world, out, objectives="kd")),
        r"preset: expected for task `embedding`, one of .*`embed-cosine`, .*`embed-soft`.* got `kd`",
    ),
    "a classifier": (
        lambda world, out: distill(
            recipe_of(
                world,
                out,
                teacher={"model": str(world / "classifier")},
                data={"source": str(world / "sentences.csv"), "dev": str(world / "sts.csv"), "task": "embedding"},
            )
        ),
        "got BertForSequenceClassification, which was trained for another task",
    ),
    "no pairs to judge by": (
        lambda world, out: distill(recipe_of(world, out, data={"source": str(world / "sentences.csv")})),
        "expected two texts and a score in each row",
    ),
    "a baseline": (
        lambda world, out: distill(recipe_of(world, out, baseline=True)),
        "baseline: expected a kind of task with labels",
    ),
    "fine-tuning": (
        lambda world, out: finetune(
            FinetuneConfig.model_validate(
                {
                    "model": str(world / "teacher"),
                    "data": {"source": str(world / "sts.csv"), "task": "embedding"},
                    "output_dir": out,
                }
            )
        ),
        "task: expected one with labels to learn from, got `embedding`",
    ),
    "more negatives than sentences": (
        lambda world, out: distill(
            recipe_of(world, out, objectives={"preset": "embed-soft", "embedding_contrast": {"num_negatives": 9000}})
        ),
        r"objectives.embedding_contrast.num_negatives=",
    ),
    "an encoder with a decoder as its student": (
        lambda world, out: distill(
            recipe_of(world, out, student={"config": {"model_type": "t5", "d_model": 8, "d_kv": 4, "num_heads": 2}})
        ),
        "student config: expected an encoder or a decoder, got model type t5",
    ),
    "labels that sentences do not have": (
        lambda world, out: distill(
            recipe_of(world, out, data={"source": str(world / "sentences.csv"), "dev": "x", "labels": ["a", "b"]})
        ),
        "data",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_trained_on_nothing_in_silence(what, world, tmp_path):
    act, said = REFUSED[what]
    with pytest.raises(UserError, match=said):
        act(world, tmp_path / "out")
    assert not (tmp_path / "out" / "student" / "config.json").exists()


@pytest.fixture(scope="module")
def vectors(once_per_suite, world, tokenizer) -> Path:
    """What the teacher says of the sentences and of the texts of both judged sets, in files of all kinds."""

    def fill(folder: Path) -> None:
        sets = [Dataset.from_csv(str(world / name)) for name in ("sentences.csv", "sts.csv", "find.csv")]
        texts = [text for rows in sets for name in rows.column_names if name != "score" for text in rows[name]]
        runner = TorchRunner(load_model(world / "teacher", tokenizer).eval(), tokenizer, torch.float32)
        said = predict_logits(runner, encode(Dataset.from_dict({"text": texts}), tokenizer, max_length=16))
        rows = Dataset.from_dict({"text": texts, "vector": (3 * said).tolist()})  # an API's need not have length 1
        rows.to_parquet(folder / "all.parquet")
        rows.to_json(folder / "all.jsonl")
        rows.select(range(240)).to_json(folder / "sentences.jsonl")
        other = [*rows["vector"][:239], [0.0] * 32]
        Dataset.from_dict({"text": texts[:240], "vector": other}).to_json(folder / "zero.jsonl")
        Dataset.from_dict({"text": texts[:240], "label": [0, 1] * 120}).to_csv(folder / "labels.csv", index=False)
        shares = {"text": texts[:240], "p_0": [0.5] * 240, "p_1": [0.5] * 240}
        Dataset.from_dict(shares).to_csv(folder / "shares.csv", index=False)

    return once_per_suite("vectors", fill)


def of_file(world: Path, output: Path, file: Path, **changes: Any) -> Recipe:
    """The recipe of a student of layers that lie in a folder, taught by a file."""
    content = {"student": {"checkpoint": str(world / "teacher")}, **changes}
    data = {**recipe_of(world, output).data.model_dump(), "task": "embedding", **content.pop("data", {})}
    return recipe_of(world, output, teacher={"model": str(file)}, data=data, **content)


CONTRAST = {name: {"embedding_contrast": {"num_negatives": 64}} for name in ("embed-nce", "embed-soft")}


@pytest.mark.parametrize("preset", ["embed-cosine", "embed-mse", "embed-leaf", "embed-nce", "embed-soft"])
def test_vectors_of_a_file_that_teach_another_student_than_their_model(preset, world, vectors, tmp_path, tokenizer):
    """The student that the model teaches, to 1e-5: the file is a cache that someone else built."""
    teacher = load_model(world / "teacher", tokenizer)
    sentences = Dataset.from_csv(str(world / "sentences.csv"))
    students = []
    for source in (teacher, codir.AnswersFile(vectors / "all.parquet")):
        made = codir.build_student(teacher, layers=[1, 3])
        args = codir.DistillationArguments(str(tmp_path), eval_strategy="no", max_length=16, **TRAINING)
        objectives = codir.preset(preset, **CONTRAST.get(preset, {}))
        trainer = codir.DistillationTrainer(source, made, args, objectives, sentences, processing_class=tokenizer)
        trainer.train()
        students.append(made.state_dict())
    start = codir.build_student(teacher, layers=[1, 3]).state_dict()
    assert max(float((students[0][name] - start[name]).abs().max()) for name in start) > 1e-3
    for name, weight in students[0].items():
        torch.testing.assert_close(students[1][name], weight, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize(("ending", "judged", "metric"), [("parquet", "sts", "spearman"), ("jsonl", "find", "ndcg@10")])
def test_a_file_of_vectors_that_is_judged_otherwise_than_its_model(ending, judged, metric, world, vectors, tmp_path):
    """The report's row of the teacher is what the model scores; the student is wider than it, and keeps its map."""
    changes = {"student": {"checkpoint": str(world / "teacher"), "dense": True}}
    changes["data"] = {"dev": str(world / f"{judged}.csv")}
    found = distill(of_file(world, tmp_path, vectors / f"all.{ending}", **changes))
    data = DataConfig(source=str(world / f"{judged}.csv"), max_length=16)
    assert found.teacher.metrics[metric] == pytest.approx(evaluate(str(world / "teacher"), data)[metric], abs=5e-3)
    assert found.agreement is not None
    assert "all." in " ".join(found.notes)
    kept = load_model(found.output_dir, load_tokenizer(found.output_dir))
    assert kept.dense is not None


def test_a_file_that_has_not_the_vectors_of_the_judged_texts(world, vectors, tmp_path):
    found = distill(of_file(world, tmp_path, vectors / "sentences.jsonl"))
    assert found.teacher is None
    assert "does not answer all rows" in " ".join(found.notes)
    assert found.student.metrics["spearman"]


TAKEN_OTHERWISE: dict[str, tuple[str, dict[str, Any], str]] = {
    "layers": (
        "all.parquet",
        {"objectives": "embed-layers"},
        r"than vectors, .* its pooled layers.* presets embed-cosine",
    ),
    "a task that nobody named": (
        "all.parquet",
        {"data.task": "auto"},
        "all.parquet holds vectors: to teach sentence vectors, give `--task embedding`; otherwise name the column",
    ),
    "a file that is not there, whatever the task": (
        "all.parquet",
        {"data.task": "auto", "data.dev": "nowhere.csv"},
        r"^file 'nowhere.csv': expected a file, got none of that name. What to do: check the path",
    ),
    "scores that vectors cannot teach": (
        "all.parquet",
        {"data.task": "auto", "data.source": "sts.csv", "objectives": "kd"},
        "all.parquet holds vectors: to teach sentence vectors, give `--task embedding`",
    ),
    "a start of embeddings that come with the student": (
        "all.parquet",
        {"student.embeddings": "random"},
        "student.embeddings: expected a student from `config`",
    ),
    "layers that nobody selects": ("all.parquet", {"student.selection": "upper"}, "student.selection: expected"),
    "ids": ("all.parquet", {"teacher.id_column": "text"}, "found by their text, in task `embedding`"),
    "no direction": ("zero.jsonl", {}, "row 240: expected a vector with a direction in every row, got 0, 0"),
    "other texts": ("sentences.jsonl", {"data.source": "sts.csv"}, "an answer to each of the .* training rows"),
    "probabilities": ("shares.csv", {}, "name a file with columns `vector`"),
    "a map for classes": (
        "shares.csv",
        {"data.source": "labels.csv", "data.dev": None, "data.task": "auto", "student.dense": True, "objectives": "kd"},
        "student.dense: expected a teacher that gives sentence vectors, got a file of answers to `classification`",
    ),
}


@pytest.mark.parametrize("case", TAKEN_OTHERWISE)
def test_a_file_of_vectors_that_is_taken_for_what_it_is_not(case, world, vectors, tmp_path):
    name, changes, message = TAKEN_OTHERWISE[case]
    recipe = of_file(world, tmp_path, vectors / name).model_dump()
    for key, value in changes.items():
        section, _, field = key.partition(".")
        if key == "data.source":
            value = str(next(folder / value for folder in (world, vectors) if (folder / value).exists()))
        recipe |= {section: {**recipe[section], field: value} if field else value}
    with pytest.raises(UserError, match=message):
        distill(Recipe.model_validate(recipe))
    assert not (tmp_path / "student").exists()
