"""What a sweep says: which student, why, and how sure that is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from codir.measure import Contender, Interval, Latency, Throughput
from codir.report import SweepResult, Timing, write_sweep
from codir.report.sweep import _draw, cost_rows, quality_rows, rate_rows, verdict

CONDITIONS = {"instruction_sets": ["AVX2"], "device": "a processor", "threads": 2}


def model(name: str, score: float, loss: tuple[float, float, float], parameters: int) -> Contender:
    interval = Interval(score, score - 0.02, score + 0.02, 1000)
    return Contender(name, "onnx int8", interval, Interval(*loss, 1000), parameters, 4 * parameters)


TEACHER = replace(model("teacher", 0.840, (0, 0, 0), 22_000_000), runs="PyTorch fp32")
THREE = model("3-layers", 0.838, (0.2, -0.4, 0.8), 17_000_000)
TWO = model("2-layers", 0.832, (0.8, 0.1, 1.5), 15_000_000)
ONE = model("1-layer", 0.800, (4.0, 2.9, 5.1), 13_000_000)
SLOW = model("narrow", 0.835, (0.5, 0.1, 0.9), 9_000_000)
EXPORTED = replace(model("exported teacher", 0.839, (0.1, -0.1, 0.3), 22_000_000), bytes=23_000_000)
MS = {"teacher": 8.0, "3-layers": 4.0, "2-layers": 3.0, "1-layer": 1.5, "narrow": 5.0, "exported teacher": 6.0}


def sweep_of(
    *students: Contender, tolerate: float = 1.0, threads: tuple[int, ...] = (1, 2), exported: Contender | None = None
) -> SweepResult:
    timings = [
        Timing(one.name, count, Latency(MS.get(one.name, 2.0) / count, 9.0, 9.5, 100), {32: rate_of(one, count)})
        for count in threads
        for one in (TEACHER, *([exported] if exported else []), *students)
    ]
    return SweepResult(
        title="Students of teacher on *dev*.csv",
        metric="accuracy",
        tolerate=tolerate,
        teacher=TEACHER,
        students=students,
        timings=timings,
        rows=100,
        failed=("narrow: no `width_map`",),
        warnings=(),
        notes=("a note",),
        conditions=CONDITIONS,
        output_dir=Path("sweep"),
        exported_teacher=exported,
    )


def rate_of(one: Contender, threads: int) -> Throughput:
    rate = 2400.0 * threads / MS.get(one.name, 2.0)
    return Throughput(rate, (0.9 * rate, 1.1 * rate))


@pytest.mark.parametrize(
    ("result", "said", "not_said"),
    [
        (
            sweep_of(ONE, TWO, THREE),
            [
                "2-layers is the smallest student within 1 point of the teacher: accuracy 83.2% where the teacher has "
                "84.0%, so it loses 0.8 points (95% interval 0.1 to 1.5) on 1,000 rows.",
                "It reads one row in 3.0 ms where the teacher takes 8.0 ms (1 thread).",
                "The interval reaches beyond the tolerance: on other rows it could lose more.",
                "The next smaller, 1-layer, loses 4 points (95% interval 2.9 to 5.1).",
            ],
            ["fastest", "could decide"],
        ),
        (sweep_of(THREE), ["The whole interval is inside the tolerance."], ["next smaller", "beyond"]),
        (
            sweep_of(TWO, THREE, tolerate=0.5),
            ["3-layers is the smallest", "within 0.5 points", "The next smaller, 2-layers, loses 0.8", "could decide"],
            [],
        ),
        (
            sweep_of(ONE),
            ["No student is within 1 point of the teacher. The nearest, 1-layer, loses 4 points"],
            ["could decide"],
        ),
        (sweep_of(TWO, tolerate=0.5), ["No student is within 0.5 points", "could decide otherwise"], []),
        (sweep_of(SLOW, THREE), ["narrow is the smallest", "inside the tolerance, 3-layers is the fastest"], []),
        (
            sweep_of(model("2-layers", 0.85, (-1.0, -2.1, 0.3), 15)),
            ["so it gains 1 point (95% interval -0.3 to 2.1)"],
            ["loses"],
        ),
    ],
)
def test_a_finding_that_the_numbers_do_not_give(result, said, not_said):
    found = " ".join(verdict(result))
    assert all(words in found for words in said), found
    assert not any(words in found for words in not_said), found


def test_tables_that_leave_out_a_number():
    result = sweep_of(ONE, TWO)
    assert quality_rows(result) == [
        {
            "model": "teacher",
            "accuracy": "84.0%",
            "95% interval": "82.0% to 86.0%",
            "points lost": "—",
            "within 1": "—",
        },
        {
            "model": "1-layer",
            "accuracy": "80.0%",
            "95% interval": "78.0% to 82.0%",
            "points lost": "4.0 (2.9 to 5.1)",
            "within 1": "no",
        },
        {
            "model": "2-layers",
            "accuracy": "83.2%",
            "95% interval": "81.2% to 85.2%",
            "points lost": "0.8 (0.1 to 1.5)",
            "within 1": "yes",
        },
    ]
    assert cost_rows(result)[2] == {
        "model": "2-layers",
        "runs": "onnx int8",
        "params": "15.0M",
        "on disk": "60.0 MB",
        "1 thread": "3.00 ms",
        "2 threads": "1.50 ms",
        "faster": "2.7x",
    }


def test_throughput_that_is_not_told_beside_latency(tmp_path):
    result = sweep_of(ONE, TWO)
    assert rate_rows(result)[2] == {"model": "2-layers", "1 thread": "800/s", "2 threads": "1,600/s", "faster": "2.7x"}
    write_sweep(result, tmp_path)
    for name in ("sweep.md", "report.html"):
        page = (tmp_path / name).read_text()
        assert "Rows per second in batches of 32" in page
        assert "1,600/s" in page


def test_a_teacher_that_is_exported_and_not_shown_or_taken_for_a_student(tmp_path):
    result = sweep_of(ONE, exported=EXPORTED)
    assert result.chosen is None, "the exported teacher is within the tolerance, and no student"
    told = (
        "The teacher itself, exported (onnx int8), loses 0.1 points (95% interval -0.1 to 0.3) and reads one row in 6.0"
    )
    assert told in " ".join(verdict(result))
    for rows in (quality_rows(result), cost_rows(result), rate_rows(result)):
        assert [row["model"] for row in rows] == ["teacher", "exported teacher", "1-layer"]
    assert "exported" not in " ".join(verdict(sweep_of(ONE)))
    axis = Figure().subplots()
    _draw(axis, result, 1)
    assert "exported teacher (onnx int8)" in axis.get_legend_handles_labels()[1]


def test_a_page_that_misses_a_failure_the_finding_or_a_model(tmp_path):
    result = sweep_of(ONE, TWO, exported=EXPORTED)
    write_sweep(replace(result, warnings=("The teacher is a coin.",)), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.index("The teacher is a coin.") < page.index("2-layers is the smallest student within 1 point")
    assert "narrow: no <code>width_map</code>" in page
    for part in ("<strong>0.8</strong> points lost", "2.7x</strong> as fast for one row", "as fast in batches of 32"):
        assert part in page
    assert all(page.count(one.name) > 6 for one in result.models)
    assert page.count('class="reference"') >= 3, "the tolerance, in both trade-offs and among the losses"


def test_a_page_of_no_student_that_praises_one(tmp_path):
    write_sweep(sweep_of(ONE, threads=(1,)), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "No student is within 1 point" in page
    assert '<ul class="tiles">' not in page


def test_files_that_miss_a_failure_or_the_finding(tmp_path):
    write_sweep(replace(sweep_of(ONE, TWO), warnings=("The teacher is a coin.",)), tmp_path)
    page, found = (tmp_path / "sweep.md").read_text(), json.loads((tmp_path / "sweep.json").read_text())
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert page.index("**Warning:** The teacher is a coin.") < page.index("2-layers is the smallest")
    assert "Failed: narrow: no `width_map`" in page
    assert r"on \*dev\*.csv" in page
    assert found["chosen"] == "2-layers"
    assert found["finding"].startswith("2-layers is the smallest student")
    assert found["students"][0]["loss"] == {"value": 4.0, "low": 2.9, "high": 5.1, "rows": 1000}
    assert {one["threads"] for one in found["timings"]} == {1, 2}


@pytest.mark.parametrize(("students", "ring"), [((ONE, TWO), (3.0, 83.2)), ((ONE,), None)])
def test_a_picture_that_marks_another_student(students, ring):
    result = sweep_of(*students)
    axis = Figure().subplots()
    _draw(axis, result, 1)
    marks = [one.get_offsets()[0] for one in axis.collections if one.get_label().startswith("smallest")]
    assert [tuple(map(float, mark)) for mark in marks] == ([pytest.approx(ring)] if ring else [])
    _, labels = axis.get_legend_handles_labels()
    assert {"teacher (PyTorch fp32)", "1-layer (onnx int8)", "within 1 point of the teacher"} <= set(labels)
    (band,) = (one for one in axis.patches if one.get_label().startswith("within"))
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((83.0, 84.0))
