"""Prose that runs: what README.md, CONTRIBUTING.md and docs/ say is compiled, parsed, compared or executed here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

import codir
from codir import config
from codir.cli import app
from codir.cli.flags import COMMANDS as FROM_TABLE
from codir.cli.given import Given
from codir.config import parse_settings, parse_yaml, read_yaml
from codir.runs.objectives import OBJECTIVES
from codir.signals import values as signals
from conftest import make_texts
from families import tiny_classifier

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import write_reference
from write_reference import SECTIONS

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(
    r"(?P<runs><!-- runs -->\n)?^(?P<indent> *)```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^ *```", re.MULTILINE | re.DOTALL
)
SHELLS = ("sh", "bash", "console")
COMMANDS = typer.main.get_command(app).commands

WHOLE: dict[str, type[BaseModel]] = {
    "finetune": config.FinetuneConfig,
    "evaluate": config.EvaluateConfig,
    "compare": config.CompareConfig,
    "sweep": config.SweepConfig,
}
"""What a command reads, where it is not a recipe."""


def blocks_of(page: Path, *kinds: str) -> list[re.Match[str]]:
    return [block for block in BLOCK.finditer(page.read_text()) if block["kind"] in kinds]


def shell_commands(page: Path) -> list[list[str]]:
    """The words of every command line; comments, the output of a `console` block and launchers (`-m`) left out."""
    commands = []
    for block in blocks_of(page, *SHELLS):
        lines = block["body"].replace("\\\n", " ").splitlines()
        typed = [line.strip().removeprefix("$ ") for line in lines if block["kind"] != "console" or "$ " in line]
        commands += [shlex.split(line, comments=True) for line in typed]
    return [words[words.index("-m") + 1 :] if "-m" in words else words for words in commands if words]


def test_a_page_that_none_of_these_tests_reads():
    commands = [words[0] for page in PAGES for words in shell_commands(page)]
    assert len(PAGES) >= 16
    assert commands.count("codir") >= 10
    assert len([block for page in PAGES for block in blocks_of(page, "python")]) >= 8


PATH = re.compile(r"(?<![\w/.<-])(?:benchmarks|docs|examples|scripts|src|tests)/[\w/.-]*[\w/](?![\w<*-])")
TO_COME = {"benchmarks/results/gpu"}
"""What a command of a page writes on a machine that not everybody has."""


def test_a_page_that_names_a_file_that_is_gone():
    named = {(page, path) for page in PAGES for path in PATH.findall(page.read_text())}
    assert len(named) >= 80
    gone = [f"{page.name}: {path}" for page, path in named if path not in TO_COME and not (ROOT / path).exists()]
    assert gone == []


# ---- Python ----


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_that_does_not_compile(page):
    for block in blocks_of(page, "python"):
        compile(block["body"], str(page), "exec")


@pytest.fixture(scope="module")
def folder(tokenizer, once_per_suite, tmp_path_factory) -> Path:
    """Where examples run: `teacher/`, a tiny model that knows its classes, `reviews.csv`, `dev.csv` and `more.csv`."""
    made = once_per_suite("docs", lambda folder: make_inputs(folder, tokenizer))
    return shutil.copytree(made, tmp_path_factory.mktemp("docs"), dirs_exist_ok=True)  # examples write beside it


def make_inputs(folder: Path, tokenizer) -> None:
    for name, rows in (("reviews", make_texts(400)), ("dev", make_texts(60, seed=1)), ("more", make_texts(40, seed=2))):
        named = rows.map(lambda row: {"label": ("negative", "positive")[row["label"]]}, features=None)
        (named.remove_columns("label") if name == "more" else named).to_csv(folder / f"{name}.csv", index=False)
    tiny_classifier("bert", num_labels=2, seed=1, max_position_embeddings=128).save_pretrained(folder / "pretrained")
    tokenizer.save_pretrained(folder / "pretrained")
    reranker = tiny_classifier("bert", num_labels=1, seed=1, max_position_embeddings=128)
    reranker.config.codir_task = "reranking"
    reranker.save_pretrained(folder / "reranker")
    tokenizer.save_pretrained(folder / "reranker")
    codir.finetune(
        codir.FinetuneConfig.model_validate(
            {
                "model": str(folder / "pretrained"),
                "data": {"source": str(folder / "reviews.csv"), "max_length": 32},
                "training": {"learning_rate": 3e-3, "save_strategy": "no", "disable_tqdm": True},
                "output_dir": folder / "teacher",
            }
        )
    )


@pytest.mark.training
@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")  # examples name no device; there may be none
@pytest.mark.parametrize("page", [p for p in PAGES if "<!-- runs -->\n" in p.read_text()], ids=lambda page: page.stem)
def test_an_example_that_does_not_run(page, folder, monkeypatch):
    """The marked blocks of a page, in order, in one namespace."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))  # the default cache is under it
    monkeypatch.setenv("USERPROFILE", str(folder))
    namespace: dict[str, object] = {"__name__": "__main__"}
    marked = [block for block in blocks_of(page, "python") if block["runs"]]
    assert len(marked) == page.read_text().count("<!-- runs -->\n```"), "a mark without a python block under it"
    for block in marked:
        exec(compile(block["body"], str(page), "exec"), namespace)


