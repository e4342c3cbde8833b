"""Rerankers from files to the exported folder, and what a step of training sees of a query."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

import codir
from codir.config import DataConfig, ExportConfig
from codir.errors import UserError
from codir.models import shape_of
from codir.objectives import ListwiseKL, MarginMSE, WeightedObjectives
from codir.runs.export import export_model
from codir.tasks import KINDS
from codir.tasks.ranking import ndcg, reciprocal_rank
from codir.trainer.label_weights import weigh_labels
from codir.trainer.rows import LabelledRows
from conftest import WORDS
from families import tiny_classifier

pytestmark = pytest.mark.training

TRAINING = {"use_cpu": True, "disable_tqdm": True, "precision": "fp32", "save_strategy": "no", "eval_strategy": "no"}


def candidates(queries: int, each: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Candidates whose relevance is how often `w80` stands in them."""
    rng = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        words = " ".join(WORDS[int(word)] for word in rng.integers(0, 80, 3))
        for number in range(each):
            relevance = int(rng.integers(0, 3)) if number else 2
            text = rng.permutation([*(WORDS[int(word)] for word in rng.integers(0, 80, 4)), *["w80"] * relevance])
            rows.append({"query": words, "document": " ".join(text), "score": relevance, "query_id": f"q{query}"})
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


@pytest.fixture(scope="module")
def made(once_per_suite, tokenizer) -> Path:
    """Files, and a teacher that was fine-tuned on them until it ranks."""

    def fill(folder: Path) -> None:
        write(folder / "train.csv", candidates(40, 6))
        write(folder / "dev.csv", candidates(12, 5, seed=1))
        tiny_classifier("bert", num_labels=2, layers=2).save_pretrained(folder / "start")
        tokenizer.save_pretrained(folder / "start")
        config = codir.FinetuneConfig(
            model=str(folder / "start"),
            data=data_of(folder),
            training={**TRAINING, "max_steps": 60, "learning_rate": 5e-3, "per_device_train_batch_size": 24},
            output_dir=folder / "teacher",
        )
        assert codir.finetune(config)["ndcg@10"] > 0.95

    return once_per_suite("reranking", fill)


def data_of(folder: Path, **changes: object) -> dict[str, object]:
    files = {"source": str(folder / "train.csv"), "dev": str(folder / "dev.csv")}
    return {**files, "task": "reranking", "max_length": 24, **changes}


def recipe_of(made: Path, output: Path, preset: str, **training: object) -> codir.Recipe:
    return codir.Recipe(
        teacher={"model": str(made / "teacher"), "cache_dir": output.parent / "cache"},
        data=data_of(made, task="auto"),  # the teacher's configuration names its kind
        student={"layers": 1},
        objectives={"preset": preset, "contrastive": {"num_negatives": 10}} if preset == "codir" else preset,
        training={**TRAINING, "max_steps": 20, "learning_rate": 2e-3, "per_device_train_batch_size": 24, **training},
        output_dir=output,
    )


@pytest.mark.parametrize("preset", ["rerank-listwise", "rerank-margin", "rerank-mse", "codir"])
def test_a_reranker_that_is_not_distilled(made, tmp_path, preset):
    result = codir.distill(recipe_of(made, tmp_path / "student", preset))
    assert result.primary_metric == "ndcg@10"
    assert result.teacher.metrics["ndcg@10"] > 0.95
    assert result.student.metrics["ndcg@10"] > result.judgement.floor["ndcg@10"] + 0.05
    assert "random order" in (tmp_path / "student" / "report.md").read_text()
    asked = DataConfig(**data_of(made, source=str(made / "dev.csv"), dev=None, task="auto"))
    assert codir.evaluate(str(tmp_path / "student"), asked) == pytest.approx(result.student.metrics, abs=1e-6)


def test_scores_of_a_student_that_plain_transformers_does_not_give(made, tmp_path):
    rows = candidates(12, 5, seed=1)
    result = codir.distill(recipe_of(made, tmp_path / "student", "rerank-listwise", max_steps=2))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    pairs = [row["query"] for row in rows], [row["document"] for row in rows]
    with torch.no_grad():
        scores = model(**tokenizer(*pairs, padding=True, return_tensors="pt")).logits[:, 0].numpy()
    relevance = np.array([float(row["score"]) for row in rows])
    queries = np.array([row["query_id"] for row in rows])
    found = {
        "ndcg@10": ndcg(scores, relevance, queries).mean(),
        "mrr": reciprocal_rank(scores, relevance, queries).mean(),
    }
    assert result.student.metrics == pytest.approx(found, abs=1e-6)


def test_a_teacher_of_the_hub_that_says_nothing_of_ranking(made, tmp_path):
    teacher = AutoModelForSequenceClassification.from_pretrained(made / "teacher")
    del teacher.config.codir_task
    teacher.config.problem_type = None
    teacher.save_pretrained(tmp_path / "teacher")
    AutoTokenizer.from_pretrained(made / "teacher").save_pretrained(tmp_path / "teacher")
    config = recipe_of(made, tmp_path / "student", "rerank-margin", max_steps=2).model_dump()
    config["teacher"]["model"] = str(tmp_path / "teacher")
    config["data"]["task"] = "reranking"
    assert codir.distill(codir.Recipe(**config)).primary_metric == "ndcg@10"
    student = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert shape_of(student).kind is KINDS["reranking"]


