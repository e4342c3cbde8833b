"""`infer.py` is joined of parts: each one that can be written must be a program by itself, and say how it is called."""

from __future__ import annotations

import ast
import subprocess
import sys

import numpy as np
import pytest

from codir.export import EXPORTERS, script_of, usage_of
from codir.export.scripts.spans import spans_in
from codir.measure import PACKAGES
from codir.tasks import KINDS

RULES = ["check", "--isolated", "--select", "E,F,I,B,UP", "--line-length", "120", "--target-version", "py311", "-"]
FORMAT = ["format", "--isolated", "--check", "--line-length", "120", "-"]


def scripts() -> dict[str, str]:
    return {
        f"{engine} {kind.name} {pairs}": script_of(engine, kind, pairs=pairs)
        for engine in EXPORTERS
        for kind in KINDS.values()
        for pairs in {kind.has_pairs, not kind.reads_words}
    }


@pytest.mark.parametrize("name", scripts())
def test_a_script_that_lacks_a_part_or_needs_codir(name):
    script = scripts()[name]
    imported = {
        word.partition(".")[0]
        for node in ast.walk(ast.parse(script))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for word in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    engine = PACKAGES[name.partition(" ")[0]]
    assert imported - sys.stdlib_module_names == {"numpy", "tokenizers", engine}
    assert script.startswith('"""Run this model: `python infer.py "')
    assert f"\nNeeds `{engine}` and `tokenizers` alone.\n" in script
    assert "USAGE" not in script
    assert "ENGINE" not in script
    assert script.count("def say(") == script.count("def load(") == 1
    assert len(script.splitlines()) < 90, "copy what you need of it"


def test_a_script_with_a_name_that_nothing_defines():
    """As a linter reads it, and as a formatter would write it."""
    for script in set(scripts().values()):
        for command in (RULES, FORMAT):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command], input=script, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_call_that_a_model_of_two_texts_does_not_understand():
    found = {name: usage_of(kind, pairs=kind.has_pairs) for name, kind in KINDS.items()}
    assert found["classification"] == '"a text" "another"'
    assert found["question_answering"] == '"a question" "a context"'
    assert found["reranking"] == '"a query" "a candidate" "another"'
    assert usage_of(KINDS["classification"], pairs=True) == '"a text" "its second text"'


def test_words_behind_one_that_the_tokenizer_makes_nothing_of(tokenizer):
    """Such as the variation selector of an emoji, or a joiner without width."""
    text = "w1 \u2764\ufe0f w2 \u200b w3 w4"
    read = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=6)
    offsets = [tuple(pair) for pair in read["offset_mapping"]]
    logits = np.tile(np.array([0.0, 3.0]), (len(offsets), 1))
    found = spans_in(text, offsets, logits, ["O", "X"], has_scheme=False)
    assert [span["text"] for span in found if span["text"].startswith("w")] == ["w1", "w2", "w3"], "w4 is cut off"
