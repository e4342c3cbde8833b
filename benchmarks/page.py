"""Writes `docs/performance.md`, its pictures and `results/performance/table.md` from the claims that were measured.

Knows how to show any claim: its sentence, verdict, table, what else was kept, conditions; a few words and pictures are
for claims of a known name. All numbers come from the JSON files, and the same files always give the same text.

Run: python benchmarks/page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from common import RESULTS
from pictures import PICTURES, save_picture

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PICTURE_FOLDER = PAGE.with_suffix("")
TABLE = RESULTS / "table.md"


@dataclass(frozen=True)
class Section:
    """Claims that are told together: those whose file's name begins with `prefix`."""

    prefix: str
    title: str
    about: str


SECTIONS = (
    Section(
        "step",
        "A step with a cached teacher",
        "What distilling adds to a training step once the teacher's features lie on the disk.",
    ),
    Section(
        "end-to-end",
        "Whole trainings against other tools",
        "Start-up and cache included. The value is the ratio to the peer that comes nearest. TextBrewer can also keep "
        "logits in memory (`is_caching_logits`, off unless asked for, logits only); it is off here, and with it on "
        "its teacher would run once too.",
    ),
    Section(
        "contrast",
        "The contrastive term",
        "All that the term adds to a step, without any model: drawing negatives, looking them up, both projection "
        "heads, the loss, the backward pass to the heads and to the student's pooled layers, and the update of the "
        "memory. It is timed against NCE with two memory banks, written from the papers' formulas (CRD, arXiv "
        "1910.10699; Wu et al., arXiv 1805.01978), which draws negatives per example.",
    ),
    Section("arithmetic", "Where the time of a step goes", "Arithmetic performed, as a share of the processor's peak."),
    Section("teacher-cache", "Building the teacher's cache", "The one pass of the teacher over the training rows."),
    Section(
        "startup",
        "From launch to work",
        "Fresh processes of the real command line. The first step has ended when its log line arrives.",
    ),
    Section(
        "deploy",
        "Serving",
        "Teacher and student as they would be served, each with all threads. The student is exported behind a gate "
        "that compares it with PyTorch on the evaluation rows, and runs on the engine that was fastest in int8. "
        "Every engine and number of threads stands in `benchmarks/results/deploy/`.",
    ),
    Section(
        "scaling",
        "How the cost grows",
        "Each point is a process of its own that trains a few steps; only the axis in question moves. Peak memory is "
        "that of the steps, without files that are only mapped, such as libraries and the teacher's cache.",
    ),
)
OTHERS = Section("", "Others", "")

TITLES = {
    "step": "Step with a cached teacher against plain fine-tuning",
    "end-to-end-defaults-3-epochs": "Each tool's defaults, 3 epochs",
    "end-to-end-defaults-10-epochs": "Each tool's defaults, 10 epochs",
    "end-to-end-equal-3-epochs": "Everything equal, 3 epochs",
    "end-to-end-equal-10-epochs": "Everything equal, 10 epochs",
    "contrast-against-nce": "Against NCE with two banks",
    "contrast-flat-in-n": "The same time whatever the number of rows",
    "arithmetic": "Share of the processor's arithmetic",
    "teacher-cache": "Against plain inference",
    "teacher-cache-float16": "In half precision",
    "startup-help": "`codir --help`",
    "startup-first-step": "First training step",
    "deploy-base-latency": "all-mpnet-base-v2 on SST-2, 12 layers to 6 and to 3",
    "deploy-demo-latency": "MiniLM on movie reviews, 6 layers to 3",
    "deploy-sst2-latency": "MiniLM on SST-2, 6 layers to 3",
    "scaling": "Lines over each axis",
}
"""Of claims that have no `title` in their file; the others go by the file's name. The first of several with one table
names them all."""

WHY_NOT = {
    "step": "Two banks are read and written, and each side scores K of the other's vectors. Single steps scatter by "
    "more than the bound leaves room for, as the quartiles show, so that the median moves by a few hundredths from run "
    "to run.",
    "contrast-against-nce": "Part of a step does not grow with K: drawing, both heads with their gradients, and the "
    "update of the bank. codir's time at the smallest K is mostly that, and NCE has such a part too. What does grow, "
    "codir pays for every class of the batch, since it looks up and scores a set of negatives per class.",
    "teacher-cache": "Besides the inference that both do, building the cache hashes the weights and texts that form "
    "its key, pools every layer of every batch, and writes the table to disk before marking it complete.",
    "scaling": "A line does not fit one of the axes so well; the table and the picture say which.",
}
"""Said under a claim that does not hold, unless its file has a `note` of its own."""

