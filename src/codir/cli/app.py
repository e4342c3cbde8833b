"""Words on the command line become a configuration, and a configuration becomes a run. Nothing is computed here.

Heavy imports are inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from codir.cli import options

if TYPE_CHECKING:
    from codir.measure import Comparison
    from codir.report import PretrainingResult, RunResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Make transformer encoders small and fast by contrastive distillation, and see what was kept.",
)
console = Console()


@app.command()
def demo(
    stage: Annotated[str, typer.Option(help="`finetune`, or `pretrain`: the stage before it, on IMDB.")] = "finetune",
    output_dir: Annotated[Path, typer.Option(help="Where teacher, student and report go.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="On a part of the data, for a look.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Distil MiniLM on Rotten Tomatoes: the main job, on data and a model that come with `codir[demo]`.

    Example: `codir demo --quick`
    """
    if stage not in ("finetune", "pretrain"):
        raise typer.BadParameter(f"expected `finetune` or `pretrain`, got {stage!r}", param_hint="--stage")
    _quiet_libraries()
    from codir.runs import run_demo, run_pretraining_demo

    if stage == "finetune":
        _show(run_demo(output_dir, quick=quick, seed=seed, overwrite=overwrite))
        return
    found = run_pretraining_demo(output_dir, quick=quick, seed=seed, overwrite=overwrite)
    _show_pretraining(found.pretraining)
    _show_metrics(found.accuracy, title="fine-tuned: accuracy")


@app.command()
def finetune(
    model: Annotated[str | None, typer.Option(help="Folder or hub name of a pre-trained model.")] = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    dev: options.Dev = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    task: options.Task = None,
    labels: options.Labels = None,
    max_length: options.MaxLength = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = None,
    precision: options.Precision = None,
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    settings: options.Settings = None,
    debug: options.Debug = False,
) -> None:
    """Make a teacher: fine-tune a pre-trained model on a task.

    `--task mlm` gives it a language-model head instead, on text without labels, so that it can teach `codir pretrain`.

    Example: `codir finetune --model bert-base-uncased --data glue:RTE --data-dir glue --output-dir teacher`
    """
    if task == "mlm":
        _pretrain(_adaptation(locals()), settings)
        return
    from codir.config import FinetuneConfig, deep_merge, parse_settings, validate

    flags = {
        "model": model,
        "data": _data_section(locals()),
        "training": _training_section(locals()),
        "output_dir": output_dir,
        "overwrite": overwrite,
        "resume": resume,
    }
    config = validate(FinetuneConfig, deep_merge(_given(flags), parse_settings(settings or [])))
    _quiet_libraries()
    from codir import runs

    _show_metrics(runs.finetune(config), title=config.data.source)


@app.command()
def distill(
    recipe_file: options.RecipeFile = None,
    teacher: options.Teacher = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    dev: options.Dev = None,
    unlabelled: Annotated[
        list[Path] | None, typer.Option(help="File of rows without labels. Repeatable.", show_default=False)
    ] = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    task: options.Task = None,
    labels: options.Labels = None,
    max_length: options.MaxLength = None,
    student_layers: options.StudentLayers = None,
    selection: Annotated[
        str | None, typer.Option(help="`lower`, `upper` or `every-other` (default).", show_default=False)
    ] = None,
    student: options.Student = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Objectives: `codir` (default), or another of `codir presets`.", show_default=False),
    ] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = None,
    precision: options.Precision = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run the teacher at every step.")] = False,
    cache_dir: options.CacheDir = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="Also train the student without a teacher.")] = False,
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    settings: options.Settings = None,
    debug: options.Debug = False,
) -> None:
    """Make a student: distil a teacher on a data set, by a YAML recipe, by flags, or by both.

    Example: `codir distill --teacher teacher --data glue:RTE --data-dir glue --student-layers 3 --output-dir student`
    """
    from codir.config import Recipe, deep_merge, parse_settings, read_yaml, validate

    flags = {
        "teacher": {"model": teacher, "cache": False if no_cache else None, "cache_dir": cache_dir},
        "data": _data_section(locals()),
        "student": {
            "layers": _numbers(student_layers, "--student-layers"),
            "selection": selection,
            "checkpoint": student,
        },
        "objectives": {"preset": preset},
        "training": _training_section(locals()),
        "output_dir": output_dir,
        "baseline": baseline or None,
        "overwrite": overwrite or None,
        "resume": resume or None,
    }
    content = _spell_out_shorthands(read_yaml(recipe_file)) if recipe_file else {}
    content = deep_merge(deep_merge(content, _given(flags)), parse_settings(settings or []))
    config = validate(Recipe, content)
    _quiet_libraries()
    from codir import runs

    _show(runs.distill(config))


