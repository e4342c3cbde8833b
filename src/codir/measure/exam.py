"""One exam for all models: the same dev rows, quality and cost side by side.

Knows runners and a data set; knows nothing of how anyone was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from torch import Tensor

from codir.data import RowCollator, encode
from codir.measure.cost import measure_throughputs
from codir.measure.metrics import agreement
from codir.measure.predict import predict_logits
from codir.measure.result import ModelResult
from codir.measure.runner import Runner
from codir.system.progress import phase
from codir.tasks import Task, kind_of
from codir.tasks.metrics import compute_metrics

SPEED_ROWS, SPEED_BATCH = 256, 32

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
    """

    dev: Mapping[str, datasets.Dataset]
    task: Task
    max_length: int
    batch_size: int = 64

    @property
    def first(self) -> str:
        """Name of the first dev set."""
        return next(iter(self.dev))

    def labels(self, name: str) -> np.ndarray:
        """The right answers on a dev set, `[rows]`."""
        return np.asarray(self.dev[name]["label"])

    def answers(self, runner: Runner) -> Answers:
        """Ask a model every question."""
        return {name: self._ask(runner, rows) for name, rows in self.dev.items()}

    def score(self, answers: Answers) -> dict[str, float]:
        """Metrics of every dev set; those of a second one carry its name."""
        scores: dict[str, float] = {}
        for name, logits in answers.items():
            metrics = compute_metrics(logits, self.labels(name), self.task.metrics, kind_of(self.task))
            scores |= {self.key(metric, name): value for metric, value in metrics.items()}
        return scores

    def key(self, metric: str, name: str) -> str:
        """What a metric on a dev set is called."""
        return metric if name == self.first else f"{metric}_{name.removeprefix('dev_')}"

    def compare(self, runners: Mapping[str, Runner], answers: Mapping[str, Answers]) -> dict[str, Any]:
        """Judge `teacher`, `student` and perhaps `baseline`: the measured fields of a `RunResult`.

        Args:
            runners: by name.
            answers: of those that were asked already; the others are asked now.
        """
        speeds = self.speeds(runners)
        answers = {name: answers.get(name) or self.answers(runner) for name, runner in runners.items()}
        results = {
            name: ModelResult(self.score(answers[name]), runner.parameters, runner.bytes, speeds[name])
            for name, runner in runners.items()
        }
        of_teacher = answers["teacher"][self.first]
        agreements = {
            name: agreement(given[self.first], of_teacher, kind_of(self.task)) for name, given in answers.items()
        }
        return {
            "teacher": results["teacher"],
            "student": results["student"],
            "baseline": results.get("baseline"),
            "agreement": agreements["student"],
            "baseline_agreement": agreements.get("baseline"),
        }

    def speeds(self, runners: Mapping[str, Runner]) -> dict[str, float]:
        """Sentences per second of each model on the same rows in batches of `SPEED_BATCH`, the models in turns."""
        rows = self.dev[self.first]
        rows = rows.select(range(min(len(rows), SPEED_ROWS)))
        with phase("speed"):
            throughputs = measure_throughputs(
                runners, {name: self._batches(runner, rows) for name, runner in runners.items()}
            )
        return {name: throughput.sentences_per_second for name, throughput in throughputs.items()}

    def _ask(self, runner: Runner, rows: datasets.Dataset) -> np.ndarray:
        with phase("evaluation", len(rows)):
            encoded = encode(rows, runner.tokenizer, max_length=self.max_length)
            return predict_logits(runner, encoded, batch_size=self.batch_size)

    def _batches(self, runner: Runner, rows: datasets.Dataset) -> list[dict[str, Tensor]]:
        encoded = encode(rows, runner.tokenizer, max_length=self.max_length)
        collate = RowCollator(encoded, runner.tokenizer)
        starts = range(0, len(rows), SPEED_BATCH)
        return [collate(list(range(start, min(start + SPEED_BATCH, len(rows))))) for start in starts]
