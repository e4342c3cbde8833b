"""Write the tables of all comparisons from their `results.json`: `table.md` beside each, and those of README and docs.

A page says where: a line `<!-- comparison table: <folder>, <folder>, ... -->`, and `<!-- /comparison table -->` after
it. Differences and their tests are to the comparison's own reference, or to the one that the line names:
`<!-- comparison table: <folder>; against kd -->`. With `students against <student>` kinds of student are the rows, and
presets the columns. Inside a sentence or a cell, `<!-- gain: <folder>; <preset> against <preset> -->` and
`<!-- /gain -->` hold one difference with its p (`<folder>, <student>` where it has several students), and
`<!-- gain: <folder>, <preset>; students <student> against <student> -->` that of two kinds of student. What the
gains come to over all comparisons stands between `<!-- overall gains -->` and `<!-- /overall gains -->`; what held-out
text says of pre-trained models, between `<!-- pre-training table -->` and `<!-- /pre-training table -->`; what serving
a pair of `results/deploy` takes, between `<!-- deploy table: <pair> -->` and `<!-- /deploy table -->`. Run twice, it
changes nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import deploy
import pretraining
from gains import against, known, overall_gains

from codir.measure import Comparison, read_comparison
from codir.report import comparison_markdown, summary_rows, to_markdown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FILLED = ("README.md", "docs/results.md", "docs/deploying.md", "docs/embeddings.md", "docs/tokens.md")
PAGES = tuple(ROOT / page for page in FILLED)
PLACE = re.compile(
    r"(?P<begin><!-- comparison table(?:: (?P<names>[\w., /-]+?)"
    r"(?:; (?P<students>students )?against (?P<reference>[\w.-]+))?)? -->\n)"
    r".*?(?P<end><!-- /comparison table -->)",
    re.DOTALL,
)
GAIN_PLACE = re.compile(
    r"(?P<begin><!-- gain: (?P<name>[\w./-]+)(?:, (?P<student>[\w.-]+))?; (?P<students>students )?(?P<preset>[\w.-]+)"
    r" against (?P<reference>[\w.-]+) -->).*?(?P<end><!-- /gain -->)"
)
OVERALL_PLACE = re.compile(r"(?P<begin><!-- overall gains -->\n).*?(?P<end><!-- /overall gains -->)", re.DOTALL)
PRETRAINING_PLACE = re.compile(
    r"(?P<begin><!-- pre-training table -->\n).*?(?P<end><!-- /pre-training table -->)", re.DOTALL
)
DEPLOY_PLACE = re.compile(
    r"(?P<begin><!-- deploy table: (?P<pair>[\w-]+) -->\n).*?(?P<end><!-- /deploy table -->)", re.DOTALL
)


def load_comparisons(folder: Path = RESULTS) -> dict[str, Comparison]:
    """All comparisons, by the path of their folder; other results are left alone."""
    files = [
        file for file in sorted(folder.rglob("results.json")) if "metric_on" in json.loads(file.read_text("utf-8"))
    ]
    return {file.parent.relative_to(folder).as_posix(): read_comparison(file.parent) for file in files}


def render_page(text: str, comparisons: dict[str, Comparison]) -> str:
    """A text with the table of one comparison, or of several side by side, wherever one belongs.

    Raises:
        UserError: a comparison or a reference that is not there.
    """

    def fill(place: re.Match[str]) -> str:
        names = (place["names"] or "").split(", ")
        chosen = {name: comparisons[known(name, comparisons)] for name in names}
        if place["students"]:
            chosen = {name: _students_as_rows(comparison) for name, comparison in chosen.items()}
        if place["reference"]:
            chosen = {name: against(place["reference"], comparison) for name, comparison in chosen.items()}
        rows = summary_rows(chosen)
        if place["students"]:
            rows = [{"student": row.pop("preset"), **row} for row in rows]
        return f"{place['begin']}{to_markdown(rows)}\n{place['end']}"

    return PLACE.sub(fill, text)


def render_gains(text: str, comparisons: dict[str, Comparison]) -> str:
    """A text with single differences and their p, wherever they belong.

    Raises:
        UserError: a comparison, a contestant or a kind of student that is not there.
    """

    def fill(place: re.Match[str]) -> str:
        comparison = comparisons[known(place["name"], comparisons)]
        comparison = _students_as_rows(comparison) if place["students"] else comparison
        presets = {run.preset for run in comparison.runs}
        student = known(place["student"] or comparison.students[0], comparison.students)
        rows = summary_rows({place["name"]: against(place["reference"], comparison)})
        cell = next(row for row in rows if row["preset"] == known(place["preset"], presets))[student]
        return f"{place['begin']}{cell.partition('(')[2].rpartition(')')[0]}{place['end']}"

    return GAIN_PLACE.sub(fill, text)


def render_overall(text: str, comparisons: dict[str, Comparison]) -> str:
    """A text with the table of what each question comes to over all comparisons, wherever it belongs."""
    return OVERALL_PLACE.sub(
        lambda place: f"{place['begin']}{to_markdown(overall_gains(comparisons))}\n{place['end']}", text
    )


def render_pretraining(text: str, content: dict[str, Any]) -> str:
    """A text with the table of pre-training, from its `results.json`, wherever it belongs."""
    return PRETRAINING_PLACE.sub(
        lambda place: f"{place['begin']}{pretraining.render_table(content)}\n{place['end']}", text
    )


def render_deploy(text: str, results: dict[str, Any]) -> str:
    """A text with what serving teacher and students takes, from `results/deploy`, wherever it belongs.

    Raises:
        UserError: a pair that is not there.
    """

    def fill(place: re.Match[str]) -> str:
        result = results[known(place["pair"], results)]
        told = f"{to_markdown(deploy.summary_rows(result))}\n\n{deploy.caption(result)}"
        return f"{place['begin']}{told}\n{place['end']}"

    return DEPLOY_PLACE.sub(fill, text)


def _students_as_rows(comparison: Comparison) -> Comparison:
    """The same runs with student and preset changing places, to test which start is better under one preset."""
    swapped = [replace(run, preset=run.student, student=run.preset) for run in comparison.runs]
    return replace(comparison, runs=swapped)


def main() -> None:
    """Write every table."""
    comparisons = load_comparisons()
    for name, comparison in comparisons.items():
        (RESULTS / name / "table.md").write_text(comparison_markdown(comparison), "utf-8")
    content = json.loads((RESULTS / "pretraining" / "results.json").read_text("utf-8"))
    (RESULTS / "pretraining" / "table.md").write_text(pretraining.render_table(content) + "\n", "utf-8")
    for page in PAGES:
        text = render_gains(render_page(page.read_text("utf-8"), comparisons), comparisons)
        text = render_deploy(render_overall(text, comparisons), deploy.read_results())
        page.write_text(render_pretraining(text, content), "utf-8")


if __name__ == "__main__":
    main()
