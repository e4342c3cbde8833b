"""Inputs that no run can be made of: lists of them, and strategies that draw more; all but the tests that feed them in.

Each is a command line, and what has to lie on disk for it. Nothing here is random from one run to the next.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codir.cli.fields import find_key
from codir.cli.flags import COMMANDS, Flag
from codir.config.explain import keys_of

TRAINING_COMMANDS = ("finetune", "distill", "pretrain", "compare", "sweep")


@dataclass(frozen=True)
class World:
    """What lies there to be used rightly or wrongly.

    Attributes:
        classifier: a tiny model with a head and its tokenizer.
        language_model: another with a language-model head.
        rows: a table of texts and labels.
        corpus: a text file.
        folder: of this one input, empty.
    """

    classifier: Path
    language_model: Path
    rows: Path
    corpus: Path
    folder: Path


@dataclass(frozen=True)
class BadInput:
    """One of them.

    Attributes:
        kind: flags, settings, recipes, data, models or corpora.
        name: what is wrong.
        words: the command line, once what it needs was written to the world's folder.
    """

    kind: str
    name: str
    words: Callable[[World], Sequence[object]]


def good_words(command: str, world: World, **instead: object) -> list[object]:
    """A command line that works, with something else in place of some of its flags; `None` leaves one out."""
    flags: dict[str, object] = {
        "finetune": {"--model": world.classifier, "--data": world.rows},
        "distill": {"--teacher": world.classifier, "--data": world.rows, "--student-layers": 2, "--preset": "kd"},
        "pretrain": {"--teacher": world.language_model, "--corpus": world.corpus, "--student-layers": 2},
        "compare": {"--teacher": world.classifier, "--data": world.rows, "--student-layers": 2, "--presets": "kd"},
        "sweep": {"--teacher": world.classifier, "--data": world.rows, "--depths": "1,2", "--preset": "kd"},
        "evaluate": {"--model": world.classifier, "--data": world.rows, "--max-length": 32},
        "export": {"--model": world.classifier, "--data": world.rows, "--max-length": 32},
        "benchmark": {"--data": world.rows, "--max-length": 32, "--rows": 4, "--rounds": 1, "--threads": 1},
        "plan": {"--rows": 10, "--layers": 2, "--hidden": 8},
    }[command]
    if command in TRAINING_COMMANDS:
        flags = {**flags, "--output-dir": world.folder / "out", "--max-length": 32}
        flags["--steps" if command == "pretrain" else "--max-steps"] = 1
    if command == "compare":
        flags["--seeds"] = 1
    if command in ("distill", "compare", "sweep"):
        flags["--cache-dir"] = world.folder / "cache"
    flags |= {name.replace("_", "-"): value for name, value in instead.items()}
    if command == "export":
        flags["--output-dir"] = world.folder / "out"
    words = [command, *([world.classifier] if command == "benchmark" else [])]
    words = [*words, *(part for pair in flags.items() if pair[1] is not None for part in pair)]
    if command == "pretrain":
        words += ["--set", f"corpus.cache_dir={world.folder / 'cache'}"]
    return words


def all_inputs() -> list[BadInput]:
    """All of them, without repetition."""
    makers = (flags, settings_, recipes, data, submissions, models, exports, corpora, places)
    found = [one for make in makers for one in make()]
    return list({(one.kind, one.name): one for one in found}.values())


# ---- Flags ----

NOT_A_NUMBER = ("", " ", "abc", "1;2", "0x10", "nan", "9" * 5000, "\x1b[31m1", "½", "1e", "--", "1\n2", "\ud800")
NOT_A_WORD = ("", "wrong", "\x1b[2J", "x" * 5000, "[bold]", "a\nb", "\0", "\udcff")
NOT_A_PATH = (
    "nowhere/x",
    "n" * 300,
    "d/" * 3000,
    "\0",
    "\ud800",
    "~nobody/x",
    "[red]x[/red].csv",
    "a\x1b[0mb",
    "/proc/x",
)
OUTPUTS = {"--output-dir", "--cache-dir", "--output", "--submission"}
ROW_FILES = {"--predictions", "--differences"}
ANY_TEXT = {"--text-column", "--text-pair-column", "--label-column", "--labels", "--task", "--reference", "--presets"}


def flags() -> Iterator[BadInput]:
    """Every flag of every command, with values that it cannot have."""
    for command, table in COMMANDS.items():
        model = table.load_model()
        for flag in table.flags:
            for value in _wrong_values(flag, find_key(model, flag.key)):
                yield _flag(command, f"{flag.shown}={value[:40]!r}", {flag.shown: value})
        for words in (["--nothing"], ["--\x1b[31m"], ["-z", "1"], ["x.yaml", "y.yaml"], ["--" + "f" * 3000]):
            yield BadInput("flags", f"{command} {words[0][:30]!r}", _more(command, words))
    yield BadInput("flags", "--differences without --against", lambda world: [
        *good_words("evaluate", world), "--differences", world.folder / "rows.tsv"
    ])  # fmt: skip
    for first, second in (("--predictions", "--differences"), ("--output", "--predictions")):
        yield BadInput("flags", f"one file for {first} and {second}", _one_file(first, second))
    for word in ("destil", "\x1b[31m", *COMMANDS):
        yield BadInput("flags", f"only {word!r}", lambda world, word=word: [word])
    for name, value in {"--depths": "1,5", "--engine": "tvm", "--tolerate": "-1", "--student-layers": "2"}.items():
        yield _flag("sweep", f"{name} {value!r}", {name: value})
    for name, value in {"--output-dir": "", "--teacher": "", "--data": "", "--student-layers": "0"}.items():
        yield _flag("distill", f"{name} {value!r}", {name: value})


def _one_file(first: str, second: str) -> Callable[[World], list[object]]:
    def words(world: World) -> list[object]:
        file = world.folder / "rows.tsv"
        return [*good_words("evaluate", world), "--against", world.classifier, first, file, second, file]

    return words


def _wrong_values(flag: Flag, key: Any) -> Sequence[str]:
    if flag.value is not None or flag.shown in OUTPUTS:
        return ()
    if flag.shown in ROW_FILES:
        return ("", ".tsv", "rows", "rows.csv", "rows.tsv.gz", "rows.xlsx", "n" * 300 + ".tsv", "\0.tsv", "\ud800.tsv")
    if key.choices and flag.shown not in ANY_TEXT:
        return NOT_A_WORD
    if key.is_number and not flag.read:
        negative = () if flag.shown in ("--max-steps", "--steps") else ("-1",)  # of transformers: as many as there are
        return (*NOT_A_NUMBER, *negative, "inf", "true")
    if flag.shown == "--preset":
        return (*NOT_A_WORD, "..", "../kd", "/etc/passwd", "presets/kd", "kd.yaml")
    if flag.shown in ("--student-layers", "--seeds", "--depths", "--threads"):
        return ("", "a", "1,,2", "-1", "1,a", "9" * 5000, "0,-2", "\x1b[0m")
    if flag.shown == "--presets":
        return ("", "kd,,kd", "kd,kd", "../kd", "..", "a" * 3000, "kd,\x1b[1m", "\ud800")
    if flag.shown == "--reference":
        return ("nobody", "..", "\x1b[1m")
    if flag.shown in ANY_TEXT:
        return ("nowhere", "\0", "\ud800", "x" * 5000, "\x1b[31m", "a\nb") if flag.shown.endswith("-column") else ()
    return NOT_A_PATH


def _flag(command: str, name: str, instead: dict[str, object]) -> BadInput:
    return BadInput("flags", f"{command} {name}", lambda world: _replaced(command, world, instead))


def _replaced(command: str, world: World, instead: dict[str, object]) -> list[object]:
    words = good_words(command, world)
    for name, value in instead.items():
        if name in words:
            words[words.index(name) + 1] = value
        else:
            words += [name, value]
    return words


def _more(command: str, words: Sequence[object]) -> Callable[[World], list[object]]:
    return lambda world: [*good_words(command, world), *words]


# ---- Settings ----

MALFORMED = (
    *(
        "",
        "=",
        "a",
        "=1",
        "..=1",
        ".a=1",
        "a.=1",
        "training",
        "training=",
        "training=1",
        "training.max_steps",
        "x.y.z=1",
    ),
    *(
        "training.max_steps=[",
        "training.max_steps={",
        "training.max_steps='",
        "training.max_steps=: :",
        "a" * 4000 + "=1",
    ),
    *(".".join("a" * 2000) + "=1", "training.max_steps=" + "[" * 1500, "training.max_steps=" + "9" * 5000),
    *("training.max_steps=2024-99-99", "training.max_steps=!!python/object:os.system {}", "training.max_steps=*x"),
    *("training.max_steps=&a [*a]", "training.seed=-1", "training.seed=4294967296", "training.learning_rate=nan"),
    *(
        "training.learning_rate=.inf",
        "training.\x1b[31m=1",
        "training.max_steps=\x07",
        "training.\ud800=1",
        "max_steps=3",
    ),
    *("training.optim=\ud800", "training.hub_token=hf_abcdefghijklmnopqrstuvwxyz", "hub_token=hf_abcdefghijklmnopqrs"),
    *(
        "training.bf16=true",
        "training.output_dir=/",
        "objectives.preset=../kd",
        "objectives.preset=[kd]",
        "objectives=3",
    ),
    *(
        "objectives=null",
        "objectives.kd.weight=1",
        "objectives.stages=[]",
        "objectives.stages=5",
        "objectives.stages=[5]",
    ),
    *("objectives.stages=[{preset: ..}]", "objectives.stages=[[]]", "objectives.stages=[null]", "data=[]", "data=5"),
    *(
        "objectives.contrastive=5",
        "objectives.contrastive=[]",
        "objectives.hard_label=yes",
        "1=1",
        "null=1",
        "true.x=1",
    ),
)
CONFIGS = (
    *(
        {"hidden_size": 10**12},
        {"hidden_size": -1},
        {"hidden_size": 0},
        {"hidden_size": "x"},
        {"num_hidden_layers": 10**9},
    ),
    *(
        {"num_hidden_layers": -1},
        {"num_attention_heads": 0},
        {"num_attention_heads": 7},
        {"nothing": 1},
        {"model_type": 5},
    ),
    *(
        {"model_type": "x\x1b[0m"},
        {"model_type": "t5"},
        {"vocab_size": -1},
        {"vocab_size": 10**13},
        {"hidden_act": "no"},
    ),
    *({"intermediate_size": -4}, {"intermediate_size": 10**12}, {"hidden_size": [1]}, {"hidden_size": None}),
    *({"max_position_embeddings": 0}, {"max_position_embeddings": -3}, {"hidden_size": 10**400}, {"id2label": [1]}),
    *({"vocab_size": 1.5}, {"hidden_size": {}}, {"hidden_dropout_prob": 7}, {"hidden_dropout_prob": "x"}),
)
NEVER = "{a: {b: [1, '\x1b[31m']}}"
"""No key of a recipe takes it, but those that take any mapping."""


def settings_() -> Iterator[BadInput]:
    """Words of `--set`: malformed, and every key of every recipe with what it cannot be."""
    for command in (*TRAINING_COMMANDS, "evaluate"):
        for word in MALFORMED:
            if command == "distill" or word.startswith(("training.max_steps=[", "..", "x.", "data=", "objectives=3")):
                yield BadInput("settings", f"{command} --set {word[:60]!r}", _more(command, ["--set", word]))
    for command in TRAINING_COMMANDS:
        model = COMMANDS[command].load_model()
        for key in keys_of(model, depth=2):
            if Any not in find_parts(model, key):
                yield BadInput("settings", f"{command} {key}", _more(command, ["--set", f"{key}={NEVER}"]))
    for config in CONFIGS:
        words = ["--set", f"student.config={json.dumps(config)}"]
        yield BadInput("settings", f"student.config={str(config)[:40]}", lambda world, words=words: [
            *(good_words("distill", world, **{"--student-layers": None})), *words
        ])  # fmt: skip


def find_parts(model: Any, key: str) -> list[Any]:
    """The types of a key; `Any` among them where it takes a mapping of anything."""
    field = find_key(model, key).field
    return [Any] if "Any" in str(field.annotation) else find_key(model, key).parts


# ---- Recipes ----

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
RECIPES: dict[str, bytes] = {
    "nothing": b"",
    "a comment": b"# nothing\n",
    "a word": b"teacher",
    "a list": b"- teacher\n- data\n",
    "a number": b"3",
    "an open bracket": b"teacher: [",
    "a tab": b"teacher:\n\tmodel: x\n",
    "utf-16": "teacher: t".encode("utf-16"),
    "latin-1": "teacher: é".encode("latin-1"),
    "random bytes": bytes(range(256)),
    "a null": b"teacher: 'a\x00b'",
    "deep brackets": b"teacher: " + b"[" * 5000,
    "deep sections": "\n".join(" " * i + "a:" for i in range(1500)).encode(),
    "anchors that laugh": LAUGHS.encode(),
    "an anchor that holds itself": b"teacher: &a {model: *a}\n",
    "a long number": b"training: {max_steps: " + b"9" * 5000 + b"}",
    "a date": b"teacher: 2024-13-77\n",
    "python objects": b"teacher: !!python/object/apply:os.system ['echo']\n",
    "two documents": b"teacher: a\n---\nteacher: b\n",
    "a mapping for a key": b"? {a: b}\n: c\n",
    "numbers for keys": b"1: 2\n3: 4\n",
    "an escape": b"\x1b[31mteacher: x\n",
    "an escape in quotes": b'"\\e[31mteacher": x\n',
    "a lone surrogate": b'teacher: "\\ud800"\n',
    "an unknown section": b"teachr: x\n",
    "markup": b"'[bold]x[/red]': x\n",
    "a secret": b"training: {hub_token: hf_abcdefghijklmnopqrstuv}\n",
    "a list of sections": b"teacher: [a]\ndata: [b]\nstudent: [c]\nobjectives: [d]\ntraining: [e]\n",
    "scalars for sections": b"teacher: 1\ndata: 2\nstudent: 3\nobjectives: 4\ntraining: 5\noutput_dir: 6\n",
    "nulls for sections": b"teacher: null\ndata: null\nstudent: null\nobjectives: null\ntraining: null\n",
    "a merge of nothing": b"<<: 5\n",
    "binary tags": b"teacher: !!binary 'x'\n",
    "a set": b"teacher: !!set {a, b}\n",
    "pairs": b"teacher: !!pairs [a: b]\n",
}  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.dictionaries(
    st.sampled_from(["teacher", "data", "student", "objectives", "training", "output_dir", "baseline"]),
    VALUES,
    min_size=1,
)


def recipes() -> Iterator[BadInput]:
    """Recipe files, as they stand or beside good flags."""
    drawn_ones = {f"drawn {place}": text for place, text in enumerate(drawn(st.binary(min_size=1, max_size=60), 40))}
    sections = drawn(SECTIONS, 60)
    drawn_ones |= {f"sections {place}": _dumped(one) for place, one in enumerate(sections)}
    for name, content in (RECIPES | drawn_ones).items():
        yield BadInput(
            "recipes", name, lambda world, content=content: ["distill", _file(world, "recipe.yaml", content)]
        )
    for command in ("finetune", "pretrain", "compare", "sweep", "evaluate"):
        for name in (
            "random bytes",
            "deep brackets",
            "a list",
            "scalars for sections",
            "anchors that laugh",
            "latin-1",
        ):
            yield BadInput("recipes", f"{command} {name}", lambda world, command=command, name=name: [
                command, _file(world, "recipe.yaml", RECIPES[name])
            ])  # fmt: skip
    for name, path in {"a folder": "", "not there": "x.yaml", "a long name": "x" * 300, "a null": "\0"}.items():
        yield BadInput("recipes", f"path: {name}", lambda world, path=path: ["distill", f"{world.folder}/{path}"])
    yield BadInput("recipes", "path: a link to itself", lambda world: ["distill", _loop(world)])


def _dumped(content: object) -> bytes:
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


# ---- Data ----

ROWS: dict[str, bytes] = {
    "nothing.csv": b"",
    "blank.csv": b"\n\n\n",
    "header.csv": b"text,label\n",
    "no-columns.csv": b"a,b\n1,2\n",
    "one-class.csv": b"text,label\nw1,a\nw2,a\n",
    "quote.csv": b'text,label\n"w1,a\nw2,b\n',
    "ragged.csv": b"text,label\nw1,a,c\nw2\n",
    "twice.csv": b"text,text,label\na,b,c\n",
    "binary.csv": bytes(range(256)) * 4,
    "utf-16.csv": "text,label\nw1,a\nw2,b\n".encode("utf-16"),
    "latin-1.csv": "text,label\né,a\nw2,b\n".encode("latin-1"),
    "null.csv": b"text,label\nw1\x00,a\nw2,b\n",
    "open-cell.csv": b'text,label\n"' + b"w" * 200_000 + b",a\nw2,b\nw3,a\n",
    "numbers.csv": b"text,label\n1,a\n2,b\n",
    "no-labels.csv": b"text,label\nw1,\nw2,\n",
    "long-number.csv": b"text,label\nw1," + b"9" * 5000 + b"\nw2," + b"8" * 5000 + b"\n",
    "infinite.csv": b"text,label\nw1,1e999\nw2,0.5\nw3,1.5\n",
    "escape.csv": b"\x1b[31m,\x1b[0m\na,b\n",
    "long-column.csv": b"c" * 50_000 + b",d\na,b\n",
    "many-columns.csv": b",".join(b"c%d" % i for i in range(5000)) + b"\n1\n",
    "markup.csv": b"[bold]text[/red],x\na,b\n",
    "nothing.tsv": b"",
    "ragged.tsv": b"text\tlabel\nw1\ta\tc\n",
    "carriage.tsv": b"text\tlabel\rw1\ta\rw2\tb\r",
    "nothing.jsonl": b"",
    "broken.jsonl": b"{",
    "list.jsonl": b"[1, 2]\n",
    "number.jsonl": b"5\n",
    "null.jsonl": b"null\n",
    "deep.jsonl": b"[" * 50_000 + b"\n",
    "deep-object.jsonl": b'{"a":' * 50_000 + b"\n",
    "long-number.jsonl": b'{"text": "a", "label": ' + b"9" * 5000 + b"}\n",
    "surrogate.jsonl": b'{"text": "\\ud800", "label": 0}\n{"text": "w1", "label": 1}\n' * 5,
    "lists.jsonl": b'{"text": ["a"], "label": 0}\n{"text": ["b"], "label": 1}\n',
    "list-labels.jsonl": b'{"text": "w1", "label": [0]}\n{"text": "w2", "label": [1]}\n',
    "dict-labels.jsonl": b'{"text": "w1", "label": {"a": 1}}\n{"text": "w2", "label": {"a": 2}}\n',
    "mixed-labels.jsonl": b'{"text": "w1", "label": 0}\n{"text": "w2", "label": "b"}\n{"text": "w3", "label": null}\n',
    "nan-labels.jsonl": b'{"text": "w1", "label": NaN}\n{"text": "w2", "label": 1}\n',
    "huge-labels.jsonl": b'{"text": "w1", "label": 100000000000000000000000}\n{"text": "w2", "label": 1}\n',
    "binary.jsonl": bytes(range(256)),
    "latin-1.jsonl": '{"text": "é"}\n'.encode("latin-1"),
    "array.json": b'[{"text": "w1", "label": 0}, {"text": "w2", "label": 1}]',
    "object.json": b'{"data": [{"text": "w1"}]}',
    "nothing.parquet": b"",
    "magic.parquet": b"PAR1PAR1",
    "text.parquet": b"text,label\nw1,a\n",
    "binary.parquet": bytes(range(256)) * 10,
    "table.xlsx": b"PK\x03\x04",
    "table": b"text,label\nw1,a\n",
    "table.csv.gz": b"\x1f\x8b",
}  # fmt: skip

BAD_EVERYWHERE = (
    "nothing.csv",
    "one-class.csv",
    "binary.csv",
    "open-cell.csv",
    "infinite.csv",
    "markup.csv",
    "nothing.jsonl",
    "null.jsonl",
    "surrogate.jsonl",
    "mixed-labels.jsonl",
    "latin-1.jsonl",
    "magic.parquet",
    "table",
)
"""Bad to evaluate, to compare and to add without labels as well; of the others some are only bad to train on."""


def data() -> Iterator[BadInput]:
    """Tables that cannot be learned from, for each command that reads one, and as evaluation set."""
    cells = st.text(st.characters(exclude_categories=()), max_size=40).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
    drawn_ones = {f"drawn-{i}.{'csv' if i % 2 else 'jsonl'}": content for i, content in enumerate(drawn(cells, 30))}
    for name, content in (ROWS | drawn_ones).items():
        for command in ("finetune", "distill") if name in ROWS else ("distill",):
            yield BadInput("data", f"{command} {name}", _of_table(command, "--data", name, content))
    for name in BAD_EVERYWHERE:
        yield BadInput("data", f"--dev {name}", _of_table("distill", "--dev", name, ROWS[name]))
        yield BadInput("data", f"evaluate {name}", _of_table("evaluate", "--data", name, ROWS[name]))
        yield BadInput("data", f"compare {name}", _of_table("compare", "--data", name, ROWS[name]))
        yield BadInput("data", f"sweep {name}", _of_table("sweep", "--data", name, ROWS[name]))
        if name not in ("one-class.csv", "infinite.csv", "mixed-labels.jsonl"):  # whose labels alone are bad
            yield BadInput("data", f"--unlabelled {name}", _of_table("distill", "--unlabelled", name, ROWS[name]))
    for name, types in {"int-text": pa.int64(), "binary-text": pa.binary(), "date-text": pa.date32()}.items():
        yield BadInput("data", f"{name}.parquet", _of_parquet(name, types))
    yield BadInput("data", "a truncated parquet", _truncated_parquet)
    for source in (
        "glue:",
        "glue:XYZ",
        "glue:RTE",
        "demo:x",
        "http://x:y@host/d",
        "a:b:c",
        "hub/name/too/long",
        "..",
        "/",
    ):
        yield _flag("distill", f"--data {source}", {"--data": source})
    yield _flag("distill", "an empty data folder", {"--data-dir": "/proc/self/nothing", "--data": "glue:RTE"})


def _of_table(command: str, flag: str, name: str, content: bytes) -> Callable[[World], list[object]]:
    return lambda world: _replaced(command, world, {flag: _file(world, name, content)})


def _of_parquet(name: str, kind: pa.DataType) -> Callable[[World], list[object]]:
    def words(world: World) -> list[object]:
        path = world.folder / f"{name}.parquet"
        column = pa.array([1, 2, 3], pa.int32()).cast(kind) if kind != pa.binary() else pa.array([b"\xff", b"a", b"b"])
        pq.write_table(pa.table({"text": column, "label": [0, 1, 0]}), path)
        return _replaced("distill", world, {"--data": path})

    return words


def _truncated_parquet(world: World) -> list[object]:
    path = world.folder / "rows.parquet"
    pq.write_table(pa.table({"text": ["w1"] * 100, "label": [0, 1] * 50}), path)
    path.write_bytes(path.read_bytes()[:-30] + b"PAR1")
    return _replaced("distill", world, {"--data": path})


# ---- Models ----

JUNK: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "an open brace": b"{",
    "bytes": bytes(range(256)),
    "utf-16": "{}".encode("utf-16"),
    "deep": b"[" * 100_000,
}  # fmt: skip
IN_CONFIG: tuple[dict[str, Any], ...] = (
    *(
        {"model_type": "unknown-type"},
        {"model_type": 5},
        {"model_type": None},
        {"model_type": ["bert"]},
        {"model_type": ""},
    ),
    *(
        {"model_type": "x\x1b[31m"},
        {"hidden_size": "x"},
        {"hidden_size": -1},
        {"hidden_size": 0},
        {"hidden_size": 10**12},
    ),
    *({"num_hidden_layers": 10**9}, {"num_hidden_layers": -1}, {"num_hidden_layers": "x"}, {"num_attention_heads": 0}),
    *({"num_attention_heads": 7}, {"vocab_size": -1}, {"vocab_size": 10**13}, {"vocab_size": "x"}, {"id2label": "x"}),
    *({"id2label": {"x": "y"}}, {"hidden_act": "no-such"}, {"intermediate_size": -1}, {"max_position_embeddings": -1}),
    *({"pad_token_id": 10**6}, {"quantization_config": {"a": 1}}, {"dtype": "no-such"}),
    {"model_type": "t5"},
)
TOKENIZERS = {
    "an empty object": b"{}",
    "no model": b'{"version": "1.0", "model": null}',
    "an unknown model": b'{"version": "1.0", "model": {"type": "Nothing", "vocab": {}}}',
    "a vocabulary of text": b'{"version": "1.0", "model": {"type": "WordPiece", "vocab": "x"}}',
}
HEADER = b'{"x":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4]}}'
WEIGHTS = {
    "a header that lies": len(HEADER).to_bytes(8, "little") + HEADER + b"\0" * 4,
    "a header longer than the file": b"\xff" * 8 + b"{}",
    "no tensors": (2).to_bytes(8, "little") + b"{}",
}


def models() -> Iterator[BadInput]:
    """Folders in which one file is broken: for a teacher, a student, a model to fine-tune and a language model."""
    for role in (
        "distill --teacher",
        "finetune --model",
        "pretrain --teacher",
        "distill --student",
        "evaluate --model",
        "evaluate --against",
    ):
        few = role in ("distill --student", "evaluate --model", "evaluate --against")
        for place, (name, file, content) in enumerate(broken_files()):
            is_start = role in ("finetune --model", "distill --student") and name.endswith(
                "no tensors"
            )  # weights may be new there
            if (not few or place % 3 == 0) and not is_start:
                yield BadInput("models", f"{role} {name}", _of_model(role, file, content))
    for name in ("config.json", "model.safetensors"):
        yield BadInput("models", f"without {name}", _of_model("distill --teacher", name, None))
    for path in ("/", "..", "no/such/model", "a:b", "x" * 300, "", "http://a:b@c/d", "\x1b[31m", "model.bin", "a//b"):
        yield _flag("distill", f"--teacher {path[:30]!r}", {"--teacher": path})
        yield _flag("finetune", f"--model {path[:30]!r}", {"--model": path})
        yield _flag("pretrain", f"--teacher {path[:30]!r}", {"--teacher": path})


def broken_files() -> Iterator[tuple[str, str, bytes | dict[str, Any]]]:
    """What is wrong, in which file, and what stands there."""
    for name, content in JUNK.items():
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
            yield f"{file}: {name}", file, content
    for change in IN_CONFIG:
        yield f"config.json: {str(change)[:50]}", "config.json", change
    for name, content in TOKENIZERS.items():
        yield f"tokenizer.json: {name}", "tokenizer.json", content
    for name, content in WEIGHTS.items():
        yield f"model.safetensors: {name}", "model.safetensors", content


def _of_model(role: str, file: str, content: bytes | dict[str, Any] | None) -> Callable[[World], list[object]]:
    command, flag = role.split()

    def words(world: World) -> list[object]:
        whole = world.language_model if command == "pretrain" else world.classifier
        broken = world.folder / "broken"
        shutil.copytree(whole, broken)
        if isinstance(content, dict):
            content_before = json.loads((broken / file).read_text())
            (broken / file).write_text(json.dumps(content_before | content))
        elif content is None:
            (broken / file).unlink()
        else:
            (broken / file).write_bytes(content)
        words = _replaced(command, world, {flag: broken})
        if flag == "--student":
            at = words.index("--student-layers")
            del words[at : at + 2]
        return words

    return words


# ---- Exported models ----

GRAPHS: dict[str, bytes | None] = {
    "nothing": b"",
    "a text": b"no graph",
    "XML": b"<net></net>",
    "an unfinished XML": b"<net name='x'><layers>",
    "bytes": bytes(range(256)) * 10,
    "a few bytes of protobuf": b"\x08\x09\x12\x07pytorch",
    "a folder": None,
}


def exports() -> Iterator[BadInput]:
    """Graph files that are none, beside a config and a tokenizer; and places and models that cannot be exported."""
    for ending in ("onnx", "xml"):
        for name, content in GRAPHS.items():
            for command in ("evaluate", "benchmark"):
                make = _of_graph(command, f"model.{ending}", content)
                yield BadInput("models", f"{command} model.{ending}: {name}", make)
    for name, file, content in list(broken_files())[::4]:
        yield BadInput("models", f"export --model {name}", _of_model("export --model", file, content))
    for path in ("no/such/model", "x.onnx", "x.xml", "a:b", "x" * 300, "", "\x1b[31m.onnx", "http://a:b@c/d.onnx"):
        yield BadInput("models", f"benchmark {path[:30]!r}", lambda world, path=path: [
            *good_words("benchmark", world), path
        ])  # fmt: skip
        yield _flag("export", f"--model {path[:30]!r}", {"--model": path})
    for place in ("/proc/self/x", "/sys/x", "n" * 300, "file.txt/x", "\0", "/dev/null", "."):
        yield _place("export", "--output-dir", place)
        if place != ".":  # beside others' files, a benchmark writes its own
            yield _place("benchmark", "--output-dir", place)


def _of_graph(command: str, name: str, content: bytes | None) -> Callable[[World], list[object]]:
    def words(world: World) -> list[object]:
        folder = world.folder / "graph"
        folder.mkdir()
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(world.classifier / file, folder)
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
        if command == "benchmark":
            return [*good_words(command, world), folder / name]
        return _replaced(command, world, {"--model": folder / name})

    return words


# ---- Submissions ----

GLUE_FILES = {
    "dev.tsv": "index\tsentence1\tsentence2\tlabel\n" + "0\tw1 w2\tw3\tentailment\n1\tw4\tw5\tnot_entailment\n" * 9,
    "test.tsv": "index\tsentence1\tsentence2\n0\tw1 w2\tw3\n1\tw4\tw5\n",
}
TEST_FILES: dict[str, str | None] = {
    "none": None,
    "nothing": "",
    "a header alone": "index\tsentence1\tsentence2\n",
    "no second text": "index\tsentence1\n0\tw1\n",
    "a row with a cell too few": "index\tsentence1\tsentence2\n0\tw1\n",
    "a row with a cell too many": "index\tsentence1\tsentence2\n0\tw1\tw2\tw3\n",
    "a number twice": "index\tsentence1\tsentence2\n0\tw1\tw2\n0\tw1\tw2\n",
    "a number that is none": "index\tsentence1\tsentence2\nzero\tw1\tw2\n",
    "no number": "index\tsentence1\tsentence2\n\tw1\tw2\n",
    "one column twice": "index\tsentence1\tsentence1\tsentence2\n0\tw1\tw2\tw3\n",
    "control characters": "\x1b[31m\t\x1b[0m\n0\tw1\n",
}


def submissions() -> Iterator[BadInput]:
    """Data that GLUE's server does not score, test rows that are not whole, and models of other classes."""
    for source in ("rows.csv", "glue:", "glue:nothing", "glue:AX", "glue:\x1b[31m", "a/b", "demo:rotten-tomatoes"):
        yield BadInput("data", f"--submission of {source}", _submission({"--data": source}))
    for name, content in TEST_FILES.items():
        yield BadInput("data", f"--submission with test rows: {name}", _submission({}, content))
    yield BadInput("data", "--submission of other dev rows", lambda world: [
        *_submission({})(world), "--dev", world.rows
    ])  # fmt: skip


