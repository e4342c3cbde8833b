"""Which three of MiniLM's six layers make the best sentence encoder before training, and which of them codir picks.

Run: python benchmarks/embedding_layers.py; it writes benchmarks/results/embedding-layers/results.json. Every choice of
three layers is scored on STS-B's dev set, beside what `student.selection: best` ranks it by, which sees neither scores
nor the texts that are scored. Minutes.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from common import write_json
from comparison import HERE
from embeddings import RESULTS, answers_of, load_recipe, rows_of, scores_of
from sentences import STS_B, TEACHER, prepare

from codir.measure import gather_conditions, rank_layers
from codir.models import Reader
from codir.runs.build import load, load_reader
from codir.student import build_student, select_layers

FILE = RESULTS / "embedding-layers" / "results.json"
LAYERS, DEPTH = 3, 6
RULES = ("every-other", "lower", "upper")


def measure() -> dict[str, Any]:
    """Every choice of layers: what it is ranked by, and its correlation with STS-B's scores."""
    config = load_recipe("3-layers")
    teacher, length = load_reader(config.teacher.model, config.data.task), config.data.max_length
    sentences = load(config.data, teacher).train
    assert sentences is not None
    ranking = rank_layers(teacher.model, teacher.tokenizer, sentences, LAYERS, max_length=length)
    candidates = []
    for one in ranking.candidates:
        student = build_student(teacher.model, layers=one.layers).eval()
        scores = score(Reader(student, teacher.tokenizer), length)
        candidates.append({"layers": one.layers, ranking.metric: one.score, "spearman": scores["spearman"]})
        logging.info(json.dumps(candidates[-1]))
    return {
        "candidates": candidates,
        TEACHER: score(teacher, length)["spearman"],
        "ranked_by": f"{ranking.metric} on {ranking.rows} training sentences",
        "conditions": gather_conditions(dtype="float32", seed=0) | {"evaluation_rows": len(rows_of(STS_B))},
    }


def score(reader: Reader, length: int) -> dict[str, float]:
    """Its correlations on STS-B's dev set."""
    return scores_of(*answers_of(reader, rows_of(STS_B), length), STS_B)


def table_rows(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """What `best` picks, the best and the worst by STS-B, and what the other rules pick; best first by STS-B."""
    found: dict[tuple[int, ...], list[str]] = {}
    candidates = {tuple(one["layers"]): one for one in content["candidates"]}
    by_score = sorted(candidates, key=lambda layers: -candidates[layers]["spearman"])
    picks = {"`best`": next(iter(candidates)), "best on STS-B": by_score[0], "worst on STS-B": by_score[-1]}
    picks |= {f"`{rule}`": select_layers(DEPTH, LAYERS, rule) for rule in RULES}
    for who, layers in picks.items():
        found.setdefault(layers, []).append(who)
    rows = [
        {
            "layers": ", ".join(map(str, layers)),
            "picked by": ", ".join(found[layers]),
            "agreement with the last layer": f"{candidates[layers]['agreement']:.3f}",
            "STS-B, spearman": f"{candidates[layers]['spearman']:.4f}",
        }
        for layers in by_score
        if layers in found
    ]
    of_teacher = {"layers": "*teacher*", "picked by": "—", "agreement with the last layer": "—"}
    return [{**of_teacher, "STS-B, spearman": f"{content[TEACHER]:.4f}"}, *rows]


def main() -> None:
    """Measure, and write."""
    os.chdir(HERE.parent)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    prepare()
    write_json(FILE, measure())


if __name__ == "__main__":
    main()
