"""One exam for all models: the same dev rows, the same precision, quality and cost side by side.

Knows models with their tokenizers and a data set; knows nothing of how anyone was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor

from codir.data import RowCollator, Task, encode
from codir.measure.cost import count_parameters, folder_bytes, measure_throughputs
from codir.measure.metrics import agreement, compute_metrics
from codir.measure.predict import predict_logits
from codir.measure.result import ModelResult
from codir.models import Reader
from codir.system import default_device

SPEED_ROWS, SPEED_BATCH = 256, 32


@dataclass
class Exam:
    """The questions, and how they are put.

    Args:
        dev: dev sets by name; the first is the one that agreement and speed are measured on.
        task: how answers are judged.
        max_length: tokens per example at the most.
        dtype: of the matrix products.
        batch_size: rows per batch of the answers.
    """

    dev: Mapping[str, datasets.Dataset]
    task: Task
    max_length: int
    dtype: torch.dtype
    batch_size: int = 64
    _answers: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """Name of the first dev set."""
        return next(iter(self.dev))

    def labels(self, name: str) -> np.ndarray:
        """What should have been answered on a dev set, `[rows]`."""
        return np.asarray(self.dev[name]["label"])

    def answers(self, reader: Reader) -> dict[str, np.ndarray]:
        """Logits of a model on every dev set, `[rows, classes]`; each model is asked once."""
        if id(reader.model) not in self._answers:
            self._answers[id(reader.model)] = {name: self._ask(reader, rows) for name, rows in self.dev.items()}
        return self._answers[id(reader.model)]

    def score(self, answers: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Metrics of every dev set; those of a second one carry its name."""
        scores: dict[str, float] = {}
        for name, logits in answers.items():
            metrics = compute_metrics(logits, self.labels(name), self.task.metrics)
            scores |= {self.key(metric, name): value for metric, value in metrics.items()}
        return scores

    def key(self, metric: str, name: str) -> str:
        """What a metric on a dev set is called."""
        return metric if name == self.first else f"{metric}_{name.removeprefix('dev_')}"

    def compare(self, readers: Mapping[str, Reader]) -> dict[str, Any]:
        """Examine `teacher`, `student` and perhaps `baseline`: the measured fields of a `RunResult`."""
        speeds = self.speeds(readers)
        results = {
            name: ModelResult(
                metrics=self.score(self.answers(reader)),
                parameters=count_parameters(reader.model),
                bytes=_bytes_of(reader),
                sentences_per_second=speeds[name],
            )
            for name, reader in readers.items()
        }
        of_teacher = self.answers(readers["teacher"])[self.first]
        agreements = {name: agreement(self.answers(reader)[self.first], of_teacher) for name, reader in readers.items()}
        return {
            "teacher": results["teacher"],
            "student": results["student"],
            "baseline": results.get("baseline"),
            "agreement": agreements["student"],
            "baseline_agreement": agreements.get("baseline"),
        }

    def speeds(self, readers: Mapping[str, Reader]) -> dict[str, float]:
        """Sentences per second of each model on the same rows in batches of `SPEED_BATCH`, the models in turns."""
        rows = self.dev[self.first]
        rows = rows.select(range(min(len(rows), SPEED_ROWS)))
        batches = {name: self._batches(reader, rows) for name, reader in readers.items()}
        models = {name: reader.model.to(default_device()) for name, reader in readers.items()}
        autocast_dtype = None if self.dtype == torch.float32 else self.dtype
        throughputs = measure_throughputs(models, batches, autocast_dtype=autocast_dtype)
        return {name: throughput.sentences_per_second for name, throughput in throughputs.items()}

    def _ask(self, reader: Reader, rows: datasets.Dataset) -> np.ndarray:
        encoded = encode(rows, reader.tokenizer, max_length=self.max_length)
        return predict_logits(reader.model, encoded, reader.tokenizer, batch_size=self.batch_size, dtype=self.dtype)

    def _batches(self, reader: Reader, rows: datasets.Dataset) -> list[dict[str, Tensor]]:
        encoded = encode(rows, reader.tokenizer, max_length=self.max_length)
        collate = RowCollator(encoded, reader.tokenizer)
        starts = range(0, len(rows), SPEED_BATCH)
        return [collate(list(range(start, min(start + SPEED_BATCH, len(rows))))) for start in starts]


def _bytes_of(reader: Reader) -> int:
    """Size on disk; of a model from the hub, the size that its weights take in memory."""
    if reader.folder is not None and reader.folder.is_dir():
        return folder_bytes(reader.folder)
    return sum(tensor.nbytes for tensor in reader.model.state_dict().values())