def good_submission(world: World) -> list[object]:
    """A command line that works."""
    return _submission({})(world)


def _submission(
    instead: dict[str, object], test: str | None = GLUE_FILES["test.tsv"]
) -> Callable[[World], list[object]]:
    """An evaluation of RTE with its test rows, which works as it is."""

    def words(world: World) -> list[object]:
        folder = world.folder / "glue" / "RTE"
        folder.mkdir(parents=True)
        (folder / "dev.tsv").write_text(GLUE_FILES["dev.tsv"])
        if test is not None:
            (folder / "test.tsv").write_text(test)
        flags = {"--data": "glue:RTE", "--submission": world.folder / "submission", **instead}
        if flags["--data"] == "rows.csv":
            flags["--data"] = world.rows
        return [*_replaced("evaluate", world, flags), "--data-dir", folder.parent]

    return words


# ---- Corpora ----

CORPORA: dict[str, bytes] = {
    "nothing.txt": b"",
    "blank.txt": b"\n \n\t\n",
    "unknown.txt": b"zzz qqq yyy\n" * 50,
    "one-word.txt": b"w1",
    "bytes.txt": bytes(range(256)),
    "utf-16.txt": "w1 w2\n".encode("utf-16"),
    "latin-1.txt": "é è\n".encode("latin-1"),
    "nothing.csv": b"",
    "no-column.csv": b"a,b\n1,2\n",
    "no-column.jsonl": b'{"a": 1}\n',
    "numbers.jsonl": b'{"text": 1}\n',
    "broken.jsonl": b"{\n",
    "surrogate.jsonl": b'{"text": "\\ud800"}\n' * 20,
    "deep.jsonl": b"[" * 50_000,
    "binary.parquet": bytes(range(256)),
    "nothing.parquet": b"",
    "quote.csv": b'text\n"w1\nw2\n',
    "ragged.csv": b"text,b\nw1\n",
    "table.xlsx": b"PK",
    "pages.pdf": b"%PDF-1.4",
}  # fmt: skip


