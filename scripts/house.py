"""The shape of the package in four lists: names at its top, import cycles, long files, options that are said twice.

    python scripts/house.py

The last three must be empty; the exit code says so. What is allowed nevertheless stands in `ALLOWED`, with its reason.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "codir"
MOST_NAMES, MOST_LINES = 21, 400
ALLOWED: dict[str, str] = {}
"""What one of the lists would show, and why it may stay."""
OF_NO_OPTION = {"seed"}
"""Names whose default is a custom everywhere: a seed that nobody chose is 0."""


def names_at_the_top() -> list[str]:
    """Rooms and files that a reader sees first; not the package's own dunder files."""
    return sorted(
        path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("__", ".")) and path.suffix != ".typed"
    )


# ---- Import cycles ----


def import_cycles() -> list[str]:
    """One cycle between modules and one between rooms, where there are any."""
    imports = grimp.build_graph("codir", exclude_type_checking_imports=True, cache_dir=None)
    modules = {module: imports.find_modules_directly_imported_by(module) for module in imports.modules}
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, found in modules.items():
        rooms[room_of(module)] |= {room_of(other) for other in found} - {room_of(module)}
    return [cycle for graph in (modules, rooms) if (cycle := cycle_in(graph))]


def room_of(module: str) -> str:
    """`codir.data.encode` belongs to `codir.data`."""
    return ".".join(module.split(".")[:2])


def cycle_in(graph: Mapping[str, set[str]]) -> str | None:
    """The first cycle in words."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return None


# ---- Long files ----


def long_files() -> list[str]:
    """Files of more than `MOST_LINES` lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in sorted(PACKAGE.rglob("*.py"))}
    return [f"{place(path)}: {length} lines" for path, length in lengths.items() if length > MOST_LINES]


# ---- Options said twice ----


def choices_said_twice() -> list[str]:
    """Sets of words that more than one `Literal` spells out."""
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path, tree in parsed():
        for node in ast.walk(tree):
            words = words_of(node)
            if len(words) > 1:
                places[words].append(f"{place(path)}:{getattr(node, 'lineno', 0)}")
    return [f"{' | '.join(words)}: {', '.join(found)}" for words, found in places.items() if len(found) > 1]


def words_of(node: ast.AST) -> tuple[str, ...]:
    """The words of `Literal["a", "b"]`, sorted; none for any other node."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"):
        return ()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return tuple(sorted(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)))


def defaults_said_twice() -> list[str]:
    """Options whose default is spelled out in two of `config/words.py`, the rest of `config`, and the other rooms."""
    places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for path, tree in parsed():
        is_config = path.parent.name == "config"
        layer = ("words" if path.name == "words.py" else "config") if is_config else "rooms"
        for name, default, line in [] if path.parent.name == "cli" else defaults_in(tree):
            if name not in OF_NO_OPTION:
                places[name, default].setdefault(layer, f"{place(path)}:{line}")
    return [
        f"{name}={default}: {', '.join(found.values())}"
        for (name, default), found in sorted(places.items())
        if len(found) > 1
    ]


def defaults_in(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Names, defaults and lines of a file's constants, fields and parameters, where the default is spelled out."""
    yield from constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from ((name, default, node.lineno) for name, default in field_defaults(node))
        elif isinstance(node, ast.FunctionDef):
            yield from ((name, default, node.lineno) for name, default in signature_defaults(node))


def constants(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """Constants at the top of a file, by their names in lower case; a dictionary gives its entries."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            if isinstance(node.value, ast.Dict):
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    if isinstance(key, ast.Constant) and is_spelled_out(value):
                        yield str(key.value), ast.unparse(value), value.lineno
            elif is_spelled_out(node.value):
                yield node.target.id.lower(), ast.unparse(node.value), node.lineno


def field_defaults(section: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Fields of a section with the constants that they default to."""
    for node in section.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None):
            continue
        is_field = isinstance(node.value, ast.Call) and node.value.args
        default = node.value.args[0] if is_field and isinstance(node.value, ast.Call) else node.value
        if is_spelled_out(default):
            yield node.target.id, ast.unparse(default)


def signature_defaults(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Parameters of a function with the constants that they default to."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)]
    pairs += [(name, value) for name, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value]
    yield from ((name.arg, ast.unparse(value)) for name, value in pairs if is_spelled_out(value))


def is_spelled_out(value: ast.expr) -> bool:
    """Whether a default is a constant that means something by itself; `None` and `False` mean "not given"."""
    return isinstance(value, ast.Constant) and value.value is not None and value.value is not False


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    """Every file of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def place(path: Path) -> str:
    """A file as a reader names it."""
    return str(path.relative_to(PACKAGE.parent))


def main() -> int:
    """Print the lists; 1 where one that must be empty is not."""
    names = names_at_the_top()
    print(f"{len(names)} names at the top of codir (at most {MOST_NAMES}): {', '.join(names)}")
    lists = {
        "import cycles": import_cycles(),
        f"files over {MOST_LINES} lines": long_files(),
        "options said twice": [*choices_said_twice(), *defaults_said_twice()],
    }
    faults = 0
    for title, found in lists.items():
        refused = [line for line in found if line not in ALLOWED]
        print(f"{len(refused)} {title}")
        for line in found:
            print(f"  {line}" + (f"  (allowed: {ALLOWED[line]})" if line in ALLOWED else ""))
        faults += len(refused)
    return int(faults > 0 or len(names) > MOST_NAMES)


if __name__ == "__main__":
    sys.exit(main())
