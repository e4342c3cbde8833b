"""Record what training does now, so that a change which should leave it alone can prove that it did.

    python tests/recorded/record.py losses     # first five losses of every preset that has none yet
    python tests/recorded/record.py runs       # an interrupted run of each stage, and the weights it ends with

`test_recorded.py` compares. Record again only where results are meant to change, and say so in the changelog.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "trainer")]
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import torch
from transformers import BertTokenizer, PreTrainedModel

import codir
from codir.data import load_corpus
from codir.models import SentenceEncoder, note_shape
from codir.models.sentence_files import SentenceShape
from codir.runs.objectives import presets_for
from codir.student import build_student
from codir.tasks import KINDS
from conftest import SPECIAL, WORDS, make_texts
from families import FAMILIES, tiny_classifier, tiny_language_model

LOSSES, RUNS = HERE / "losses.json", HERE / "runs"
STEPS = 5
COMMON = {"per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 1, "report_to": "none"}
ARGUMENTS = {**COMMON, "max_steps": STEPS, "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"}
PLAIN = {**ARGUMENTS, "dataloader_pin_memory": False, "precision": "fp32", "weight_decay": 0.0, "warmup_steps": 0}
PLAIN |= {"eval_strategy": "no", "eval_steps": None, "train_sampling_strategy": "random", "seed": 42}
"""The defaults of `transformers.TrainingArguments`, with which the losses were recorded."""


def word_tokenizer() -> BertTokenizer:
    """Ninety whole words."""
    return BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)})


def losses_of(preset: str, folder: Path) -> list[dict[str, float]]:
    """The loss and its terms at each of the first steps."""
    stage = "pretrain" if preset in preset_names("pretrain") else "distill"
    args = codir.PretrainingArguments(
        str(folder / "run"), max_length=16, teacher_cache=True, teacher_cache_dir=str(folder / "cache"), **PLAIN
    )
    trainer = (pretraining_trainer if stage == "pretrain" else distillation_trainer)(preset, folder, args)
    trainer.train()
    lines = [entry for entry in trainer.state.log_history if "loss" in entry]
    return [{name: value for name, value in line.items() if name.startswith("loss")} for line in lines]


def distillation_trainer(preset: str, folder: Path, args: codir.DistillationArguments) -> codir.DistillationTrainer:
    """Four layers teach two, on random sentences, of the first kind of task that the preset works for."""
    kind = next(name for name, kind in KINDS.items() if preset in presets_for(kind))
    teacher, rows = {"reranking": of_rankings, "embedding": of_sentences}.get(kind, of_classes)()
    student = build_student(teacher, layers=2)
    return codir.DistillationTrainer(
        teacher, student, args, codir.preset(preset), rows, processing_class=word_tokenizer()
    )


def of_classes() -> tuple[PreTrainedModel, datasets.Dataset]:
    """A teacher of two classes."""
    teacher = tiny_classifier("bert", num_labels=2, seed=1)
    teacher.classifier.weight.data.mul_(20)  # answers that differ from row to row
    return teacher, make_texts(256)


def of_rankings() -> tuple[PreTrainedModel, datasets.Dataset]:
    """A teacher of scores, and four candidates to each query."""
    teacher = tiny_classifier("bert", num_labels=1, seed=1, codir_task="reranking")
    teacher.classifier.weight.data.mul_(300)
    texts, queries = make_texts(256), make_texts(64, seed=1)["text"]
    rows = {
        "text": [queries[row // 4] for row in range(256)],
        "text_pair": texts["text"],
        "label": [float(label) for label in texts["label"]],
        "group": [row // 4 for row in range(256)],
    }
    return teacher, datasets.Dataset.from_dict(rows)


def of_sentences() -> tuple[PreTrainedModel, datasets.Dataset]:
    """An encoder of sentences."""
    config = FAMILIES["bert"](num_hidden_layers=4)
    note_shape(config, SentenceShape(max_length=16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return SentenceEncoder(config).eval(), make_texts(1100).select_columns(["text"])


def pretraining_trainer(preset: str, folder: Path, args: codir.DistillationArguments) -> codir.PretrainingTrainer:
    """The same of language models."""
    teacher = tiny_language_model("bert", seed=1)
    texts = make_texts(200, kind="none", longest=30).select_columns(["text"])
    corpus = load_corpus(texts, word_tokenizer(), max_length=16, cache_dir=folder / "corpus")
    student = build_student(teacher, layers=2)
    return codir.PretrainingTrainer(
        teacher, student, args, codir.preset(preset), corpus, processing_class=word_tokenizer()
    )


def preset_names(command: str | None = None) -> list[str]:
    """Names of presets, of one command or of both."""
    from codir.config import preset_names as names

    return names(command)


def record_losses() -> None:
    """Write what `losses.json` lacks; to record a preset again, take it out there first."""
    found = json.loads(LOSSES.read_text())
    with tempfile.TemporaryDirectory() as scratch:
        found |= {name: losses_of(name, Path(scratch) / name) for name in preset_names() if name not in found}
    LOSSES.write_text(json.dumps(found, indent=1) + "\n")


# ---- Interrupted runs ----

TRAINING = {"max_steps": 8, "save_steps": 4, "save_strategy": "steps", "save_total_limit": None, "precision": "fp32"}
TRAINING |= {**COMMON, "use_cpu": True, "disable_tqdm": True, "eval_strategy": "no"}
RECIPES: dict[str, dict[str, Any]] = {
    "distill": {
        "teacher": {"model": "teacher", "cache": True, "cache_dir": "cache"},
        "data": {"source": "reviews.csv", "max_length": 16},
        "student": {"layers": 2},
        "objectives": {"preset": "codir", "contrastive": {"num_negatives": 10, "projection_dim": 8}},
    },
    "pretrain": {
        "teacher": "teacher",
        "corpus": {"source": "texts.txt", "max_length": 16, "cache_dir": "cache"},
        "student": {"layers": 2},
        "objectives": {"preset": "codir-pre", "contrastive": {"queue_size": 24, "projection_dim": 8}},
    },
}


def recipe_for(stage: str, **overrides: Any) -> codir.Recipe | codir.PretrainRecipe:
    """The recipe of a recorded run; its paths are relative to the run's folder."""
    model = codir.Recipe if stage == "distill" else codir.PretrainRecipe
    own = {"training": TRAINING, "output_dir": "student", "keep_checkpoints": True}
    return model.model_validate({**RECIPES[stage], **own, **overrides})