def corpora() -> Iterator[BadInput]:
    """Texts that no language model can be trained on."""
    for name, content in CORPORA.items():
        yield BadInput("corpora", name, _of_table("pretrain", "--corpus", name, content))
        if name.endswith(".txt") and name != "one-word.txt":
            words = ["--documents", "file"]
            make = _of_table("pretrain", "--corpus", name, content)
            yield BadInput("corpora", f"{name} as one", lambda world, make=make, words=words: [*make(world), *words])
    for path in ("/proc/self/nothing", "..x", "demo:x", "x.txt", "a:b:c", "\x1b[0m.txt", "d/" * 3000, ""):
        yield _flag("pretrain", f"--corpus {path[:30]!r}", {"--corpus": path})
    yield BadInput(
        "corpora", "an empty folder", lambda world: _replaced("pretrain", world, {"--corpus": _folder(world)})
    )


# ---- Places ----

IMPOSSIBLE = (
    "/proc/self/x",
    "/sys/x",
    "n" * 300,
    "d/" * 3000,
    "file.txt/x",
    "\0",
    "\ud800",
    "/dev/null",
    "/dev/null/x",
)


def places() -> Iterator[BadInput]:
    """Folders and files that cannot be written."""
    for place in IMPOSSIBLE:
        for command in TRAINING_COMMANDS:
            yield _place(command, "--output-dir", place)
        yield _place("distill", "--cache-dir", place)
        yield _place("evaluate", "--output", place)
        for flag in sorted(ROW_FILES):
            if place != "/dev/null":  # with an ending, it is a file like any other
                yield _place("evaluate", flag, f"{place}.tsv")
        yield BadInput("places", f"evaluate --submission {place[:30]!r}", _submission_at(place))
    yield BadInput("places", "--output .", lambda world: [*good_words("evaluate", world), "--output", world.folder])


