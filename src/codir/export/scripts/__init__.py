"""`infer.py`, the program that runs an exported model: one body, joined with a part of its engine and one of its kind.

Every part is a module that can be read and checked by itself; none of them imports the rest of codir.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib import resources

from codir.config.words import Engine
from codir.measure import PACKAGES
from codir.tasks import Kind

BODY = "body"


def script_of(engine: Engine, kind: Kind, *, pairs: bool) -> str:
    """`infer.py` for an engine and a kind of task.

    Args:
        engine: that runs the graph.
        kind: of the model's task, which says in `script` how its answers are printed.
        pairs: whether the model reads two texts at once.

    Example:
        >>> from codir.tasks import KINDS
        >>> print(script_of("onnx", KINDS["reranking"], pairs=True).partition(chr(10))[0])
        \"\"\"Run this model: `python infer.py "a query" "a candidate" "another"`.
    """
    trees = {name: ast.parse(_source(name)) for name in (BODY, engine, kind.script)}
    parts = [_behind_imports(name, tree) for name, tree in trees.items()]
    head = _source(BODY).partition("import ")[0]
    head = head.replace("USAGE", usage_of(kind, pairs=pairs)).replace("ENGINE", PACKAGES[engine])
    return f"{head}{_imports_of([*trees.values()])}\n\n\n{parts[1]}\n\n\n{parts[2]}\n\n\n{parts[0]}\n"


def usage_of(kind: Kind, *, pairs: bool) -> str:
    """What stands behind `python infer.py`, in words.

    Args:
        kind: of the model's task.
        pairs: whether the model reads two texts at once.

    Example:
        >>> from codir.tasks import KINDS
        >>> usage_of(KINDS["classification"], pairs=False), usage_of(KINDS["question_answering"], pairs=True)
        ('"a text" "another"', '"a question" "a context"')
    """
    asked = kind.asked_pairs if pairs else kind.asked
    return " ".join(f'"{text}"' for text in asked)


def _source(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.py").read_text("utf-8")


def _behind_imports(name: str, tree: ast.Module) -> str:
    """What a part does, without its docstring and imports."""
    last = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)][-1].end_lineno
    return "\n".join(_source(name).splitlines()[last:]).strip()


def _imports_of(trees: Sequence[ast.Module]) -> str:
    """The imports of all parts but those of one another, as ruff orders them."""
    plain, names = dict[str, str](), defaultdict[str, set[str]](set)
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Import):
            plain |= {one.name: ast.unparse(node) for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(__name__):
            names[str(node.module)] |= {one.name for one in node.names}

    def lines(*, standard: bool) -> Iterator[str]:
        def belongs(module: str) -> bool:
            return (module.partition(".")[0] in sys.stdlib_module_names) == standard

        yield from (plain[one] for one in sorted(filter(belongs, plain)))
        yield from (f"from {one} import {', '.join(sorted(names[one]))}" for one in sorted(filter(belongs, names)))

    return "\n\n".join("\n".join(lines(standard=standard)) for standard in (True, False))