def test_a_preset_of_rerankers_for_another_kind(made, tmp_path):
    config = recipe_of(made, tmp_path / "student", "rerank-margin").model_dump()
    config["data"] |= {"task": "regression", "text_column": "query", "text_pair_column": "document"}
    with pytest.raises(UserError, match=r"one of .*`kd`.*`rerank-margin`, whose `margin_mse` asks for candidates"):
        codir.distill(codir.Recipe(**config))


# ---- The step ----


class Watch(TrainerCallback):
    """Gradients of every step."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.steps.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))


def trainer_of(tmp_path, tokenizer, rows, *, callbacks=(), **arguments):
    columns = {"text": "query", "text_pair": "document", "label": "score"}
    content = {name: [row[column] for row in rows] for name, column in columns.items()}
    content["group"] = [int(str(row["query_id"])[1:]) for row in rows]
    models = [tiny_classifier("bert", num_labels=1, layers=layers, seed=layers) for layers in (2, 1)]
    for model in models:
        model.config.codir_task = "reranking"
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.config.attention_probs_dropout_prob = 0.0
        model.classifier.weight.data *= 300.0  # scores of random weights hardly differ
    args = codir.DistillationArguments(
        tmp_path,
        teacher_cache_dir=str(tmp_path / "cache"),
        max_length=24,
        use_cpu=True,
        disable_tqdm=True,
        precision="fp32",
        save_strategy="no",
        **arguments,
    )
    return codir.DistillationTrainer(
        teacher=models[0],
        student=models[1],
        args=args,
        objectives=WeightedObjectives({"m": MarginMSE(), "l": ListwiseKL()}, {"m": 1.0, "l": 1.0}),
        train_dataset=datasets.Dataset.from_dict(content),
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def test_batches_that_cut_queries(tmp_path, tokenizer):
    rows = candidates(20, 4)
    order = np.random.default_rng(0).permutation(len(rows))
    trainer = trainer_of(tmp_path, tokenizer, [rows[row] for row in order], per_device_train_batch_size=8)
    for batch in trainer.get_train_dataloader():
        assert batch["labels"][:, 1].unique(return_counts=True)[1].tolist() == [4, 4]


def test_queries_that_weigh_more_in_a_micro_batch_of_few(tmp_path, tokenizer):
    """Two micro-batches of one large query and of four small ones: the step's mean is over five queries."""
    rows = [*candidates(1, 8), *candidates(5, 2, seed=2)[2:]]
    gradients = []
    for size, accumulation in ((16, 1), (8, 2)):
        watch = Watch()
        trainer = trainer_of(
            tmp_path / str(size),
            tokenizer,
            rows,
            callbacks=[watch],
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            max_grad_norm=0.0,
        )
        trainer.train()
        gradients += watch.steps
    whole, parts = gradients
    assert whole.norm() > 1e-4
    assert (whole - parts).norm() < 1e-3 * whole.norm()  # scores of random weights hardly differ: rounding


def test_a_weight_that_is_not_the_share_of_the_steps_queries(tokenizer):
    labels = [[[1.0, 5.0], [0.0, 5.0], [1.0, 6.0]], [[0.0, 7.0], [0.0, 7.0], [0.0, 8.0], [1.0, 8.0]]]
    step = [{"labels": torch.tensor(of_batch)} for of_batch in labels]
    alone = SimpleNamespace(num_processes=1, device=torch.device("cpu"), gather=lambda tensor: tensor)
    weigh_labels(step, LabelledRows(tokenizer, 1, KINDS["reranking"], 16), alone)
    assert [batch["group_weight"].item() for batch in step] == pytest.approx([2 / 3, 4 / 3])
    assert [batch["label_weight"].item() for batch in step] == pytest.approx([6 / 7, 8 / 7])


def test_queries_that_do_not_fit_into_batches_in_silence(tmp_path, tokenizer, caplog):
    trainer = trainer_of(tmp_path, tokenizer, candidates(10, 5), per_device_train_batch_size=8)
    with caplog.at_level("WARNING"):
        trainer.get_train_dataloader()
    assert "of 10 queries are spread over several" in caplog.text


# ---- Export ----


def test_an_export_that_does_not_rank(made, tmp_path):
    pytest.importorskip("onnxruntime")
    export_model(ExportConfig(model=str(made / "teacher"), data=data_of(made), output_dir=tmp_path / "exported"))
    assert json.loads((tmp_path / "exported" / "export.json").read_text())["ranks"] is True
    texts = ["w1 w2", "w3 w4", "w80 w80 w5", "w80 w6"]
    said = subprocess.run(
        [sys.executable, tmp_path / "exported" / "infer.py", *texts], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.partition(" ")[2] for line in said] == ["w80 w80 w5", "w80 w6", "w3 w4"]
    scores = [float(line.partition(" ")[0]) for line in said]
    assert scores == sorted(scores, reverse=True)
