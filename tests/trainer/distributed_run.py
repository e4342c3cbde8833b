"""Trains a little, alone or under torchrun, and writes down what this process came to, job by job.

python distributed_run.py FOLDER JOB [JOB ...]
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import datasets
import numpy as np
import test_pretraining
import torch
from test_pretraining import MAX_LENGTH, make_documents
from test_training import PLAIN_DESCENT, StopAt, codir, flat_weights, make_balanced_texts, make_trainer
from token_objectives import TokenMse
from transformers import BertTokenizer, set_seed

from codir.data import load_corpus
from codir.objectives import (
    Contrastive,
    HardLabel,
    ListwiseKL,
    MarginMSE,
    SoftTarget,
    Stage,
    StagedObjectives,
    WeightedObjectives,
    WordContrast,
)
from codir.tasks import IGNORED_CLASS
from conftest import SPECIAL, WORDS
from families import tiny_classifier
from kind_worlds import WORLDS

world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)})


def shared() -> dict:
    """What most jobs train with, with weights of their own."""
    return {
        "objectives": codir("both", num_negatives=30),
        "train": make_balanced_texts(30),  # 60 rows: the last batch of an epoch is smaller
        "per_device_train_batch_size": 8 // world,
        "ddp_backend": "gloo" if world > 1 else None,
    }


def compare(folder: Path) -> dict:
    """A few steps of plain descent, for comparison with another number of processes."""
    trainer = make_trainer(
        folder / f"world-{world}", tokenizer, dropout=False, max_steps=6, **PLAIN_DESCENT, **shared()
    )
    before = flat_weights(trainer)
    trainer.train()
    moves = (flat_weights(trainer) - before).tolist()
    return {"steps": trainer.state.global_step, "moves": moves, "bank": trainer.bank.vectors[:, 0].tolist()}


def queue(folder: Path) -> dict:
    """The same with a queue, which both processes must fill alike."""
    settings = {**shared(), "objectives": codir("both", num_negatives=30, memory="queue", queue_size=20)}
    trainer = make_trainer(
        folder / f"world-{world}", tokenizer, dropout=False, max_steps=6, **PLAIN_DESCENT, **settings
    )
    before = flat_weights(trainer)
    trainer.train()
    return {"moves": (flat_weights(trainer) - before).tolist(), "index": trainer.memory.index.tolist()}


def straight(folder: Path) -> dict:
    """Two epochs, length-grouped and with dropout."""
    return two_epochs(folder / "straight")


def stop(folder: Path) -> dict:
    """The same, stopped in the middle of the second epoch."""
    return two_epochs(folder / "stopped", callbacks=[StopAt(11)])


def resume(folder: Path) -> dict:
    """Go on where `stop` stopped."""
    return two_epochs(folder.parent / "stop" / "stopped", is_resumed=True)


def two_epochs(folder: Path, *, is_resumed: bool = False, **settings) -> dict:
    trainer = make_trainer(folder, tokenizer, save_strategy="steps", save_steps=11, **settings, **shared())
    trainer.train(resume_from_checkpoint=is_resumed)
    return {"steps": trainer.state.global_step, "weights": flat_weights(trainer).tolist()}


def tokens(folder: Path) -> dict:
    """Objectives over tokens alone: pooler and classifier get no gradient."""
    settings = {**shared(), "objectives": WeightedObjectives({"tokens": TokenMse()}, {"tokens": 1.0})}
    trainer = make_trainer(
        folder / f"world-{world}", tokenizer, dropout=False, max_steps=6, **PLAIN_DESCENT, **settings
    )
    before = flat_weights(trainer)
    start = {name: weights.clone() for name, weights in trainer.student.state_dict().items()}
    trainer.train()
    moves = flat_weights(trainer) - before
    unmoved = [name for name, weights in trainer.student.state_dict().items() if torch.equal(weights, start[name])]
    return {"moves": moves.tolist(), "unmoved": unmoved}


def unlabelled(folder: Path) -> dict:
    """Rows without a label that are dealt out unevenly: to the batches of a step, and to its processes."""
    train = make_balanced_texts(24)  # 48 rows: three steps
    labels = [-100 if row % 16 in {1, 3, 4, 5, 6, 7, 9, 15} else label for row, label in enumerate(train["label"])]
    settings = {
        **shared(),
        "objectives": WeightedObjectives({"hard_label": HardLabel()}, {"hard_label": 1.0}),
        "train": train.remove_columns("label").add_column("label", labels),
        "gradient_accumulation_steps": 2,
    }
    trainer = make_trainer(
        folder / f"world-{world}", tokenizer, dropout=False, max_steps=3, **PLAIN_DESCENT, **settings
    )
    before = flat_weights(trainer)
    trainer.train()
    return {"moves": (flat_weights(trainer) - before).tolist()}


def label_sets(folder: Path) -> dict:
    """The same of rows with several labels, some of them known in part."""
    train = make_balanced_texts(24)
    sets = [[float(label), float(1 - label), float(row % 8 == 0)] for row, label in enumerate(train["label"])]
    for row in range(0, len(sets), 16):
        sets[row][1] = math.nan
        sets[row + 3 : row + 8] = [[math.nan] * 3] * 5
    head = {"num_labels": 3, "problem_type": "multi_label_classification"}
    settings = {
        **shared(),
        "objectives": WeightedObjectives(
            {"hard_label": HardLabel(), "soft_target": SoftTarget()}, {"hard_label": 7.0, "soft_target": 3.0}
        ),
        "teacher": tiny_classifier("bert", seed=1, **head),
        "student": tiny_classifier("bert", layers=2, seed=2, **head),
        "train": train.remove_columns("label").add_column("label", sets),
        "gradient_accumulation_steps": 2,
    }
    trainer = make_trainer(
        folder / f"world-{world}", tokenizer, dropout=False, max_steps=3, **PLAIN_DESCENT, **settings
    )
    before = flat_weights(trainer)
    trainer.train()
    return {"moves": (flat_weights(trainer) - before).tolist()}


def stages(folder: Path) -> dict:
    """Two stages, of which the second alone has heads and a bank."""
    first = WeightedObjectives({"hard_label": HardLabel()}, {"hard_label": 1.0})
    staged = StagedObjectives([Stage(first), Stage(codir("both", num_negatives=30))])
    settings = {**PLAIN_DESCENT, **shared(), "objectives": staged, "ddp_find_unused_parameters": False}
    trainer = make_trainer(folder / f"world-{world}", tokenizer, dropout=False, max_steps=6, **settings)
    before = flat_weights(trainer)
    trainer.train()
    moves = (flat_weights(trainer) - before).tolist()
    entered = [entry["stage"] for entry in trainer.state.log_history if "stage" in entry]
    return {"moves": moves, "bank": trainer.bank.vectors[:, 0].tolist(), "stages": entered}


FAMILY = {
    "crd": {"anchor": "both", "estimator": "nce", "keys": "banked", "num_negatives": 30},
    "queued": {"anchor": "both", "keys": "queued", "queue_size": 20},
    "batch": {"anchor": "both", "source": "batch", "strategy": "any"},
    "supcon": {"anchor": "both", "source": "batch", "estimator": "supcon"},
    "momentum": {"anchor": "teacher", "memory": "momentum", "queue_size": 20, "encoder_momentum": 0.5},
    "soft": {"anchor": "both", "estimator": "soft", "teacher_head": "pca", "keys": "banked", "num_negatives": 30},
    "learned": {"anchor": "student", "per_layer": True, "learned_temperature": True, "num_negatives": 30},
}


def family(folder: Path) -> dict:
    """Every way of contrasting that processes have something to share for."""
    reports = {}
    for name, options in FAMILY.items():
        settings = {
            **shared(),
            "objectives": codir(**options),
            "teacher_cache": name != "soft",
        }  # fitted by one for all
        settings["objectives"].weights["contrastive"] = 1.0
        trainer = make_trainer(
            folder / f"{name}-{world}", tokenizer, dropout=False, max_steps=6, **PLAIN_DESCENT, **settings
        )
        before = flat_weights(trainer)
        trainer.train()
        remembered = trainer.memories.state_dict()
        states = [tensor.float().flatten() for _, tensor in sorted(remembered.items()) if tensor.is_floating_point()]
        states += [buffer.flatten() for buffer in trainer.distiller.objectives.buffers()]
        moves = (flat_weights(trainer) - before).tolist()
        reports[name] = {"moves": moves, "state": torch.cat(states).tolist() if states else []}
    return reports


PLAIN = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}


def kinds(folder: Path) -> dict:
    """Words, candidates and questions: what a mean is over is dealt out unevenly, in labels, words and queries."""
    reports = {}
    for name, (kind, train, terms) in rows_of_kinds().items():
        trainer = make_trainer(
            folder / f"{name}-{world}",
            tokenizer,
            teacher=WORLDS[kind].build(2, PLAIN),
            student=WORLDS[kind].build(1, PLAIN),
            train=train,
            objectives=WeightedObjectives(terms, dict.fromkeys(terms, 1.0)),
            max_steps=6,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2 // world,
            ddp_backend="gloo" if world > 1 else None,
            **PLAIN_DESCENT,
        )
        before = flat_weights(trainer)
        trainer.train()
        kept = [] if trainer.bank is None else trainer.bank.vectors[:, 0].tolist()
        reports[name] = {"moves": (flat_weights(trainer) - before).tolist(), "bank": kept}
    return reports


def rows_of_kinds() -> dict[str, tuple[str, datasets.Dataset, dict]]:
    rng = np.random.default_rng(0)

    def text(fewest: int, most: int) -> list[str]:
        return [WORDS[number] for number in rng.integers(0, len(WORDS), rng.integers(fewest, most))]

    def contrast() -> Contrastive:
        return Contrastive(anchor="both", num_negatives=20, projection_dim=8, warmup_steps=0)

    words = [text(1, 12) for _ in range(60)]
    tags = [[int(tag) for tag in rng.choice([0, 1, 2, 3, 4, IGNORED_CLASS], len(row))] for row in words]
    of_query = [query for query in range(15) for _ in range((2, 4, 6)[query % 3])]
    scores = [math.nan if row % 7 == 0 else float(rng.integers(0, 3)) for row in range(len(of_query))]
    candidates = {"text": [f"w{query}" for query in of_query], "text_pair": [" ".join(text(2, 9)) for _ in of_query]}
    contexts = [text(4, 30) for _ in range(30)]
    places = [int(rng.integers(0, len(row))) for row in contexts]
    starts = [len(" ".join([*row[:place], ""])) for row, place in zip(contexts, places, strict=True)]
    answers = [row[place] for row, place in zip(contexts, places, strict=True)]
    questions = {
        "text": [" ".join(text(1, 3)) for _ in contexts],
        "text_pair": [" ".join(row) for row in contexts],
        "label": [[start, start + len(answer)] for start, answer in zip(starts, answers, strict=True)],
    }
    tagged = datasets.Dataset.from_dict({"words": words, "label": tags})
    ranked = datasets.Dataset.from_dict({**candidates, "label": scores, "group": of_query})
    of_words = {"hard": HardLabel(), "soft": SoftTarget(), "contrast": contrast()}
    of_questions = {"hard": HardLabel(), "soft": SoftTarget(), "contrast": contrast()}
    of_queries = {"hard": HardLabel(), "margins": MarginMSE(), "lists": ListwiseKL()}
    return {
        "words": ("token_classification", tagged, of_words),
        "contrast of words": ("token_classification", tagged, {"words": WordContrast(warmup_steps=0)}),
        "queries": ("reranking", ranked, of_queries),
        "questions": ("question_answering", datasets.Dataset.from_dict(questions), of_questions),
    }


def pretrain(folder: Path) -> dict:
    """Masked tokens, a queue of each side and neighbours in them, over a corpus that both processes find prepared."""
    corpus = load_corpus(make_documents(), tokenizer, max_length=MAX_LENGTH, cache_dir=folder / "corpora")
    trainer = test_pretraining.make_trainer(
        folder / f"pretrain-{world}",
        tokenizer,
        corpus,
        per_device_train_batch_size=4,
        objectives={"contrastive": {**test_pretraining.SMALL, "anchor": "both", "strategy": "neighbours"}},
        ddp_backend=shared()["ddp_backend"],
    )
    trainer.train()
    state = torch.cat([t.float().flatten() for t in test_pretraining.state_of(trainer).values()])
    queued = [queue.index.tolist() for queue in (trainer.memories.student, trainer.memories.teacher)]
    return {"steps": trainer.state.global_step, "state": state.tolist(), "queued": queued}


JOBS = {
    job.__name__: job
    for job in (compare, queue, tokens, unlabelled, label_sets, stages, family, kinds, pretrain, straight, stop, resume)
}

root = Path(sys.argv[1])
for job in sys.argv[2:]:
    set_seed(0)
    report = JOBS[job](root / job)
    (root / f"{job}-{rank}-of-{world}.json").write_text(json.dumps(report))
