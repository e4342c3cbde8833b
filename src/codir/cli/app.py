"""The commands. Each turns what was typed into a checked recipe, runs it and shows the result.

The flags are in `codir.cli.flags`. Heavy imports are inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from codir.cli import tables
from codir.cli.display import check_log_file, shown
from codir.cli.failures import PlainGroup
from codir.cli.parameters import Debug, LogFile, Quiet, recipe_command
from codir.errors import UserError

if TYPE_CHECKING:
    from codir.cli.given import Given
    from codir.config.words import DemoSize

OF_ONE_RUN = ("baseline", "resume", "keep_checkpoints", "push_to_hub")
NOT_COMPARED = (*OF_ONE_RUN, "report_texts")
"""Keys of a run's recipe that a comparison or a sweep of many has no use for."""

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Make transformer encoders small and fast by contrastive distillation, and measure what they keep.",
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from codir import __version__

        typer.echo(f"codir {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options of codir itself; its help text is the app's."""


@app.command()
def demo(
    stage: Annotated[
        Literal["finetune", "pretrain"],
        typer.Option(help="`finetune` distils on Rotten Tomatoes. `pretrain` is the stage before it, on IMDB."),
    ] = "finetune",
    output_dir: Annotated[Path, typer.Option(help="Folder for teacher, student and report.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Use a small part of the data.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Use all of the data; for stage `finetune` only.")] = False,
    seed: Annotated[int, typer.Option(help="Seed for every random choice.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in the folder.")] = False,
    quiet: Quiet = False,
    log_file: LogFile = None,
    debug: Debug = False,
) -> None:
    """Distil MiniLM on Rotten Tomatoes, with the model and the data that come with `codir[demo]`.

    It trains on a part of the rows, with `--quick` on a smaller one, and with `--full` on all of them.

    Example: `codir demo --quick`
    """
    size = _size_of_demo(stage, quick=quick, full=full)
    check_log_file(log_file, output_dir)
    with shown("demo", quiet=quiet, log_file=log_file):
        from codir.runs import run_demo, run_pretraining_demo

        if stage == "finetune":
            tables.show_result(run_demo(output_dir, size=size, seed=seed, overwrite=overwrite))
            return
        found = run_pretraining_demo(output_dir, quick=quick, seed=seed, overwrite=overwrite)
        tables.show_pretraining(found.pretraining)
        tables.show_metrics(found.accuracy, title="fine-tuned: accuracy")


@recipe_command(app)
def finetune(given: Given) -> None:
    """Make a teacher: fine-tune a pre-trained model on a task.

    `--task mlm` trains a language-model head instead, on text without labels. The model can then teach
    `codir pretrain`.

    Example: `codir finetune --model bert-base-uncased --data glue:RTE --data-dir glue --output-dir teacher`
    """
    from codir.cli.advice import after_finetuning
    from codir.cli.fields import find_key
    from codir.cli.given import as_adaptation, is_adaptation
    from codir.config import FinetuneConfig

    if is_adaptation(given):
        pretrain(as_adaptation(given, epochs=find_key(FinetuneConfig, "training.num_train_epochs").default))
        return
    config = given.config(FinetuneConfig)
    with _shown("finetune", given, config.output_dir):
        from codir import runs

        if given.dry_run:
            tables.show_rehearsal(runs.rehearse(config))
            return
        tables.show_metrics(runs.finetune(config), title=str(config.data.dev or config.data.source))
        tables.show_model(config.output_dir, then=after_finetuning(config))


@recipe_command(app)
def distill(given: Given) -> None:
    """Make a student: distil a teacher on a data set.

    Example: `codir distill --teacher teacher --data glue:RTE --data-dir glue --student-layers 3 --output-dir student`
    """
    from codir.cli.advice import after_distilling
    from codir.config import Recipe

    config = given.config(Recipe)
    with _shown("distill", given, config.output_dir):
        from codir import runs

        if given.dry_run:
            tables.show_rehearsal(runs.rehearse(config))
            return
        result = runs.distill(config)
        tables.show_result(result)
        tables.show_next(after_distilling(config, result.judgement))


@recipe_command(app)
def pretrain(given: Given) -> None:
    """Pre-train a student for any task: distil a language model on plain text.

    Example: `codir pretrain --teacher bert-base-uncased --corpus texts/ --student-layers 6 --output-dir student`
    """
    from codir.config import PretrainRecipe

    config = given.config(PretrainRecipe)
    with _shown("pretrain", given, config.output_dir):
        from codir import runs

        if given.dry_run:
            tables.show_rehearsal(runs.rehearse(config))
            return
        tables.show_pretraining(runs.pretrain(config))


@recipe_command(app)
def evaluate(given: Given) -> None:
    """Score a model on the evaluation part of a data set, in fp32.

    With the recipe of a run, it scores the model in the run's output folder on the run's evaluation sets. With
    `--against`, it says how far a second model answers alike, and whether one of the two is better.

    Example: `codir evaluate --model student --data glue:RTE --data-dir glue`
    """
    from codir.cli.given import recipe_of_evaluation, run_of_data
    from codir.config import EvaluateConfig

    config = replace(given, recipe=recipe_of_evaluation(given)).config(EvaluateConfig)
    with _shown("evaluate", given):
        from codir import runs
        from codir.runs.answers import files_of
        from codir.runs.inputs import check_apart

        for key, file in files_of(config) if given.file else ():
            check_apart(file, {"recipe": [str(given.file)]}, key=key)
        tables.show_evaluation(runs.examine(**dict(config), of_run=run_of_data(given)))


@recipe_command(app)
def export(given: Given) -> None:
    """Make a model run without PyTorch: ONNX or OpenVINO, in fp32 or int8, checked against it on real rows.

    With the output folder of a run, the rows are the run's. The new folder has the model, its tokenizer, a script that
    runs it, and what was measured.

    Example: `codir export student --int8 --output-dir student-int8`
    """
    from codir.cli.given import with_data_of_run
    from codir.config import ExportConfig

    given, of_run = with_data_of_run(given)
    config = given.config(ExportConfig)
    with _shown("export", given):
        from codir import runs

        tables.show_export(runs.export_model(config, of_run=of_run))


@recipe_command(app)
def benchmark(given: Given) -> None:
    """Time models beside one another on your own texts: teacher, student, exported ones, any folder or graph file.

    Example: `codir benchmark teacher student student-int8 --data dev.csv`
    """
    from codir.cli.given import with_data_of_run
    from codir.config import BenchmarkConfig

    given, of_run = with_data_of_run(given)
    config = given.config(BenchmarkConfig)
    with _shown("benchmark", given):
        from codir import runs

        tables.show_benchmark(runs.benchmark(config, of_run=of_run), config.output_dir)


@recipe_command(app)
def compare(given: Given) -> None:
    """Compare objectives fairly: for each seed, every preset has the same teacher, start, batches and steps.

    Finished runs are kept, so an interrupted comparison continues where it stopped. If a run fails, the results of the
    others are still reported and the exit code is 1.

    Example: `codir compare recipe.yaml --presets fine-tune,kd,codir --seeds 5 --output-dir comparison`
    """
    from codir.config import CompareConfig

    recipe = {key: value for key, value in given.recipe.items() if key not in NOT_COMPARED}
    values = {**given.values}
    if "presets" in values:
        values["presets"] = _entries(values["presets"], recipe.get("presets"))
    config = replace(given, recipe=recipe, values=values).config(CompareConfig)
    with _shown("compare", given, config.output_dir):
        _quiet_single_runs()
        from codir.runs import compare_presets

        comparison = compare_presets(config)
        tables.show_comparison(comparison, config.output_dir)
    if comparison.failed:
        raise typer.Exit(1)


@recipe_command(app)
def sweep(given: Given) -> None:
    """Find out how small the student may be: several from one teacher, each distilled, exported and timed.

    The smallest student inside the tolerance is marked, with the interval that says how sure that is. Finished students
    are kept, so an interrupted sweep continues where it stopped. If a student fails, the results of the others are
    still reported and the exit code is 1.

    Example: `codir sweep recipe.yaml --depths 1,2,3 --int8 --tolerate 1.0 --output-dir sweep`
    """
    from codir.config import SweepConfig

    recipe = {key: value for key, value in given.recipe.items() if key not in OF_ONE_RUN}
    config = replace(given, recipe=recipe).config(SweepConfig)
    with _shown("sweep", given, config.output_dir):
        _quiet_single_runs()
        from codir import runs

        result = runs.sweep(config)
        tables.show_sweep(result)
    if result.failed:
        raise typer.Exit(1)


@recipe_command(app)
def plan(given: Given) -> None:
    """Show what a run of some size would take, before it is started: disk, memory and messages.

    It also shows whether the teacher would be cached or run live, and whether negatives would be kept in a bank or a
    queue, on this machine or on one with the free memory and disk that you give.

    Example: `codir plan --rows 1000000 --layers 12 --hidden 768 --free-memory 64GB --free-disk 1TB`
    """
    from codir.cli.sizes import PlanConfig

    config = given.config(PlanConfig)
    with _shown("plan", given):
        from codir.runs.plan import plan_on_paper

        tables.show_plan(plan_on_paper(**config.model_dump()))


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Show this one alone, with all that it says.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: name, source, summary and objectives.")] = False,
    debug: Debug = False,
) -> None:
    """List the presets: what each one minimises, and whose method it is.

    Example: `codir presets pkd`
    """
    from codir.config import preset_names, read_preset

    found = [{"name": one, **read_preset(one)} for one in ([name] if name is not None else preset_names())]
    if not as_json:
        if name is not None:
            tables.show_preset(found[0])
        else:
            tables.show_presets(found)
        return
    import json

    typer.echo(json.dumps(found, indent=2))