def write_inputs(stage: str, folder: Path) -> None:
    """A teacher with its tokenizer, and something to learn from."""
    make = tiny_classifier if stage == "distill" else tiny_language_model
    make("bert", seed=1, **({"num_labels": 2} if stage == "distill" else {})).save_pretrained(folder / "teacher")
    word_tokenizer().save_pretrained(folder / "teacher")
    if stage == "distill":
        make_texts(128).to_csv(folder / "reviews.csv")
    else:
        texts: datasets.Dataset = make_texts(200, longest=30)
        (folder / "texts.txt").write_text("\n".join(texts["text"]) + "\n")


def record_run(stage: str) -> None:
    """Train to the end, keep its weights, and take away what came after the first checkpoint."""
    folder = RUNS / stage
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_inputs(stage, folder)
    os.chdir(folder)
    getattr(codir, stage)(recipe_for(stage))
    (folder / "student" / "model.safetensors").rename(folder / "expected.safetensors")
    for path in (folder / "student").iterdir():
        if path.name not in ("recipe.yaml", "checkpoints"):
            path.unlink()
    shutil.rmtree(folder / "student" / "checkpoints" / "checkpoint-8")
    shutil.rmtree(folder / "cache", ignore_errors=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["losses"]:
        record_losses()
    elif sys.argv[1:] == ["runs"]:
        for stage in RECIPES:
            record_run(stage)
    else:
        sys.exit(__doc__)
