"""What must stand beside scores, in words: warnings, intervals, classes, lengths and speeds.

Every model has the name that tables give it. Knows nothing of how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from codir.errors.shown import counted
from codir.measure import ByClass, Calibration, Interval, Judgement, ModelResult, Standing
from codir.report.words import NOT_MEASURED, in_words, show_metric, to_markdown, with_article
from codir.tasks import NO_ENTITY

Rows = list[dict[str, str]]

SHOWN = {"baseline": "no teacher", "against": "second model"}
"""What tables call a model, if not by its name."""
IN_SENTENCES = {"baseline": "The student trained without a teacher", "against": "The second model"}
MOST_CLASSES, MOST_CONFUSED = 30, 12
"""More classes than the first are not all listed; of more than the second, the commonest confusions are."""

CALIBRATION = (
    "Calibration error: how far confidence and accuracy are apart, the weighted mean over 15 bins of confidence (ECE, "
    "Guo et al. 2017). Brier score: mean squared error of the probabilities. Lower is better for both. A mean "
    "confidence above the accuracy means that the model is too sure."
)


INTERVALS = (
    "Intervals are 95% bootstrap intervals over rows (1,000 resamples). Differences are paired: both models on the "
    "same rows. They say what other rows could have given, not what another training could have."
)


def warn_of(name: str, standing: Standing, score: float, floor: tuple[str, float], metric: str) -> list[str]:
    """What a reader has to hear first: a model that might as well not read.

    Args:
        name: of the model.
        standing: how its answers stand to those that are given without reading.
        score: its primary metric.
        floor: what answers without reading, and its primary metric.
        metric: name of that.
    """
    who, rows = IN_SENTENCES.get(name, f"The {name}"), counted(standing.above.rows, "row")
    floor_in_words = f"{with_article(floor[0])} ({in_words(metric)} {show_metric(metric, floor[1])})"
    reached = f"{who} reaches {in_words(metric)} {show_metric(metric, score)} on {rows},"
    if standing.only_answer is not None:
        return [f"{who} answers {standing.only_answer} to each of {rows}: no better than {floor_in_words}."]
    warnings = []
    if standing.hardly_varies:
        warnings.append(f"{who} hardly varies its answers: {standing.variation:.1%} as much as the labels vary.")
    if standing.is_no_better:
        warnings.append(f"{reached} no better than {floor_in_words}.")
    elif standing.is_at_floor:
        interval = show_interval(metric, standing.above, signed=True)
        warnings.append(f"{reached} not clearly better than {floor_in_words}: 95% interval {interval}.")
    return warnings


def warnings_of(judgement: Judgement) -> list[str]:
    """The warnings about every model; all pass the same checks."""
    metric = judgement.primary
    floor = judgement.floor_name, judgement.floor[metric]
    return [
        warning
        for name, standing in judgement.standings.items()
        for warning in warn_of(name, standing, judgement.intervals[name][metric].value, floor, metric)
    ]


def to_json(judgement: Judgement) -> dict[str, Any]:
    """All of it, for programs."""
    content = asdict(judgement)
    content["floor"] = {"name": content.pop("floor_name"), "metrics": content["floor"]}
    for name, standing in judgement.standings.items():
        found = {"learned_nothing": standing.learned_nothing, "is_at_floor": standing.is_at_floor}
        content["standings"][name] |= found
    del content["primary"]
    return content


# ---- Tables ----


def floor_row(judgement: Judgement, columns: Iterable[str]) -> dict[str, str]:
    """The row of what answers without reading, in a table with these columns, the first of them a name."""
    scores = {in_words(metric): show_metric(metric, value) for metric, value in judgement.floor.items()}
    first, *others = columns
    return {first: judgement.floor_name, **{column: scores.get(column, NOT_MEASURED) for column in others}}


def certainty_rows(judgement: Judgement, metrics: Sequence[str]) -> Rows:
    """How sure these metrics are, and the differences between models."""
    found: list[tuple[str, str, Interval, bool]] = []
    for metric in metrics:
        for name, of_model in judgement.intervals.items():
            found.append((SHOWN.get(name, name), metric, of_model[metric], False))
        for name, others in judgement.differences.items():
            for other, of_pair in others.items():
                found.append((f"{SHOWN.get(name, name)} - {SHOWN.get(other, other)}", metric, of_pair[metric], True))
    return [
        {
            "model": name,
            "metric": in_words(metric),
            "value": show_metric(metric, interval.value, signed=signed),
            "95% interval": show_interval(metric, interval, signed=signed),
            "rows": f"{interval.rows:,}",
        }
        for name, metric, interval, signed in found
    ]


def show_interval(metric: str, interval: Interval, *, signed: bool = False) -> str:
    """Both ends of an interval of a metric."""
    return " to ".join(show_metric(metric, end, signed=signed) for end in (interval.low, interval.high))


def speed_rows(models: Mapping[str, ModelResult], speed: Mapping[str, int]) -> Rows:
    """Speeds in batches and alone."""
    batch = f"sent./s, batches of {speed['batch_size']}"
    rows = []
    for name, model in models.items():
        rate, alone = model.sentences_per_second, model.latency
        rows.append(
            {
                "model": SHOWN.get(name, name),
                batch: NOT_MEASURED if rate is None else f"{rate:,.0f}",
                "ms alone, p50": NOT_MEASURED if alone is None else f"{alone.p50:.1f}",
                "ms alone, p95": NOT_MEASURED if alone is None else f"{alone.p95:.1f}",
            }
        )
    return rows


def timed_in_words(speed: Mapping[str, int]) -> str:
    """How speeds were measured, without a full stop.

    Args:
        speed: `batch_size`, `rows`, `latency_rows`.
    """
    return (
        f"Forward pass alone, in PyTorch: {speed['rows']} rows in batches of {speed['batch_size']}, and "
        f"{speed['latency_rows']} rows one at a time, the models in turns"
    )


def latency_sentence(models: Mapping[str, ModelResult], speed: Mapping[str, int], dtype: str | None) -> str:
    """The same of one row alone, and of a single model, where a table has no room."""
    alone = [
        f"{SHOWN.get(name, name)} {model.latency.p50:.1f} ms (p95 {model.latency.p95:.1f})"
        for name, model in models.items()
        if model.latency is not None
    ]
    rates = [
        f" {model.sentences_per_second:,.0f}" for model in models.values() if model.sentences_per_second is not None
    ]
    size = f"in batches of {speed['batch_size']}"
    batch = (
        f"It reads{rates[0]} sentences per second {size}."
        if len(rates) == 1
        else f"Sentences per second are measured {size}."
    )
    told = f"{batch} One sentence alone: {', '.join(alone)}." if alone else batch
    return f"{told} Scores and speeds are in {dtype}." if dtype else told


def class_rows(by_class: Mapping[str, ByClass], judged: str) -> Rows:
    """Precision and recall of each class, by model; of many classes, those that the model `judged` does worst on."""
    found = by_class[judged].classes
    worst = sorted(_scored(by_class[judged]), key=lambda index: found[index].f1)
    rows = []
    for index in sorted(worst[:MOST_CLASSES]):
        one = found[index]
        row = {"class": one.name, "rows": f"{one.rows:,}"}
        for name, of_model in by_class.items():
            before = "" if len(by_class) == 1 else f"{SHOWN.get(name, name)}: "
            score = of_model.classes[index]
            row |= {f"{before}precision": f"{score.precision:.1%}", f"{before}recall": f"{score.recall:.1%}"}
            if len(by_class) == 1:
                row["f1"] = f"{score.f1:.1%}"
        rows.append(row)
    return rows


def classes_left_out(found: ByClass) -> str:
    """Which classes `class_rows` shows, without a full stop; empty where it shows all."""
    count = len(_scored(found))
    return f"The {MOST_CLASSES} of {count} classes with the lowest F1" if count > MOST_CLASSES else ""


def _scored(found: ByClass) -> list[int]:
    """Places of the classes that can be right: what is no entity never is."""
    return [place for place, one in enumerate(found.classes) if one.name != NO_ENTITY]


def confusion_rows(found: ByClass) -> Rows:
    """Rows by class (down) and answer (across); of many classes, the commonest confusions; none of labels in sets."""
    names = [one.name for one in found.classes]
    if not found.confusion:
        return []
    if len(names) <= MOST_CONFUSED:
        return [
            {"class": name, **{f"as {other}": f"{count:,}" for other, count in zip(names, row, strict=True)}}
            for name, row in zip(names, found.confusion, strict=True)
        ]
    confused = [
        (count, name, names[other])
        for index, (name, row) in enumerate(zip(names, found.confusion, strict=True))
        for other, count in enumerate(row)
        if other != index and count
    ]
    confused.sort(key=lambda one: -one[0])
    return [
        {"class": name, "taken for": other, "rows": f"{count:,}"} for count, name, other in confused[:MOST_CONFUSED]
    ]


def calibration_rows(calibration: Mapping[str, Calibration]) -> Rows:
    """How far each model's probabilities can be believed."""
    return [
        {
            "model": SHOWN.get(name, name),
            "calibration error": f"{found.expected_calibration_error:.1%}",
            "Brier score": f"{found.brier_score:.3f}",
            "mean confidence": f"{found.mean_confidence:.1%}",
        }
        for name, found in calibration.items()
    ]