BEFORE_BANKS = "Measured when preset `codir` was what is `codir-fresh` now, so without its two banks."
BESIDE = {
    "contrast-against-nce": "The factor at other N is mostly that of drawing: NCE's sampler draws without "
    "replacement by shuffling the whole list of other-class rows for every example, as `np.random.choice` does, so "
    "its time grows with N. With the student's anchor and fresh keys (preset `codir-fresh`), each step reads the "
    "cached layers of K teacher rows per class and projects them with today's head: nothing is stale and no bank is "
    "kept, but the cost is that of K rows of all layers. It is meant for hundreds of negatives; for thousands, a bank "
    "is cheaper.",
    "arithmetic": "While it trains on a CPU, codir exchanges dropout, attention and the gradients of embeddings for "
    "cheaper ones ([decision 9](adr/0009-cheaper-parts-while-training-on-a-cpu.md)).",
    "end-to-end-defaults-3-epochs": BEFORE_BANKS,
    "end-to-end-defaults-10-epochs": BEFORE_BANKS,
    "contrast-flat-in-n": "The number of operations is the same at every N; bytes grow linearly, by the bytes per "
    "row of the table. Files had just been written, and were read from the page cache.",
    "scaling": "The row for N measures the contrastive term alone and should be flat; its slope is per training row. "
    "Two processes have one core each and exchange the gradients of the whole student over this machine's own network "
    "stack (gloo) at every step. The share of the ideal says what is left of twice the rows per second; it holds for "
    "this machine and student, and says nothing of processes on machines of their own.",
}
"""Said under a claim whatever its verdict."""

KNOWN = ("claim", "value", "bound", "direction", "holds", "rows", "conditions", "note", "title", "quartiles", "points")
EVERYWHERE = ("device", "cores", "threads", "dtype", "versions", "seed", "commit", "command", "date")


@dataclass(frozen=True)
class Claim:
    """One file of results: its name and content."""

    name: str
    content: Mapping[str, Any]

    @property
    def value(self) -> str:
        """What was measured, and on which side of which bound it was to be."""
        found = self.content
        return f"{_cell(found['value'])} ({found['direction']} {found['bound']:g})"

    @property
    def shared(self) -> Mapping[str, Any]:
        """What several claims may have alike: table, conditions and details."""
        own = {"claim", "value", "bound", "direction", "holds", "note", "quartiles"}
        return {key: value for key, value in self.content.items() if key not in own}

    @property
    def verdict(self) -> str:
        """In words."""
        return "holds" if self.content["holds"] else "**does not hold**"


def load_claims(folder: Path = RESULTS) -> list[Claim]:
    """All claims that were measured, in the order of their sections."""
    claims = [Claim(path.stem, json.loads(path.read_text())) for path in folder.glob("*.json")]
    order = [section.prefix for section in (*SECTIONS, OTHERS)]
    return sorted(claims, key=lambda claim: (order.index(section_of(claim).prefix), _natural(claim.name)))


def section_of(claim: Claim) -> Section:
    """Where a claim is told."""
    return next((section for section in SECTIONS if claim.name.startswith(section.prefix)), OTHERS)


def render_table(claims: Sequence[Claim]) -> str:
    """All claims in one table."""
    rows = [
        {
            "claim": claim.content["claim"],
            "measured": claim.value,
            "verdict": claim.verdict,
            "file": f"`{claim.name}.json`",
        }
        for claim in claims
    ]
    return markdown_table(rows)


