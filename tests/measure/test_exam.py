"""The exam: on how many rows speed is measured, and what a report says of that."""

from __future__ import annotations

import pytest

from codir.errors import UserError
from codir.measure import Exam, Throughput, TorchRunner
from codir.tasks import Task
from conftest import make_texts

TASK = Task("classification", ("negative", "positive"), 2, ("accuracy",))


@pytest.mark.parametrize(("asked", "read"), [(40, [32, 8]), (1_000, [32, 32, 32, 24])])
def test_speed_of_other_rows_than_the_report_says(monkeypatch, teacher, tokenizer, asked, read):
    seen = []

    def measure(runners, batches_of):
        seen.extend(len(batch["input_ids"]) for batch in batches_of["teacher"])
        return {name: Throughput(1.0, (1.0, 1.0)) for name in runners}

    monkeypatch.setattr("codir.measure.exam.measure_throughputs", measure)
    exam = Exam({"dev": make_texts(120)}, TASK, max_length=32, speed_rows=asked)
    runners = {"teacher": TorchRunner(teacher, tokenizer)}
    exam.results(runners, {"teacher": exam.answers(runners["teacher"])})
    assert seen == read
    assert exam.speed()["rows"] == sum(read)


def test_a_speed_of_no_row_that_fails_after_the_training():
    with pytest.raises(UserError, match="speed_rows: expected at least 1, got 0"):
        Exam({"dev": make_texts(8)}, TASK, max_length=32, speed_rows=0)