@pytest.mark.slow
def test_an_example_file_that_does_not_run(tmp_path):
    elsewhere = {"serve.py", "llm_answers.py"}  # tests/runs/test_serve.py, tests/runs/test_llm_answers.py
    examples = [path for path in (ROOT / "examples").glob("*.py") if path.name not in elsewhere]
    assert examples
    for example in examples:
        subprocess.run([sys.executable, str(example)], cwd=tmp_path, check=True, timeout=900)


def test_an_example_file_that_does_not_compile():
    examples = list((ROOT / "examples").glob("*.py"))
    assert examples
    for example in examples:
        compile(example.read_text(), str(example), "exec")


# ---- Commands ----


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_command_line_that_codir_would_refuse(page, tmp_path, monkeypatch):
    """Each is read as `codir` itself would, up to the checked recipe; the keys of `--set` have to exist too."""
    for place in (tmp_path, tmp_path / "student"):  # a run leaves its recipe in its folder
        place.mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples" / "recipe.yaml", place / "recipe.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Given, "config", read_alone)
    for words in shell_commands(page):
        if words[0] != "codir" or words[1:] == ["--help"]:
            continue
        command, arguments = COMMANDS[words[1]], words[2:]
        if "--help" in arguments:
            continue
        context = command.make_context(words[1], arguments)
        parsed = context.params
        if words[1] in FROM_TABLE:
            with pytest.raises(ReadError):
                command.invoke(context)
        for setting in parsed.get("settings") or []:
            parse_settings([setting])
            assert_known(setting.partition("=")[0], WHOLE.get(words[1], config.Recipe))


class ReadError(Exception):
    """A recipe was read and found good."""


def read_alone(given: Given, model: type[BaseModel], read=Given.config) -> BaseModel:
    read(given, model)
    raise ReadError