def render_page(claims: Sequence[Claim]) -> str:
    """The page of the documentation."""
    kept = sum(bool(claim.content["holds"]) for claim in claims)
    parts = [
        "# Performance",
        "What codir claims about speed and memory, measured: each claim is a script under `benchmarks/` and a file "
        "under `benchmarks/results/performance/`, and this page is written from those files by `benchmarks/page.py`. "
        "Each claim has a bound, and the page says where it was missed. Conditions are listed under each table; "
        "results differ on other machines.",
        "```sh\nmake bench        # every claim except the comparisons with other tools\n"
        "make bench-peers  # the other tools, in environments of their own\n```",
        f"{kept} of {len(claims)} claims hold.",
        render_table(claims),
    ]
    for section in (*SECTIONS, OTHERS):
        told = [claim for claim in claims if section_of(claim) == section]
        if told:
            groups = groupby(told, lambda claim: claim.shared)
            parts += [f"## {section.title}", section.about, *(render_claims(list(group)) for _, group in groups)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def render_claims(claims: Sequence[Claim]) -> str:
    """One claim, whatever it is about, or several that were read off one table: their sentences, and the table once."""
    claim = claims[0]
    content = claim.content
    title = content.get("title", TITLES.get(claim.name, claim.name.replace("-", " ").capitalize()))
    parts = [f"### {title}"]
    for one in claims:
        measured = f"**{_cell(one.content['value'])}** (target: {_bound(one.content)})"
        parts.append(f"{_sentence(one.content['claim'])} {measured}: {one.verdict}.{_quartiles(one.content)}")
        parts += _notes(one)
    parts.append(markdown_table(content["rows"]))
    if claim.name.startswith(tuple(PICTURES)):
        parts.append(f"![{title}](performance/{claim.name}.png)")
    parts += [_detail(key, value) for key, value in content.items() if key not in KNOWN]
    parts.append(_conditions(content["conditions"]))
    return "\n\n".join(part for part in parts if part)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table, numbers to the right; a column that some row lacks stays empty there."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    are_numbers = [all(_is_number(row[name]) for row in rows if name in row) for name in columns]
    lines = [columns, ["---:" if is_number else "---" for is_number in are_numbers]]
    lines += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _notes(claim: Claim) -> list[str]:
    given = claim.content.get("note", [])
    notes = [given] if isinstance(given, str) else list(given)
    if not claim.content["holds"] and not notes and claim.name in WHY_NOT:
        notes.append(WHY_NOT[claim.name])
    return [*notes, *([BESIDE[claim.name]] if claim.name in BESIDE else [])]


def _detail(key: str, value: Any) -> str:
    """What else a file keeps, where it can be read: tables, words and numbers; not the raw repeats."""
    name = key.replace("_", " ").capitalize()
    if isinstance(value, Mapping):
        if not value:
            return ""
        if all(isinstance(inner, Mapping) for inner in value.values()):
            rows = [{key.replace("_", " "): of} | dict(cells) for of, cells in value.items()]
            return f"{name}:\n\n{markdown_table(rows)}"
        if {"what", "rows", "rules"} <= set(value):
            return (
                f"{name}: {value['what']}.\n\n{markdown_table(value['rows'])}\n\nWhat the rules choose:\n\n"
                + _bullets(value["rules"])
            )
        if not all(_is_plain(inner) for inner in value.values()):
            return ""
        return f"{name}: " + "; ".join(f"{inner} {_cell(of)}" for inner, of in value.items()) + "."
    if isinstance(value, list):
        if value and all(isinstance(inner, Mapping) for inner in value):
            return f"{name}:\n\n{markdown_table(value)}"
        return f"{name}:\n\n{_bullets(value)}" if value and all(isinstance(inner, str) for inner in value) else ""
    return f"{name}: {_cell(value)}."


def _conditions(conditions: Mapping[str, Any]) -> str:
    machine = [
        conditions["device"],
        f"{conditions['cores']} cores, {conditions['threads']} threads",
        str(conditions["dtype"]),
        ", ".join(f"{name} {version}" for name, version in conditions["versions"].items()),
        f"commit `{_short(conditions['commit'])}`",
        f"`{conditions['command']}`",
        str(conditions["date"]),
    ]
    own = [f"{key.replace('_', ' ')}: {_words(of)}" for key, of in conditions.items() if key not in EVERYWHERE]
    return f"*Conditions.* {'; '.join(own + machine)}."


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_words(of)}" for key, of in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(_words(of) for of in value)
    return _cell(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _sentence(claim: str) -> str:
    return f"{claim[0].upper()}{claim[1:]}:"


def _bound(content: Mapping[str, Any]) -> str:
    return f"{content['direction']} {content['bound']:g}"


def _quartiles(content: Mapping[str, Any]) -> str:
    if "quartiles" not in content:
        return ""
    lower, upper = content["quartiles"]
    return f" Its quartiles: {_cell(lower)} to {_cell(upper)}."


def _short(commit: str | None) -> str:
    name, plus, dirty = (commit or "unknown").partition("+")
    return name[:12] + plus + dirty


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_cell(line)}" for line in lines)


def _natural(name: str) -> list[tuple[int, str]]:
    """`3-epochs` before `10-epochs`."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in name.split("-")]


def main() -> None:
    """Write the page, its pictures and the table."""
    claims = load_claims()
    PICTURE_FOLDER.mkdir(parents=True, exist_ok=True)
    for claim in claims:
        save_picture(claim.name, claim.content, PICTURE_FOLDER)
    PAGE.write_text(render_page(claims))
    TABLE.write_text(render_table(claims) + "\n")


if __name__ == "__main__":
    main()