def _size_of_demo(stage: str, *, quick: bool, full: bool) -> DemoSize:
    """The size that the flags name.

    Raises:
        UserError: they name two, or one that the stage does not have.
    """
    if quick and full:
        raise UserError(
            "the size of the demo",
            expected="`--quick` or `--full`",
            got="both",
            do="leave out one of them; without either, it trains on a part of the rows that is between the two",
        )
    if full and stage == "pretrain":
        raise UserError(
            "--full",
            expected="the stage `finetune`, which reads all of its data only where it is asked to",
            got="`--stage pretrain`, which does so without it",
            do="leave out `--full`",
        )
    from codir.config.words import DEMO_SIZE

    return "quick" if quick else "full" if full else DEMO_SIZE


def _shown(command: str, given: Given, output_dir: Path | None = None) -> AbstractContextManager[None]:
    """Show what a command does, as it was asked to."""
    check_log_file(given.log_file, output_dir)
    return shown(command, quiet=given.quiet, log_file=given.log_file)


def _entries(names: list[str], known: Any) -> list[Any]:
    """`--presets`: names of presets, or of a recipe's own entries."""
    own = {entry["name"]: entry for entry in known or () if isinstance(entry, Mapping) and "name" in entry}
    return [own.get(name, name) for name in names]


def _quiet_single_runs() -> None:
    """In a comparison or a sweep, the notes of each run would hide which runs are done."""
    import logging

    for room in ("student", "teacher", "trainer"):
        logging.getLogger(f"codir.{room}").setLevel(logging.WARNING)
