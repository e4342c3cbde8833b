"""Students of a sentence encoder by each objective: learning rates tuned, five seeds trained, and all scored alike.

Run: make bench-embeddings, or python benchmarks/embeddings.py 2x128, which reads
benchmarks/comparisons/embeddings/2x128.yaml and writes benchmarks/results/embeddings-2x128/. sentence-transformers' own
loops are trained beside codir's presets, in the environment that `make .venv-sentence-transformers/installed` makes,
from the same start, on the same sentences, for as many steps. An hour; started again, it goes on where it was.

The rule, written before anything was measured: each preset and each peer is trained once at each of `RATES`, with a
seed of its own, and scored on the pairs for tuning. The rate with the highest correlation there is the one that all of
its five seeds have; of equal ones, the lowest. The map between widths learns as fast as the student, or 20 times as
fast, by what the better mean of `MAPS` says, each at the best of its rates.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from comparison import HERE
from sentences import FOLDER, HEADLINES, MRPC, STS_B, TEACHER, TRAIN, TUNE, file_of, prepare
from sklearn.metrics import average_precision_score

import codir
from codir.config import CompareConfig, parse_yaml, validate
from codir.data import encode, load_data, texts_apart, texts_together
from codir.export import export_student
from codir.measure import (
    Comparison,
    Run,
    agreement,
    compute_metrics,
    gather_conditions,
    predict_logits,
    read_comparison,
)
from codir.models import Reader, load_tokenizer
from codir.report import write_comparison
from codir.runs.build import load, load_reader, make_student, runner_of
from codir.tasks import KINDS
from codir.teacher import LiveTeacher, TeacherView, open_or_build_cache
from codir.trainer import HEAD_LEARNING_RATE_FACTOR

RECIPES, RESULTS = HERE / "comparisons" / "embeddings", HERE / "results"
RATES = {"2x128": (1e-3, 3e-3), "3-layers": (1e-4, 3e-4, 1e-3), "2-layers": (1e-3, 3e-3)}
"""At 1e-2, three presets of 2x128 did not begin to learn (cosine, squared error, L2); it was given up for all. Three
layers all took the highest rate, so two layers have that one and a higher one."""
MAPS = ("embed-cosine", "embed-mse", "embed-soft")
"""Presets whose map between widths is also tried at 20 times the student's rate, which is what other heads have."""
PEERS = {
    "2x128": {"sentence-transformers": "cosine"},
    "3-layers": {"sentence-transformers": "mse"},
    "2-layers": {"sentence-transformers": "mse"},
}
"""Losses of sentence-transformers' own examples: `model_distillation.py` for narrower students, whose map is trained
with the cosine, `model_distillation_layer_reduction.py` for fewer layers, with the squared error."""
UNTRAINED, FAST_MAP = "untrained", "-fast-map"
TUNING_SEED = 100
DEV = "dev"
"""What a comparison calls the set that it is judged by."""
RETRIEVAL, PAIRS = "mrpc-retrieval", "mrpc-pairs"
TABLES = {STS_B: "spearman", HEADLINES: "spearman", RETRIEVAL: "ndcg@10", PAIRS: "average_precision"}
"""Each of one set, with the metric that it is told by. MRPC is read once and scored in two ways."""


@dataclass(frozen=True)
class Student:
    """A student in a folder of its own.

    Attributes:
        entry: the preset that made it, or who else did.
        seed: of its start and its training.
        folder: with its weights.
        seconds: of training.
        steps: how many of them.
        fingerprint: of what decides the result, where codir trained it.
    """

    entry: str
    seed: int
    folder: Path
    seconds: float = 0.0
    steps: int = 0
    fingerprint: str = ""


# ---- What is trained ----


def load_recipe(name: str) -> CompareConfig:
    """The recipe of one kind of student; whatever it leaves goes under `runs/`."""
    return validate(CompareConfig, parse_yaml((RECIPES / f"{name}.yaml").read_text("utf-8")))


def tuning_recipe(config: CompareConfig, name: str) -> CompareConfig:
    """Every preset at every rate, with one seed, scored on the pairs for tuning."""
    presets = [
        {"name": entry_at(one.label, rate), "preset": one.preset, "training": {"learning_rate": rate}}
        for one in config.presets
        for rate in RATES[name]
    ]
    return _on_tuning_pairs(config, presets, "tune")


def maps_recipe(config: CompareConfig, name: str) -> CompareConfig:
    """Presets with a map that learns 20 times as fast as the student, at every rate, scored on the pairs for tuning."""
    presets = [
        {
            "name": entry_at(preset, rate) + FAST_MAP,
            "preset": preset,
            "training": {"learning_rate": rate, "head_learning_rate": HEAD_LEARNING_RATE_FACTOR * rate},
        }
        for preset in MAPS
        for rate in RATES[name]
    ]
    return _on_tuning_pairs(config, presets, "maps")


