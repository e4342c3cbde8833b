"""One exam for all models: the same dev rows, quality and cost side by side.

Knows runners and a data set; knows nothing of how anyone was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from torch import Tensor

from codir.config.words import SPEED_ROWS
from codir.data import RowCollator, answers_to_pairs, as_read, column_of, encode
from codir.errors import UserError
from codir.measure.cost import Latency, measure_latencies, measure_throughputs
from codir.measure.judgement import AnsweredSet, Judgement, judge
from codir.measure.metrics import agreement
from codir.measure.predict import predict_logits
from codir.measure.result import ModelResult
from codir.measure.runner import Runner
from codir.measure.spans import ask_spans, golds_of
from codir.system.progress import phase
from codir.tasks import Task, kind_of
from codir.tasks.metrics import compute_metrics, find_metric, predictions

SPEED_BATCH, LATENCY_ROWS = 32, 100
TUNE = "tune"
"""The evaluation set that settings are chosen on, where there is one."""
MODELS = ("teacher", "student", "baseline")
"""Who sits the exam of a run, in the order of its report."""

Answers = Mapping[str, np.ndarray]
"""Logits of one model, `[rows, classes]`, for each dev set by name."""


@dataclass(frozen=True)
class Exam:
    """The questions, and how they are asked.

    Args:
        dev: dev sets by name; the first is the one that agreement and speed are measured on.
        task: how answers are judged.
        max_length: tokens per example at most.
        batch_size: rows per batch of the answers.
        speed_rows: how many rows the models read, several times, for their speed.

    Raises:
        UserError: no row to measure speed on.
    """

    dev: Mapping[str, datasets.Dataset]
    task: Task
    max_length: int
    batch_size: int = 64
    speed_rows: int = SPEED_ROWS

    def __post_init__(self) -> None:
        if self.speed_rows < 1:
            raise UserError("speed_rows", expected="at least 1", got=str(self.speed_rows), do="leave it out")

    @property
    def first(self) -> str:
        """Name of the first dev set."""
        return next(iter(self.dev))

    @property
    def tuned_on(self) -> str:
        """Name of the set that settings are chosen on: `tune`, or else the first."""
        return TUNE if TUNE in self.dev else self.first

    def labels(self, name: str) -> np.ndarray:
        """The right answers on a dev set, rows first."""
        kind = kind_of(self.task)
        return golds_of(self.dev[name]) if kind.reads_windows else kind.stack(self.dev[name]["label"])

    def answers(self, runner: Runner) -> Answers:
        """Ask a model every question."""
        return {name: self.ask(runner, rows) for name, rows in self.dev.items()}

    def ask(self, runner: Runner, rows: datasets.Dataset) -> np.ndarray:
        """Logits of these rows, `[rows, classes]`; they need no labels.

        Args:
            runner: a model of this task.
            rows: columns `text` and perhaps `text_pair`.
        """
        kind = kind_of(self.task)
        if kind.reads_windows:
            with phase("evaluation", len(rows)):
                return ask_spans(runner, rows, max_length=self.max_length, batch_size=self.batch_size)
        encoded = self._read(rows, runner)
        with phase("evaluation", len(encoded)):
            logits = predict_logits(runner, encoded, batch_size=self.batch_size)
        if not kind.reads_apart:
            return logits
        return answers_to_pairs(logits, np.asarray(encoded["labels"], np.float32), kind)[0]

    def score(self, answers: Answers) -> dict[str, float]:
        """Metrics of every dev set; those of a second one carry its name."""
        scores: dict[str, float] = {}
        for name, logits in answers.items():
            metrics = compute_metrics(logits, self.labels(name), self.task.metrics, kind_of(self.task))
            scores |= {self.key(metric, name): value for metric, value in metrics.items()}
        return scores

    def floor(self) -> dict[str, float]:
        """Metrics of the best answers that can be given without reading."""
        kind = kind_of(self.task)
        found: dict[str, float] = {}
        for name in self.dev:
            labels = self.labels(name)
            answers = kind.floor(labels)
            found |= {
                self.key(metric, name): find_metric(metric, kind)(answers, labels) for metric in self.task.metrics
            }
        return found

    def key(self, metric: str, name: str) -> str:
        """What a metric on a dev set is called."""
        return metric if name == self.first else f"{metric}_{name.removeprefix('dev_')}"

    def judge(self, answers: Mapping[str, Answers], reader: Runner, against: Mapping[str, Sequence[str]]) -> Judgement:
        """What must stand beside the scores of these models.

        Args:
            answers: of each model, by name.
            reader: through whose tokenizer a row has its length.
            against: the models that each is compared with.
        """
        kind = kind_of(self.task)
        sets = [
            AnsweredSet(
                name,
                self.labels(name),
                {model: predictions(given[name], kind) for model, given in answers.items()},
                suffix=self.key("", name),
                probabilities=self._probabilities({model: given[name] for model, given in answers.items()}),
            )
            for name in self.dev
        ]
        lengths = column_of(self._read(self.dev[self.first], reader), "length")
        lengths = lengths.reshape(len(self.dev[self.first]), -1).sum(axis=1)  # of both texts, where they are read apart
        return judge(sets, self.task, lengths=lengths, against=against)

    def compare(self, runners: Mapping[str, Runner], answers: Mapping[str, Answers]) -> dict[str, Any]:
        """Judge `student`, and perhaps `teacher` and `baseline`: the measured fields of a `RunResult`.

        Args:
            runners: by name.
            answers: of those that were asked already, which need no runner; the others are asked now.
        """
        asked = {name: self.answers(runner) for name, runner in runners.items() if name not in answers}
        known = {**answers, **asked}
        answers = {name: known[name] for name in MODELS if name in known}
        results = self.results(runners, answers)
        agreements = {}
        if "teacher" in answers:
            of_teacher, kind = answers["teacher"][self.first], kind_of(self.task)
            agreements = {name: agreement(given[self.first], of_teacher, kind) for name, given in answers.items()}
        others = [name for name in answers if name != "student"]
        return {
            "teacher": results.get("teacher"),
            "student": results["student"],
            "baseline": results.get("baseline"),
            "agreement": agreements.get("student"),
            "baseline_agreement": agreements.get("baseline"),
            "judgement": self.judge(answers, runners.get("teacher", runners["student"]), {"student": others}),
            "speed": self.speed(),
        }

    def results(self, runners: Mapping[str, Runner], answers: Mapping[str, Answers]) -> dict[str, ModelResult]:
        """What each model scores and costs; without a runner it costs nothing that can be measured."""
        sample = {name: self._sample(runner) for name, runner in runners.items()}
        speeds, latencies = self._speeds(runners, sample), self._latencies(runners, sample)
        costs = {
            name: (runner.parameters, runner.bytes, speeds[name], latencies[name]) for name, runner in runners.items()
        }
        return {
            name: ModelResult(self.score(given), *costs.get(name, (None, None, None, None)))
            for name, given in answers.items()
        }

    def speed(self) -> dict[str, int]:
        """How speeds are measured."""
        rows = len(self.dev[self.first])
        return {"batch_size": SPEED_BATCH, "rows": min(rows, self.speed_rows), "latency_rows": min(rows, LATENCY_ROWS)}

    def _speeds(self, runners: Mapping[str, Runner], sample: Mapping[str, RowCollator]) -> dict[str, float]:
        """Sentences per second of each model on the same rows in batches of `SPEED_BATCH`, the models in turns."""
        batches = {name: self._batches(sample[name], self.speed_rows, SPEED_BATCH) for name in runners}
        with phase("measuring speed"):
            throughputs = measure_throughputs(runners, batches)
        return {name: throughput.sentences_per_second for name, throughput in throughputs.items()}

    def _latencies(self, runners: Mapping[str, Runner], sample: Mapping[str, RowCollator]) -> dict[str, Latency]:
        """How long each model takes for one row, on the same rows, the models in turns."""
        return measure_latencies(runners, {name: self._batches(sample[name], LATENCY_ROWS, 1) for name in runners})

    def _probabilities(self, logits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Of the models that have any."""
        kind = kind_of(self.task)
        found = {model: kind.probabilities(given) for model, given in logits.items()}
        return {model: shares for model, shares in found.items() if shares is not None}

    def _sample(self, runner: Runner) -> RowCollator:
        """The first rows of the first dev set, as a model reads them."""
        rows = self.dev[self.first]
        rows = rows.select(range(min(len(rows), max(self.speed_rows, LATENCY_ROWS))))
        return RowCollator(self._read(rows, runner), runner.tokenizer)

    def _read(self, rows: datasets.Dataset, runner: Runner) -> datasets.Dataset:
        """Rows as a model reads them: both texts at once, or one by one where its kind of task wants that."""
        return encode(as_read(rows, kind_of(self.task)), runner.tokenizer, max_length=self.max_length)

    def _batches(self, sample: RowCollator, most: int, size: int) -> list[dict[str, Tensor]]:
        """The first rows of a sample in batches of this size."""
        count = min(len(self.dev[self.first]), most)
        return [sample(list(range(start, min(start + size, count)))) for start in range(0, count, size)]
