"""Turn a language model's answers into a teacher that is a file: `codir distill --teacher answers.parquet`.

Ask an OpenAI-style chat API, once per row, to answer with the label alone, with `max_tokens: 1`, `logprobs: true` and
`top_logprobs: 20`, and with the row's id as `custom_id` where you send a batch. Save what comes back as JSON lines: one
chat completion a line, or the output file of a batch. Then:

    python examples/llm_answers.py output.jsonl answers.parquet --labels negative positive
    codir distill --teacher answers.parquet --id-column id --data reviews.csv --student small --preset kd ...

The first token of an answer speaks for the label that begins with it. Spaces and capitals do not count. Needs pyarrow,
which codir brings.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def label_of(token: str, labels: list[str]) -> str | None:
    """The label that a token begins; `None` where there is none, or more than one."""
    plain = token.strip().casefold()
    found = [label for label in labels if plain and label.casefold().startswith(plain)]
    return found[0] if len(found) == 1 else None


def completion_of(record: dict[str, Any]) -> dict[str, Any] | None:
    """The chat completion of a line: the line itself, or what a batch wraps; `None` of a request that failed."""
    if "response" in record:
        response = record["response"] or {}
        return response.get("body") if not record.get("error") and response.get("status_code", 200) == 200 else None
    return record if record.get("choices") else None


def likeliest(completion: dict[str, Any]) -> list[dict[str, Any]]:
    """The likeliest first tokens of an answer, leading white space aside, each with its log-probability."""
    content = (completion["choices"][0].get("logprobs") or {}).get("content") or []
    first = next((token for token in content if token["token"].strip()), None)
    return [] if first is None else first.get("top_logprobs") or [first]


def row_of(record: dict[str, Any], labels: list[str]) -> tuple[str, dict[str, float]] | str:
    """Id and log-probabilities by label, tokens of one label added up; or why there is no such row."""
    completion = completion_of(record)
    if completion is None:
        return "the request failed"
    shares: dict[str, float] = {}
    for one in likeliest(completion):
        label = label_of(one["token"], labels)
        if label is not None:
            shares[label] = shares.get(label, 0.0) + math.exp(one["logprob"])
    if not shares:
        return "no label among the likeliest tokens"
    return str(record.get("custom_id") or completion["id"]), {name: math.log(share) for name, share in shares.items()}


def main() -> None:
    """Read, count what is left out, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_of_the_api", type=Path, help="JSON lines")
    parser.add_argument("answers", type=Path, help="file to write, ending in .parquet")
    parser.add_argument("--labels", nargs="+", required=True, help="as they are called in the data")
    given = parser.parse_args()
    lines = given.output_of_the_api.read_text("utf-8").splitlines()
    found = [row_of(json.loads(line), given.labels) for line in lines if line.strip()]
    rows = [row for row in found if not isinstance(row, str)]
    pq.write_table(
        pa.table(
            {
                "id": [name for name, _ in rows],
                "logprobs": [[{"token": label, "logprob": log} for label, log in of.items()] for _, of in rows],
            }
        ),
        given.answers,
    )
    print(f"{given.answers}: {len(rows)} answers")
    for why, count in Counter(row for row in found if isinstance(row, str)).items():
        print(f"left out, {why}: {count}")


if __name__ == "__main__":
    main()