def _on_tuning_pairs(config: CompareConfig, presets: Sequence[Mapping[str, Any]], folder: str) -> CompareConfig:
    data = {**config.data.model_dump(), "dev": str(file_of(TUNE))}
    changes = {"presets": presets, "data": data, "seeds": [TUNING_SEED], "output_dir": config.output_dir / folder}
    return validate(CompareConfig, {**config.model_dump(), **changes})


def final_recipe(config: CompareConfig, rates: Mapping[str, float]) -> CompareConfig:
    """Every preset at its own rate, with all seeds; the students are kept, to be scored on more than one set."""
    presets = [
        {"name": one.label, "preset": one.preset, "training": {"learning_rate": rates[one.label]}}
        for one in config.presets
    ]
    changes = {"presets": presets, "keep_students": True, "output_dir": config.output_dir / "final"}
    return validate(CompareConfig, {**config.model_dump(), **changes})


def entry_at(entry: str, rate: float) -> str:
    """Name of an entry at a rate that is tried."""
    return f"{entry}-{rate:g}"


def choose_rates(tuned: Comparison, entries: Iterable[str], rates: Sequence[float]) -> dict[str, float]:
    """The rule: the rate of each entry with the highest score on the pairs for tuning; of equal ones, the lowest."""
    scores = {run.preset: run.metrics[tuned.metric] for run in tuned.runs}
    return {entry: max(sorted(rates), key=lambda rate: scores[entry_at(entry, rate)]) for entry in entries}


def gain_of_fast_maps(tuned: Comparison, presets: Sequence[str], rates: Sequence[float]) -> float:
    """How much better presets are, in the mean, with a map that learns 20 times as fast, each at its best rate."""
    scores = {run.preset: run.metrics[tuned.metric] for run in tuned.runs}

    def best(preset: str, ending: str) -> float:
        return max(scores[entry_at(preset, rate) + ending] for rate in rates)

    return float(np.mean([best(preset, FAST_MAP) - best(preset, "") for preset in presets]))


def keep_starts(config: CompareConfig, seeds: Sequence[int]) -> list[Student]:
    """Students as they are before training: what codir's trainings start from, and the peers'."""
    ((kind, section),) = config.students.items()
    found = [Student(UNTRAINED, seed, config.output_dir / UNTRAINED / str(seed)) for seed in seeds]
    teacher = load_reader(config.teacher.model, config.data.task)
    data = load(config.data, teacher)
    for one in found:
        if not (one.folder / "config.json").exists():
            student = make_student(section, teacher, data, seed=one.seed, max_length=config.data.max_length)
            logging.info("%s, seed %d", kind, one.seed)
            export_student(student.model, student.tokenizer, one.folder)
    return found


def vectors_of_teacher(config: CompareConfig) -> Path:
    """Where the teacher's vectors of all sentences lie, in their order: in the cache that codir's trainings read."""
    teacher = load_reader(config.teacher.model, config.data.task)
    train = load(config.data, teacher).train
    assert train is not None
    view = TeacherView(pooled=frozenset(), dtype=torch.float32)
    live = LiveTeacher(teacher.model, train, teacher.tokenizer, view, max_length=config.data.max_length)
    return open_or_build_cache(live, config.teacher.cache_dir, cache_dtype=config.teacher.cache_dtype) / "logits.npy"


def train_peers(config: CompareConfig, wanted: Mapping[str, tuple[str, float]], seeds: Sequence[int]) -> list[Student]:
    """Train with sentence-transformers, in its own environment, and give the students.

    Args:
        config: the recipe, for steps, batches and lengths.
        wanted: by name of the entry, the loss and the learning rate.
        seeds: of each.
    """
    steps = config.training.max_steps
    assert steps is not None, "the recipe says how many"
    found = [
        Student(entry, seed, config.output_dir / "peers" / f"{loss}-{rate:g}-{steps}" / str(seed), steps=steps)
        for entry, (loss, rate) in wanted.items()
        for seed in seeds
    ]
    plan = {
        "sentences": str(file_of(TRAIN)),
        "vectors": str(vectors_of_teacher(config)),
        "steps": steps,
        "batch_size": config.training.per_device_train_batch_size,
        "max_length": config.data.max_length,
        "students": [
            {
                "start": str(config.output_dir / UNTRAINED / str(one.seed)),
                "folder": str(one.folder),
                "loss": wanted[one.entry][0],
                "learning_rate": wanted[one.entry][1],
                "seed": one.seed,
            }
            for one in found
        ],
    }
    file = config.output_dir / "plan.json"
    file.write_text(json.dumps(plan, indent=2))
    python = HERE.parent / ".venv-sentence-transformers" / "bin" / "python"
    subprocess.run([python, HERE / "peers" / "sentence_transformers_worker.py", file], check=True)
    return [replace(one, **json.loads((one.folder / "training.json").read_text())) for one in found]