def length_rows(judgement: Judgement) -> Rows:
    """The primary metric of each model by the length of the text."""
    metric = judgement.primary
    return [
        {
            "tokens": f"{one.shortest}" if one.shortest == one.longest else f"{one.shortest} to {one.longest}",
            "rows": f"{one.rows:,}",
            **{SHOWN.get(name, name): show_metric(metric, score) for name, score in one.scores.items()},
        }
        for one in judgement.by_length
    ]


# ---- A part of a page ----


def sections(
    judgement: Judgement, models: Mapping[str, ModelResult], speed: Mapping[str, int], judged: str
) -> list[str]:
    """The blocks of a page that stand below its table.

    Args:
        judgement: of all models.
        models: what they cost.
        speed: how that was measured.
        judged: the model whose confusions are shown.
    """
    blocks = [
        "## How sure the numbers are",
        to_markdown(certainty_rows(judgement, list(judgement.floor))),
        INTERVALS,
    ]
    if speed:
        blocks += ["## Speed", to_markdown(speed_rows(models, speed)), f"{timed_in_words(speed)}."]
    if judgement.by_class:
        blocks += ["## By class", to_markdown(class_rows(judgement.by_class, judged))]
        if left_out := classes_left_out(judgement.by_class[judged]):
            blocks.append(f"{left_out}; all are in the JSON file.")
        if confused := confusion_rows(judgement.by_class[judged]):
            blocks += [f"What the {judged} takes for what, in rows:", to_markdown(confused)]
    if judgement.calibration:
        blocks += ["## Calibration", to_markdown(calibration_rows(judgement.calibration)), CALIBRATION]
    if len(judgement.by_length) > 1:
        blocks += [f"## {in_words(judgement.primary).capitalize()} by length", to_markdown(length_rows(judgement))]
    return blocks