def _place(command: str, flag: str, place: str) -> BadInput:
    def words(world: World) -> list[object]:
        _file(world, "file.txt", b"")
        where = place if place.startswith("/") else f"{world.folder}/{place}"
        cached = ["--set", "teacher.cache=true"] if flag == "--cache-dir" else []  # or else the teacher would run live
        cached += ["--against", world.classifier] if flag == "--differences" else []
        return [*_replaced(command, world, {flag: where}), *cached]

    return BadInput("places", f"{command} {flag} {place[:30]!r}", words)


def _submission_at(place: str) -> Callable[[World], list[object]]:
    def words(world: World) -> list[object]:
        _file(world, "file.txt", b"")
        where = place if place.startswith("/") else f"{world.folder}/{place}"
        return _submission({"--submission": where})(world)

    return words


# ---- Helpers ----


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many different examples, the same ones at each call."""
    found: dict[str, Any] = {}

    @settings(max_examples=count * 3, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(example: Any) -> None:
        found.setdefault(repr(example), example)

    collect()
    return list(found.values())[:count]


def _file(world: World, name: str, content: bytes) -> Path:
    path = world.folder / name
    path.write_bytes(content)
    return path


def _folder(world: World) -> Path:
    path = world.folder / "empty"
    path.mkdir()
    return path


def _loop(world: World) -> Path:
    path = world.folder / "loop.yaml"
    path.symlink_to(path)
    return path