# ---- How it is scored ----


@cache
def rows_of(name: str) -> datasets.Dataset:
    """The pairs of a set."""
    (rows,) = load_data(str(file_of(name)), task="embedding", evaluation_only=True).dev.values()
    return rows


@cache
def encoded_of(on: str, max_length: int) -> datasets.Dataset:
    """The texts of a set as all read them: students have their teacher's tokenizer."""
    return encode(texts_apart(rows_of(on)), load_tokenizer(FOLDER / TEACHER), max_length=max_length)


def answers_of(reader: Reader, on: str, max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines of a set's pairs, the rank of each second text among all for its first, and the labels."""
    encoded = encoded_of(on, max_length)
    vectors = predict_logits(runner_of(reader, torch.float32), encoded)
    first, second, texts, labels = texts_together(vectors, np.asarray(encoded["labels"], np.float32))
    cosines, ranks = (KINDS[name].compare(first, second, texts=texts) for name in ("embedding", "retrieval"))
    return cosines, ranks, labels


def scores_of(cosines: np.ndarray, ranks: np.ndarray, labels: np.ndarray, on: str) -> dict[str, float]:
    """What a set is for: MRPC for retrieval and as pairs that are paraphrases or not, the others for correlation."""
    if on != MRPC:
        return compute_metrics(cosines, labels, ("spearman", "pearson"), KINDS["embedding"])
    found = compute_metrics(ranks, labels, ("ndcg@10", "recall@10"), KINDS["retrieval"])
    return {**found, "average_precision": float(average_precision_score(labels > 0, cosines[:, 0]))}


def score(folder: Path, sets: Sequence[str], max_length: int) -> dict[str, Any]:
    """Metrics of a student by set, its agreement with the teacher by table, and its depth."""
    reader = load_reader(str(folder), "embedding")
    metrics, agreements = {}, {}
    for on in sets:
        cosines, ranks, labels = answers_of(reader, on, max_length)
        of_teacher, ranks_of_teacher, _ = answers_of_teacher(on, max_length)
        metrics[on] = scores_of(cosines, ranks, labels, on)
        agreements[PAIRS if on == MRPC else on] = agreement(cosines, of_teacher, KINDS["embedding"])
        if on == MRPC:
            agreements[RETRIEVAL] = agreement(ranks, ranks_of_teacher, KINDS["retrieval"])
    return {"metrics": metrics, "agreements": agreements, "layers": int(reader.model.config.num_hidden_layers)}


def set_of(table: str) -> str:
    """The set that a table is of."""
    return MRPC if table in (RETRIEVAL, PAIRS) else table


@cache
def answers_of_teacher(on: str, max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The teacher's, which are kept."""
    file = FOLDER / f"teacher-{on}-{max_length}.npz"
    if not file.exists():
        answers = answers_of(load_reader(str(FOLDER / TEACHER), "embedding"), on, max_length)
        np.savez(file, cosines=answers[0], ranks=answers[1], labels=answers[2])
    kept = np.load(file)
    return kept["cosines"], kept["ranks"], kept["labels"]


def score_once(student: Student, sets: Sequence[str], max_length: int) -> dict[str, Any]:
    """The scores that lie beside a student, or new ones where it was trained again since."""
    file = student.folder.with_name(f"{student.folder.name}-{'-'.join(sets)}.json")
    if not file.exists() or file.stat().st_mtime < (student.folder / "config.json").stat().st_mtime:
        file.write_text(json.dumps(score(student.folder, sets, max_length)))
        logging.info("%s, seed %d: %s", student.entry, student.seed, file.read_text())
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def run_of(student: Student, scored: Mapping[str, Any], table: str, kind: str) -> Run:
    """A student as one run of a table."""
    agreed = scored["agreements"][table]
    return Run(
        preset=student.entry,
        seed=student.seed,
        task="sentences of GLUE",
        student=kind,
        student_layers=scored["layers"],
        metrics=scored["metrics"][set_of(table)],
        agreement=agreed,
        agreements={set_of(table): agreed},
        seconds=student.seconds,
        seconds_per_step=student.seconds / max(student.steps, 1),
        steps=student.steps,
        threads=torch.get_num_threads(),
        fingerprint=student.fingerprint,
    )


# ---- What is written ----


def write(comparison: Comparison, folder: Path, recipe: Path) -> None:
    """What a comparison leaves that is kept: numbers, table, picture and recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    write_comparison(comparison, folder)
    (folder / "report.html").unlink()
    (folder / "recipe.yaml").write_text((recipe / "recipe.yaml").read_text("utf-8"), "utf-8")


def conditions_of(config: CompareConfig, rates: Mapping[str, float], seeds: Sequence[int]) -> dict[str, Any]:
    """What a reader has to know to get the numbers again."""
    found = gather_conditions(dtype="float32", seed=seeds[0])
    del found["seed"]
    rows = {on: len(rows_of(on)) for on in (STS_B, HEADLINES, MRPC, TUNE)}
    data = {"train_rows": sum(1 for _ in file_of(TRAIN).open()) - 1, "evaluation_rows": rows}
    return {**found, "seeds": list(seeds), "jobs": 1, "learning_rates": dict(rates), **data}


def tune(name: str, config: CompareConfig, starts: Sequence[Student]) -> dict[str, float]:
    """The rate of each preset and peer by the rule, and a table of all that was tried."""
    recipe = tuning_recipe(config, name)
    found = codir.compare_presets(recipe)
    assert not found.failed, found.failed
    tried = {entry_at(entry, rate): (loss, rate) for entry, loss in PEERS[name].items() for rate in RATES[name]}
    peers = train_peers(config, tried, [TUNING_SEED])
    others = [one for one in starts if one.seed == TUNING_SEED]
    found = write_tuning(name, config, found, [*peers, *others], recipe.output_dir)
    return choose_rates(found, [*(one.label for one in config.presets), *PEERS[name]], RATES[name])


def write_tuning(
    name: str, config: CompareConfig, found: Comparison, others: Sequence[Student], recipe: Path
) -> Comparison:
    """A table of all rates that were tried, of codir's presets and of others."""
    runs = [run_of(one, score_once(one, [TUNE], config.data.max_length), TUNE, name) for one in others]
    runs = [*(replace(run, agreements={TUNE: run.agreements[DEV]}) for run in found.runs), *runs]
    conditions = {**found.conditions, "evaluation_rows": {TUNE: len(rows_of(TUNE))}}
    found = replace(found, runs=runs, metric_on={TUNE: found.metric}, conditions=conditions)
    write(found, RESULTS / f"embeddings-{name}" / "tune", recipe)
    return found


def try_maps(name: str, config: CompareConfig) -> None:
    """Write what presets gain or lose by a map that learns 20 times as fast, beside the tuning that is there."""
    tuned, recipe = read_comparison(RESULTS / f"embeddings-{name}" / "tune"), maps_recipe(config, name)
    found = codir.compare_presets(recipe)
    slow = [run for run in tuned.runs if run.preset.startswith(MAPS)]
    fast = [replace(run, agreements={TUNE: run.agreements[DEV]}) for run in found.runs]
    write(replace(tuned, runs=[*slow, *fast]), RESULTS / f"embeddings-{name}" / "maps", recipe.output_dir)


def main() -> None:
    """Tune, train, score, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RATES))
    parser.add_argument("--maps", action="store_true", help="try faster maps between widths, once rates are tuned")
    os.chdir(HERE.parent)  # paths in a recipe are the project's
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parser.parse_args()
    name, config = args.name, load_recipe(args.name)
    prepare()
    config.output_dir.mkdir(parents=True, exist_ok=True)
    if args.maps:
        return try_maps(name, config)
    seeds = config.seed_list
    starts = keep_starts(config, [TUNING_SEED, *seeds])
    rates = tune(name, config, starts)
    recipe = final_recipe(config, rates)
    trained = codir.compare_presets(recipe)
    assert not trained.failed, trained.failed
    students = [student_of(run, recipe) for run in trained.runs]
    students += train_peers(config, {entry: (loss, rates[entry]) for entry, loss in PEERS[name].items()}, seeds)
    write_tables(name, config, [*students, *starts[1:]], rates, recipe.output_dir)
    return None


def student_of(run: Run, recipe: CompareConfig) -> Student:
    """Where a comparison keeps the student of a run."""
    folder = recipe.output_dir / "students" / run.student / run.preset / str(run.seed)
    return Student(run.preset, run.seed, folder, run.seconds, run.steps, run.fingerprint)


def write_tables(
    name: str, config: CompareConfig, students: Sequence[Student], rates: Mapping[str, float], recipe: Path
) -> None:
    """Score all students, and write a comparison for each of `TABLES`; the first preset is the reference."""
    sets, length = [STS_B, HEADLINES, MRPC], config.data.max_length
    scored = [(one, score_once(one, sets, length)) for one in students]
    of_teacher = {on: scores_of(*answers_of_teacher(on, length), on) for on in sets}
    conditions = conditions_of(config, rates, config.seed_list)
    for table, metric in TABLES.items():
        on, runs = set_of(table), [run_of(one, scores, table, name) for one, scores in scored]
        found = Comparison(runs, config.reference_label, metric, {on: metric}, of_teacher[on], conditions)
        write(found, RESULTS / f"embeddings-{name}" / table, recipe)


if __name__ == "__main__":
    main()
