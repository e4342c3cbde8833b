"""Comparisons told: every number of a table by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codir.measure import Comparison, Run, lines_of
from codir.report import comparison_markdown, comparison_rows, plot_comparison, summary_rows
from measure.test_judgement import distance  # noqa: F401 - a fixture

SCORES = {
    "fine-tune": (0.80, 0.81, 0.79),
    "kd": (0.82, 0.84, 0.83),  # 0.02, 0.03, 0.04 better: t = 0.03 / (0.01 / sqrt(3)) = 5.196, p = 0.0351
    "codir": (0.81, 0.80, 0.795),  # 0.01, -0.01, 0.005: t = 0.2774, p = 0.8075
}


def make_run(preset: str, seed: int, score: float, **changes) -> Run:
    run = Run(
        preset=preset,
        seed=seed,
        task="reviews.csv",
        student="3-layers",
        student_layers=3,
        metrics={"accuracy": score, "accuracy_dev": score - 0.1},
        agreement=0.9,
        agreements={"heldout": 0.9, "dev": 0.7},
        seconds=8.0,
        seconds_per_step=0.2,
        steps=40,
        threads=1,
        fingerprint="f",
    )
    return replace(run, **changes)


@pytest.fixture
def comparison() -> Comparison:
    runs = [make_run(preset, seed, score) for preset, of in SCORES.items() for seed, score in enumerate(of)]
    on = {"heldout": "accuracy", "dev": "accuracy_dev"}
    return Comparison(runs, "fine-tune", "accuracy", on, {"accuracy": 0.9, "accuracy_dev": 0.8}, {}, ["moco: broke"])


def test_a_table_with_other_numbers_than_by_hand(comparison):
    teacher, first, second, last = comparison_rows(comparison, "3-layers", "heldout")
    assert (teacher["preset"], teacher["accuracy %"], teacher["p"]) == ("*teacher*", "90.00", "—")
    assert first == {
        "preset": "kd",
        "accuracy %": "83.00 ± 2.48",  # 4.303 * 1.00 / sqrt(3)
        "against fine-tune": "+3.00 ± 2.48",
        "p": "0.070",  # 0.0351, the smaller of two
        "retention": "92.2%",
        "agreement": "0.900",
        "s/step": "0.200",
        "seeds": "3",
    }
    assert (second["preset"], second["against fine-tune"], second["p"]) == ("codir", "+0.17 ± 2.59", "0.808")
    assert (last["preset"], last["against fine-tune"], last["p"]) == ("fine-tune", "—", "—")


def test_a_second_evaluation_set_that_repeats_the_first(comparison):
    row = comparison_rows(comparison, "3-layers", "dev")[1]
    assert (row["accuracy %"], row["agreement"], row["retention"]) == ("73.00 ± 2.48", "0.700", "91.2%")


def test_seeds_paired_with_other_seeds(comparison):
    """Of a preset whose first seed is missing, the second and third are compared with theirs."""
    runs = [run for run in comparison.runs if (run.preset, run.seed) != ("kd", 0)]
    line = lines_of(replace(comparison, runs=runs[::-1]), "3-layers", "heldout")[0]
    assert (line.preset, line.score.count, line.difference.count) == ("kd", 2, 2)
    assert line.difference.mean == pytest.approx(0.035)


def test_one_seed_that_is_tested(comparison):
    runs = [run for run in comparison.runs if run.seed == 0]
    kd = comparison_rows(replace(comparison, runs=runs), "3-layers", "heldout")[1]
    assert (kd["accuracy %"], kd["against fine-tune"], kd["p"], kd["seeds"]) == ("82.00", "+2.00", "—", "1")


def test_a_reference_that_did_not_come_to_its_end(comparison):
    runs = [run for run in comparison.runs if run.preset != "fine-tune"]
    rows = comparison_rows(replace(comparison, runs=runs), "3-layers", "heldout")
    assert [row["against fine-tune"] for row in rows] == ["—"] * 3


def test_a_correlation_shown_in_percent(comparison):
    runs = [replace(run, metrics={"pearson": run.metrics["accuracy"]}) for run in comparison.runs]
    scores = replace(
        comparison, runs=runs, metric="pearson", metric_on={"heldout": "pearson"}, teacher={"pearson": -0.1}
    )
    row = comparison_rows(scores, "3-layers", "heldout")[1]
    assert (row["pearson"], row["against fine-tune"]) == ("0.8300 ± 0.0248", "+0.0300 ± 0.0248")
    assert row["retention"] == "—"  # of a teacher that knows nothing


def test_a_page_that_leaves_out_what_went_wrong(comparison):
    page = comparison_markdown(comparison)
    assert "Did not come to its end: moco: broke" in page
    assert page.index("## 3-layers, heldout") < page.index("## 3-layers, dev")
    assert "threads" not in page
    mixed = replace(comparison, runs=[replace(run, threads=run.seed + 1) for run in comparison.runs])
    assert "Runs had 1 or 2 or 3 threads" in comparison_markdown(mixed)


def test_a_kind_of_student_without_some_preset(comparison):
    two = [replace(run, student="2-layers") for run in comparison.runs if run.preset != "codir"]
    rows = summary_rows({"sst2": replace(comparison, runs=[*comparison.runs, *two])})
    assert rows[0] == {"preset": "*teacher*", "3-layers": "90.00", "2-layers": "90.00"}
    cells = {row["preset"]: row for row in rows[1:]}
    assert cells["codir"]["2-layers"] == "—"
    assert cells["kd"] == {
        "preset": "kd",
        "3-layers": "83.00 ± 2.48 (+3.00, p 0.070)",
        "2-layers": "83.00 ± 2.48 (+3.00, p 0.035)",  # the only one that is tested there
    }


def test_comparisons_side_by_side_that_are_not_told_apart(comparison):
    """Each has a column, with its metric where they differ; a contestant of one of them alone is left out."""
    fewer = [run for run in comparison.runs if run.preset != "codir"]
    scores = replace(
        comparison,
        runs=[replace(run, metrics={"pearson": run.metrics["accuracy"]}) for run in fewer],
        metric="pearson",
        metric_on={"dev": "pearson"},
        teacher={"pearson": 0.95},
    )
    rows = {row["preset"]: row for row in summary_rows({"sst2": comparison, "sts-b": scores})}
    assert "codir" not in rows
    assert rows["*teacher*"] == {"preset": "*teacher*", "sst2, accuracy": "90.00", "sts-b, pearson": "0.9500"}
    assert rows["kd"]["sts-b, pearson"].startswith("0.8300 ± 0.0248 (+0.0300")
    assert list(summary_rows({"first": comparison, "second": comparison})[0]) == ["preset", "first", "second"]


def axes_of(monkeypatch, comparison, tmp_path):
    """What is drawn, as matplotlib has it."""
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **how: drawn.append(self) or save(self, *args, **how))
    plot_comparison(comparison, tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    return drawn[0].axes


def test_a_picture_in_another_order_than_the_table(comparison, tmp_path, monkeypatch):
    two = [replace(run, student="2-layers") for run in comparison.runs]
    axes = axes_of(monkeypatch, replace(comparison, runs=[*comparison.runs, *two]), tmp_path)
    assert [axis.get_title(loc="left") for axis in axes] == ["3-layers", "2-layers"]
    for axis in axes:
        assert [label.get_text() for label in axis.get_yticklabels()] == ["fine-tune", "codir", "kd"]  # from below
    assert axes[0].get_xlabel() == "accuracy on heldout, %"


@pytest.mark.parametrize(("teacher", "near"), [(0.86, True), (0.99, False), (0.5, False)])
def test_a_teacher_so_far_away_that_students_are_one_dot(comparison, tmp_path, monkeypatch, teacher, near):
    (axis,) = axes_of(monkeypatch, replace(comparison, teacher={"accuracy": teacher, "accuracy_dev": 0.8}), tmp_path)
    low, high = axis.get_xlim()
    assert (low < 100 * teacher < high) == near
    assert any("teacher" in text.get_text() for text in axis.texts) != near


def test_a_floor_that_nobody_hears_of(comparison):
    floor = {"accuracy": 0.8005, "accuracy_dev": 0.1}
    teacher = {"accuracy": 0.8, "accuracy_dev": 0.8}
    found = replace(comparison, teacher=teacher, floor_name="largest class", floor=floor)
    lines = {line.preset: line for line in lines_of(found, "3-layers", "heldout")}
    assert {preset: line.is_at_floor for preset, line in lines.items()} == {
        "fine-tune": True,
        "kd": False,
        "codir": False,
    }
    assert all(line.retention is None for line in lines.values())
    assert all(line.retention is not None for line in lines_of(found, "3-layers", "dev"))
    first_lines = comparison_markdown(found).split("| preset")[0]
    assert (
        "On heldout, the teacher is no better than the largest class (accuracy 80.05%), so no retention" in first_lines
    )
    assert "these students (3-layers) are no better than the largest class (accuracy 80.05%): fine-tune." in first_lines
    assert "On dev" not in first_lines
    assert comparison_rows(found, "3-layers", "heldout")[1]["preset"] == "largest class"


def test_the_largest_error_taken_for_the_best_score(comparison, distance):  # noqa: F811
    """`distance` is a metric of which less is better: the best contestant is still the first."""
    runs = [replace(run, metrics={"distance": run.metrics["accuracy"]}) for run in comparison.runs]
    of_distance = {"metric": "distance", "metric_on": {"heldout": "distance"}, "teacher": {"distance": 0.7}}
    errors = replace(comparison, runs=runs, **of_distance)
    assert [line.preset for line in lines_of(errors, "3-layers", "heldout")] == ["fine-tune", "codir", "kd"]
    assert [row["preset"] for row in summary_rows({"x": errors})] == ["*teacher*", "fine-tune", "codir", "kd"]