def assert_known(path: str, model: type[BaseModel]) -> None:
    section, _, key = path.rpartition(".")
    if section == "training":
        from transformers import TrainingArguments

        assert key in {*config.TrainingConfig.model_fields, *TrainingArguments.__dataclass_fields__}, path
    elif section == "student.config":
        return
    else:
        assert key in (SECTIONS[section] if section else model).model_fields, path


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_make_target_that_is_not_there(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = [words[1] for words in shell_commands(page) if words[0] == "make" and len(words) > 1]
    assert {*typed, *re.findall(r"`make ([a-z-]+)`", page.read_text())} <= targets


# ---- The references ----


def test_a_public_name_that_the_reference_leaves_out():
    page = (ROOT / "docs" / "reference.md").read_text()
    names = {*codir.__all__, *(objective.__name__ for objective in OBJECTIVES.values())}
    assert len(names) >= 40
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()


def test_a_table_of_keys_that_the_models_do_not_say():
    page = write_reference.PAGE.read_text()
    assert write_reference.write(page) == page


def test_a_section_that_the_reference_leaves_out():
    assert write_reference.undocumented() == set()
    named = re.findall(r"<!-- keys: (.*?) -->", write_reference.PAGE.read_text())
    without_keys = {name for name, model in SECTIONS.items() if not write_reference.own_keys(model)}
    assert sorted(named) == sorted(SECTIONS.keys() - without_keys)


def test_an_example_recipe_with_a_key_that_is_gone():
    recipe = config.validate(config.Recipe, read_yaml(ROOT / "examples" / "recipe.yaml"))
    assert recipe.student.layers == 3


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_recipe_in_the_text_with_a_key_that_is_gone(page):
    for block in blocks_of(page, "yaml"):
        content = parse_yaml(block["body"])
        if "presets" in content:
            config.validate(config.CompareConfig, content)
            continue
        if "depths" in content:
            config.validate(config.SweepConfig, content)
            continue
        if "corpus" in content:
            config.validate(config.PretrainRecipe, content)
            continue
        whole = {"teacher": {"model": "t"}, "data": {"source": "d"}, "student": {"layers": 1}, "output_dir": "o"}
        config.validate(config.Recipe, whole | content)


# ---- Facts that stand in two places ----


@pytest.mark.parametrize("name", [*config.preset_names(), *OBJECTIVES])
def test_a_preset_or_objective_without_a_paper(name):
    assert f"| `{name}` |" in (ROOT / "docs" / "papers.md").read_text()


@pytest.mark.parametrize("name", config.preset_names())
def test_a_presets_weights_told_otherwise(name):
    row = re.search(rf"^\| `{name}` \| (.*?) \|", (ROOT / "docs" / "papers.md").read_text(), re.MULTILINE)
    told = {term: float(weight) for weight, term in re.findall(r"([\d.]+) `(\w+)`", row[1])}
    objectives = config.validate(config.ObjectivesConfig, {"preset": name})
    stages = objectives.stages or [objectives]
    assert told == {term: keys.weight for stage in stages for term, keys in stage.terms().items()}


def test_an_axis_legend_that_differs_from_the_codes():
    legend = [line.strip() for line in signals.__doc__.splitlines() if line.startswith("    ")]
    assert len(legend) == 9
    assert "\n".join(legend) in (ROOT / "docs" / "concepts.md").read_text()


def test_a_page_that_the_navigation_lacks():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in navigation


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_link_to_a_file_that_is_gone(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def anchors_of(page: Path) -> set[str]:
    """The anchors of its headings, as both GitHub and MkDocs make them of ours."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=[*NAMES, "CHANGELOG.md"])
def test_a_link_to_a_heading_that_is_gone(page):
    for path, anchor in re.findall(r"\]\(((?!https?:)[^)#\s]*)#([^)\s]+)\)", page.read_text()):
        assert anchor in anchors_of(page.parent / path if path else page), f"{path}#{anchor}"


def test_a_path_of_someones_machine():
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git work tree")
    files = [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert [f for f in files if re.search(rb"/(home|root|Users)/\w", f.read_bytes())] == []


@pytest.mark.parametrize(
    ("size", "command"),
    [("standard", "make demo"), ("quick", "codir demo --quick"), ("full", "codir demo --full")],
)
def test_a_size_of_the_demo_in_the_readme_that_no_run_gave(size, command):
    report = json.loads((ROOT / "benchmarks" / "results" / "demo" / size / "report.json").read_text())
    scores = (report[model]["metrics"]["accuracy"] for model in ("teacher", "student", "baseline"))
    row = " | ".join([f"`{command}`", *(f"{score:.1%}" for score in scores)])
    assert f"| {row} |" in (ROOT / "README.md").read_text()


def test_a_curve_in_the_log_that_no_run_gave():
    results = json.loads((ROOT / "benchmarks" / "results" / "anchors" / "results.json").read_text())
    log = (ROOT / "docs" / "log.md").read_text()
    assert len(results["runs"]) == 4
    for run in results["runs"]:
        first, second, *_, last = run["contrastive"]
        row = f"| {run['anchor']} | {run['negatives']} | {first:.2f} | {second:.2f} | {last:.2f} |"
        assert row in log


def test_a_promise_whose_test_is_gone():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 40
    missing = [
        (file, test)
        for file, test in named
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text())
    ]
    assert missing == []


def test_counts_of_torture_that_the_page_makes_up():
    page = (ROOT / "docs" / "reliability.md").read_text()
    folder = ROOT / "benchmarks" / "results" / "reliability"
    names = ("torture", "torture-files", "torture-inputs")
    kills, files, inputs = (json.loads((folder / f"{name}.json").read_text()) for name in names)
    assert f"{kills['kills']} kills in {kills['runs']} runs" in page
    assert kills["lost"] == kills["different"] == kills["left_behind"] == []
    verdicts = sum((Counter(one) for one in files["verdicts"].values()), Counter())
    assert f"{files['damaged']} damaged: {verdicts['repaired']} rebuilt or passed over" in page
    assert set(verdicts) <= {"repaired", "refused", "no effect", "unknowable"}
    refused = (f"{verdicts[verdict]} {word}" for verdict, word in (("refused", "refused"), ("no effect", "without")))
    assert all(count in page for count in (*refused, f"{verdicts['unknowable']} unknowable"))
    assert f"{inputs['inputs']:,} inputs: 0 tracebacks" in page
    assert inputs["wrong"] == []