@app.command()
def pretrain(
    recipe_file: options.RecipeFile = None,
    teacher: Annotated[str | None, typer.Option(help="Folder or hub name of a language model.")] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="Text, CSV, JSONL or Parquet files, a folder, or a hub name.", show_default=False),
    ] = None,
    documents: Annotated[
        str | None, typer.Option(help="In text files: `line` (default), `blank-line` or `file`.", show_default=False)
    ] = None,
    text_column: options.TextColumn = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens per sequence (128).", show_default=False)] = None,
    student_layers: options.StudentLayers = None,
    student: options.Student = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Objectives: `codir-pre` (default), or another of `codir presets`.", show_default=False),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps (10000).", show_default=False)] = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = None,
    precision: options.Precision = None,
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    settings: options.Settings = None,
    debug: options.Debug = False,
) -> None:
    """Pre-train a student for any task: distil a language model over a corpus of plain text.

    Example: `codir pretrain --teacher bert-base-uncased --corpus texts/ --student-layers 6 --output-dir student`
    """
    from codir.config import deep_merge, read_yaml

    epochs = None
    flags = {
        "teacher": teacher,
        "corpus": {
            "source": corpus,
            "documents": documents,
            "text_column": text_column,
            "max_length": max_length,
        },
        "student": {"layers": _numbers(student_layers, "--student-layers"), "checkpoint": student},
        "objectives": {"preset": preset},
        "training": {**_training_section(locals()), "max_steps": steps},
        "output_dir": output_dir,
        "overwrite": overwrite or None,
        "resume": resume or None,
    }
    content = _spell_out_shorthands(read_yaml(recipe_file), of_teacher=None) if recipe_file else {}
    _pretrain(deep_merge(content, _given(flags)), settings)


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="Model folder or hub name.")],
    data: options.Data = None,
    data_dir: options.DataDir = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    task: options.Task = None,
    labels: options.Labels = None,
    max_length: options.MaxLength = None,
    output: Annotated[Path | None, typer.Option(help="Also write the metrics as JSON.", show_default=False)] = None,
    debug: options.Debug = False,
) -> None:
    """Score a model folder on the dev part of a data set, in fp32.

    Example: `codir evaluate --model student --data glue:RTE --data-dir glue`
    """
    from codir.config import DataConfig, validate

    config = validate(DataConfig, _given(_data_section(locals())))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
    _quiet_libraries()
    import json

    from codir import runs

    metrics = runs.evaluate(model, config)
    if output is not None:
        output.write_text(json.dumps(metrics, indent=2))
    _show_metrics(metrics, title=config.source)


@app.command()
def compare(
    recipe_file: options.RecipeFile = None,
    preset_names: Annotated[
        str | None, typer.Option("--presets", help="Which: `kd,pkd,codir`.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many (`5`, the default), or which (`0,3,7`).", show_default=False)
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Preset that the others are compared with.", show_default=False)
    ] = None,
    teacher: options.Teacher = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    dev: options.Dev = None,
    max_length: options.MaxLength = None,
    student_layers: options.StudentLayers = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    cache_dir: options.CacheDir = None,
    jobs: Annotated[int | None, typer.Option(help="Runs side by side (1).", show_default=False)] = None,
    keep_students: Annotated[bool, typer.Option("--keep-students", help="Save every student.")] = False,
    output_dir: options.OutputDir = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do finished runs again.")] = False,
    settings: options.Settings = None,
    debug: options.Debug = False,
) -> None:
    """Compare objectives fairly: the same teacher, start, batches and steps for every preset of a seed.

    Finished runs are kept: started again, an interrupted comparison goes on where it was. The exit code is 1 where a
    run failed; the others are told all the same.

    Example: `codir compare recipe.yaml --presets fine-tune,kd,codir --seeds 5 --output-dir comparison`
    """
    from codir.config import CompareConfig, deep_merge, parse_settings, read_yaml, validate

    seed = None  # each run has its own
    content = _spell_out_shorthands(read_yaml(recipe_file)) if recipe_file else {}
    content = {key: value for key, value in content.items() if key not in ("baseline", "resume")}
    flags = {
        "teacher": {"model": teacher, "cache_dir": cache_dir},
        "data": _data_section(locals()),
        "student": {"layers": _numbers(student_layers, "--student-layers")},
        "presets": _entries(preset_names, content.get("presets")),
        "seeds": _numbers(seeds, "--seeds"),
        "reference": reference,
        "training": _training_section(locals()),
        "jobs": jobs,
        "keep_students": keep_students or None,
        "output_dir": output_dir,
        "overwrite": overwrite or None,
    }
    content = deep_merge(deep_merge(content, _given(flags)), parse_settings(settings or []))
    config = validate(CompareConfig, content)
    _quiet_libraries()
    _quiet_single_runs()
    from codir.runs import compare_presets

    comparison = compare_presets(config)
    _show_comparison(comparison)
    console.print(f"results.json, table.md and comparison.png: [bold]{config.output_dir}[/bold]")
    if comparison.failed:
        raise typer.Exit(1)


@app.command()
def presets(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: name, source, summary and objectives.")] = False,
    debug: options.Debug = False,
) -> None:
    """List the presets: what each descends, and whose method it is.

    Example: `codir presets --json`
    """
    from codir.config import preset_names, read_preset

    found = [{"name": name, **read_preset(name)} for name in preset_names()]
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("preset", "of codir", "what it descends", "source")
    for one in found:
        table.add_row(one["name"], one["command"], one["summary"], one["source"])
    console.print(table)


