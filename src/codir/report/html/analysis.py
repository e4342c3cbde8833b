"""What lies behind the scores, as the page shows it: layers, vectors, heads and single rows.

Turns an `Analysis` into charts and tables; knows nothing of how it was made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from codir.measure import Analysis, HeadComparison, LayerAnalysis
from codir.report.html.charts import Chart, heat_map, line_chart, low_end, scatter_chart
from codir.report.judgement import Rows
from codir.report.words import NOT_MEASURED, in_words, scale_of

MOST_GROUPS = 5
"""Groups of points that have a colour of their own; the rest are one group."""
OTHERS = "other classes"


@dataclass(frozen=True)
class AnalysisPart:
    """The part of a page about an analysis.

    Attributes:
        layers: pictures of layers.
        vectors: pictures of the last layer's vectors.
        spread: the table of alignment and uniformity.
        heads: pictures of attention heads.
        disagreements: the table of rows.
        differing: how many rows are answered differently, in words.
        left_out: what is missing, and why.
    """

    layers: list[Chart]
    vectors: list[Chart]
    spread: Rows
    heads: list[Chart]
    disagreements: Rows
    differing: str
    left_out: tuple[str, ...]


def analysis_part(analysis: Analysis) -> AnalysisPart:
    """All of it."""
    layers, heads = analysis.layers, analysis.heads
    return AnalysisPart(
        layers=layer_charts(layers, analysis.metric) if layers else [],
        vectors=vector_charts(layers) if layers else [],
        spread=spread_rows(layers) if layers else [],
        heads=head_charts(heads) if heads else [],
        disagreements=disagreement_rows(analysis),
        differing=""
        if analysis.differing is None
        else f"The two answer {analysis.differing:.1%} of the rows differently.",
        left_out=analysis.left_out,
    )


def layer_charts(layers: LayerAnalysis, metric: str) -> list[Chart]:
    """Which layers hold the same, and where the task is known."""
    charts = [
        heat_map(
            "cka",
            "Which layer of the teacher each layer of the student resembles",
            layers.cka,
            rows=[str(layer) for layer in range(len(layers.cka))],
            columns=[str(layer) for layer in range(len(layers.cka[0]))],
            down="teacher layer",
            across="student layer",
            unit="linear CKA",
            note=f"Layer 0 is the embedding output. {layers.rows} evaluation rows, each layer the mean over its tokens "
            f"(Kornblith et al. 2019). Shuffled texts give {layers.cka_by_chance:.2f}.",
        )
    ]
    if layers.probes:
        scale, unit = scale_of(metric)
        of_models = {
            name: ([float(layer) for layer in range(len(scores))], [scale * score for score in scores])
            for name, scores in layers.probes.items()
        }
        charts.append(
            line_chart(
                "probes",
                "Where each model knows the task",
                of_models,
                across="layer, 0 being the embedding output",
                up=f"{in_words(metric)} of a linear probe{unit}",
                reference=("answer without reading", scale * layers.probe_floor),
                note=f"A linear head on each layer, trained on {layers.training_rows} rows and scored on {layers.rows} "
                "others (after Tenney et al. 2019).",
            )
        )
    return charts


def vector_charts(layers: LayerAnalysis) -> list[Chart]:
    """The last layer's vectors of each model in two dimensions."""
    names = _groups_shown(layers.groups)
    charts = []
    for model, found in layers.projections.items():
        groups: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for group, place in zip(layers.groups, found.points, strict=True):
            groups[group if group in groups else OTHERS].append(place)
        first, second = (
            f"component {axis}, {share:.0%} of the variance" for axis, share in enumerate(found.explained, start=1)
        )
        title = f"The {model}'s last layer, in two dimensions"
        charts.append(scatter_chart(f"vectors-{model}", title, groups, across=first, up=second))
    return charts


def _groups_shown(groups: tuple[str, ...]) -> list[str]:
    """The most frequent ones, in their order in the alphabet, and the rest together."""
    if len({*groups}) <= MOST_GROUPS + 1:
        return sorted({*groups})
    return [*sorted(name for name, _ in Counter(groups).most_common(MOST_GROUPS)), OTHERS]


def spread_rows(layers: LayerAnalysis) -> Rows:
    """Alignment and uniformity of each model's last layer."""
    return [
        {
            "model": model,
            "alignment": NOT_MEASURED if spread.alignment is None else f"{spread.alignment:.3f}",
            "uniformity": f"{spread.uniformity:.3f}",
        }
        for model, spread in layers.spread.items()
    ]


def head_charts(heads: HeadComparison) -> list[Chart]:
    """Heads of the teacher that were kept or lost, and where those of the student come from."""
    count = f"{heads.rows} evaluation rows. A pair of heads has {heads.typical:.2f} on average."
    closest = [[one.cosine for one in layer] for layer in heads.closest]
    low = min(low_end(heads.kept), low_end(closest))
    hints = [[f"Closest: teacher layer {one.layer}, head {one.head}" for one in layer] for layer in heads.closest]
    return [
        heat_map(
            "heads-teacher",
            "The teacher's heads: how close the closest head of the student comes",
            heads.kept,
            rows=_numbered(len(heads.kept)),
            columns=_numbered(len(heads.kept[0])),
            note=f"Cosine of attention maps (after Kovaleva et al. 2019): where it is low, a head was lost. {count}",
            down="layer",
            across="head",
            unit="cosine",
            low=low,
        ),
        heat_map(
            "heads-student",
            "The student's heads: how close they are to a head of the teacher",
            closest,
            rows=_numbered(len(closest)),
            columns=_numbered(len(closest[0])),
            hints=hints,
            note=_origins(heads),
            down="layer",
            across="head",
            unit="cosine",
            low=low,
        ),
    ]


def _numbered(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _origins(heads: HeadComparison) -> str:
    """Of each layer of the student, the layer of the teacher where most of its heads have their closest one."""
    told = []
    for number, layer in enumerate(heads.closest, start=1):
        ((most, count),) = Counter(one.layer for one in layer).most_common(1)
        told.append(f"layer {number}: layer {most} ({count} of {len(layer)} heads)")
    return f"The teacher's layer with most of the closest heads, for {'; '.join(told)}."


def disagreement_rows(analysis: Analysis) -> Rows:
    """The rows where the two are farthest apart."""
    unit = "distance" if analysis.differing is None else "distance of probabilities"
    return [
        {
            **({"row": str(one.row)} if one.text is None else {"text": one.text}),
            "label": one.label,
            "teacher": one.teacher,
            "student": one.student,
            unit: f"{one.distance:.2f}",
        }
        for one in analysis.disagreements
    ]