def _data_section(flags: Mapping[str, Any]) -> dict[str, Any]:
    names = ("data_dir", "dev", "unlabelled", "text_column", "text_pair_column", "label_column", "task", "max_length")
    section = {name: flags.get(name) for name in names}
    labels = flags.get("labels")
    return {"source": flags["data"], **section, "labels": labels.split(",") if labels else None}


def _training_section(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "num_train_epochs": flags["epochs"],
        "per_device_train_batch_size": flags["batch_size"],
        "learning_rate": flags["learning_rate"],
        "seed": flags["seed"],
        "precision": flags["precision"],
    }


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was said: flags that were not given leave the recipe alone."""
    kept = {key: _given(value) if isinstance(value, Mapping) else value for key, value in flags.items()}
    return {key: value for key, value in kept.items() if value is not None and value != {}}


def _entries(names: str | None, known: Any) -> list[Any] | None:
    """`--presets`: names of presets, or of a recipe's own entries."""
    if names is None:
        return None
    own = {entry["name"]: entry for entry in known or () if isinstance(entry, Mapping) and "name" in entry}
    return [own.get(name.strip(), name.strip()) for name in names.split(",")]


def _numbers(text: str | None, flag: str) -> int | list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"expected a number or numbers like 1,3,5, got {text!r}", param_hint=flag) from None
    return numbers[0] if len(numbers) == 1 else numbers


def _spell_out_shorthands(content: dict[str, Any], *, of_teacher: str | None = "model") -> dict[str, Any]:
    """`teacher: folder`, `data: file`, `corpus: file` and `objectives: codir` stand for their first keys."""
    first_keys = {"teacher": of_teacher, "data": "source", "corpus": "source", "objectives": "preset"}
    first_keys = {section: key for section, key in first_keys.items() if key}
    return {
        section: {first_keys[section]: value} if section in first_keys and isinstance(value, str) else value
        for section, value in content.items()
    }


def _show(result: RunResult) -> None:
    from codir.report import result_table

    console.print(result_table(result))
    console.print(f"Student, report.md, report.json and training_curves.png: [bold]{result.output_dir}[/bold]")


def _adaptation(flags: Mapping[str, Any]) -> dict[str, Any]:
    """`codir finetune --task mlm`: pre-training without a teacher, of a model that may have no head yet.

    Raises:
        UserError: flags of labelled data.
    """
    from codir.errors import UserError

    for name in ("data_dir", "dev", "text_pair_column", "label_column", "labels"):
        if flags[name] is not None:
            raise UserError(
                f"--{name.replace('_', '-')}",
                expected="nothing, with `--task mlm`, which reads text without labels",
                got=f"{flags[name]}",
                do="leave it out",
            )
    names = ("text_column", "max_length")
    section = {
        "student": {"checkpoint": flags["model"]},
        "corpus": {"source": flags["data"], **{name: flags[name] for name in names}},
        "objectives": "mlm",
        "training": {**_training_section(flags), "num_train_epochs": flags["epochs"] or 3},
        **{name: flags[name] for name in ("output_dir", "overwrite", "resume")},
    }
    return _given(section)


def _pretrain(content: dict[str, Any], settings: list[str] | None) -> None:
    from codir.config import PretrainRecipe, deep_merge, parse_settings, validate

    config = validate(PretrainRecipe, deep_merge(content, parse_settings(settings or [])))
    _quiet_libraries()
    from codir.runs import pretrain as run

    _show_pretraining(run(config))


def _show_pretraining(result: PretrainingResult) -> None:
    from rich.box import SIMPLE_HEAD

    table = Table(title=result.title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    rows = result.rows()
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
    console.print(f"Student, report.md, report.json and training_curves.png: [bold]{result.output_dir}[/bold]")


def _show_comparison(comparison: Comparison) -> None:
    from rich.box import SIMPLE_HEAD

    from codir.report import comparison_rows

    for student in comparison.students:
        rows = comparison_rows(comparison, student, comparison.first)
        title = f"{student}, {comparison.first}: means over seeds with 95% intervals"
        table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        for column in rows[0]:
            table.add_column(column, justify="left" if column == "preset" else "right", no_wrap=column == "preset")
        for row in rows:
            table.add_row(*(cell.strip("*") for cell in row.values()))
        console.print(table)
    for failure in comparison.failed:
        console.print(f"failed: {failure}", style="red", markup=False, soft_wrap=True)


def _show_metrics(metrics: Mapping[str, float], *, title: str) -> None:
    table = Table(title=title)
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    console.print(table)


def _quiet_single_runs() -> None:
    """Where runs are many, what each of them derives would bury which of them is done."""
    import logging

    for room in ("student", "teacher", "trainer"):
        logging.getLogger(f"codir.{room}").setLevel(logging.WARNING)


def _quiet_libraries() -> None:
    """Leave the progress bars of training and the warnings of codir; the rest is noise at a terminal."""
    import logging

    import datasets
    import transformers

    for library in ("huggingface_hub", "httpx"):
        logging.getLogger(library).setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("codir").setLevel(logging.INFO)
