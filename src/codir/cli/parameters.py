"""From the table of flags to a Typer command. Its parameters are made when it is called or asked for `--help`.

So `codir --help` loads no recipe model.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from codir.cli.flags import COMMANDS, Command, Flag

if TYPE_CHECKING:
    from pydantic import BaseModel

    from codir.cli.given import Given
    from codir.errors import UserError

PANELS = {"data": "Data", "corpus": "Data", "teacher": "Models and objectives", "student": "Models and objectives"}
PANELS |= {"objectives": "Models and objectives", "training": "Training"}

Words = Annotated[list[str] | None, typer.Argument(hidden=True)]
RecipeFile = Annotated[
    list[str] | None, typer.Argument(metavar="[RECIPE]", help="YAML recipe. Flags override it.", show_default=False)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show results and errors only.")]
LogFile = Annotated[
    Path | None,
    typer.Option("--log-file", metavar="PATH", help="Also write what is shown to a file.", show_default=False),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Train a few steps, write nothing, and show what the run would take.")
]


def recipe_command(app: typer.Typer) -> Callable[[Callable[[Given], None]], Callable[[Given], None]]:
    """Add a command to the app that is given what was typed; the table has its flags, by the function's name."""

    def add(run: Callable[[Given], None]) -> Callable[[Given], None]:
        class Late(TyperCommand):
            def get_params(self, ctx: Any) -> Any:
                if not self.params:
                    whole = _build(run)
                    self.params, self.callback = whole.params, whole.callback
                return super().get_params(ctx)

        settings = {"ignore_unknown_options": True}  # they are reported together with all other mistakes
        app.command(run.__name__, help=inspect.getdoc(run), cls=Late, context_settings=settings)(_nothing)
        return run

    return add


def _words_of(command: Command) -> Any:
    """The annotation of what is typed without a flag: a recipe, a value, or nothing that `--help` shows."""
    if command.words is None:
        return RecipeFile if command.has_recipe else Words
    from codir.cli.fields import find_key

    key = find_key(command.load_model(), command.words)
    metavar = f"{command.words.upper()}..." if key.is_repeatable else command.words.upper()
    return Annotated[list[str] | None, typer.Argument(metavar=metavar, help=f"{key.description}.", show_default=False)]


def _nothing() -> None:
    """Stands in for the command until its parameters are made."""


def _build(run: Callable[[Given], None]) -> Any:
    command = COMMANDS[run.__name__]
    model = command.load_model()
    by_word = {_word(flag): flag for flag in command.flags}

    def called(words: list[str] | None = None, settings: list[str] | None = None, **typed: Any) -> None:
        how = {name: typed.pop(name) for name in ("quiet", "log_file", "dry_run") if name in typed}
        run(replace(_read(command, by_word, words or [], settings or [], typed), **how))

    parameters = [
        _parameter("words", _words_of(command), None),
        *(_parameter(_word(flag), option(model, flag, has_recipe=command.has_recipe), None) for flag in command.flags),
        *([_parameter("settings", _settings(model), None)] if command.has_recipe else []),
        *([_parameter("dry_run", DryRun, False)] if command.can_rehearse else []),
        *([_parameter("quiet", Quiet, False), _parameter("log_file", LogFile, None)] if command.takes_long else []),
        _parameter("debug", Debug, False),
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    alone.command()(called)
    return typer.main.get_command(alone)


def option(model: type[BaseModel], flag: Flag, *, has_recipe: bool = True) -> Any:
    """The annotation of a flag's parameter: all but its name comes from the field. Values are read as text.

    Args:
        model: of the command.
        flag: from the table.
        has_recipe: whether what is required may come from a recipe too.
    """
    from codir.cli.fields import find_key

    key = find_key(model, flag.key)
    said: dict[str, Any] = {"rich_help_panel": PANELS.get(flag.key.partition(".")[0]), "show_default": False}
    if flag.value is not None:
        text = flag.help or f"{key.description}."
        return Annotated[bool | None, typer.Option(flag.name, help=text, **said)]
    text = key.description.rstrip(".") + "."
    text += " Repeatable." if key.is_repeatable else ""
    if key.is_required:
        text += " [required, here or in the recipe]" if has_recipe else " [required]"
    elif key.shown_default is not None:
        text += f" [default: {key.shown_default}]"
    metavar = "|".join((key.type_word, *flag.also)) + ("[,...]" if flag.read else "")
    said |= {"help": text, "metavar": metavar}
    return Annotated[list[str] | None if key.is_repeatable else str | None, typer.Option(*flag.name.split(), **said)]


def _read(
    command: Command, flags: dict[str, Flag], words: list[str], settings: list[str], typed: dict[str, Any]
) -> Given:
    """Keep what was typed: flags that were not given leave the recipe alone.

    Args:
        command: from the table.
        flags: by the name of their parameter.
        words: the recipe file, and flags that the command does not have, with their values.
        settings: of `--set`.
        typed: values of flags, by the name of their parameter.
    """
    from codir.cli.fields import find_key
    from codir.cli.given import Given, read_recipe

    model = command.load_model()
    files, mistakes = _sort_words(words, command)
    given = {flag: typed[word] for word, flag in flags.items() if typed[word] not in (None, False, [], ())}
    values = {}
    for flag, text in given.items():
        is_number = find_key(model, flag.key).is_number
        read = flag.read or (_read_number if is_number else lambda text: text)
        values[flag.key] = read(text) if flag.value is None else flag.value
    if command.words is not None and files:
        values[command.words] = files if find_key(model, command.words).is_repeatable else files[0]
    file = Path(files[0]) if command.has_recipe and len(files) == 1 and not mistakes else None
    return Given(
        recipe=read_recipe(file, teacher_is_a_section=not any(flag.key == "teacher" for flag in command.flags)),
        values=values,
        flags={flag.key: flag.shown for flag in given},
        settings=settings,
        mistakes=mistakes,
        offered={flag.key: flag.shown for flag in command.flags},
        file=file,
    )


def _sort_words(words: list[str], command: Command) -> tuple[list[str], list[UserError]]:
    """Words without a flag, and a mistake for every other one; what follows an unknown flag is its value."""
    from codir.cli.fields import find_key
    from codir.errors import UserError

    files, mistakes, left = [], [], list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-") or word == "-":
            files.append(word)
            continue
        name, equals, value = word.partition("=")
        if not equals and left and not left[0].startswith("--"):
            value = left.pop(0)
        do = _suggest(name, value, command)
        mistakes.append(UserError(name, expected="a flag of this command", got=f"`{name}`", do=do))
    expected = "flags, and at most one recipe" if command.has_recipe else "flags alone"
    most: float = 1 if command.has_recipe else 0
    if command.words is not None:
        many = find_key(command.load_model(), command.words).is_repeatable
        expected, most = f"flags, and one {command.words}", float("inf") if many else 1
    if len(files) > most:
        got = " and ".join(f"`{file}`" for file in files)
        do = "name each value's flag; `--help` lists them"
        mistakes.append(UserError("command line", expected=expected, got=got, do=do))
    return files, mistakes


def _suggest(name: str, value: str, command: Command) -> str:
    """The flag that was meant, or the key where no flag sets it."""
    from codir.cli.fields import find_key
    from codir.config.explain import key_meant

    model, word = command.load_model(), name.lstrip("-").replace("-", "_")
    by_key = {flag.key: flag.shown for flag in command.flags}
    names = [one for flag in command.flags for one in flag.name.split()]
    meant = key_meant(model, word, near=False)
    if meant is None and (close := difflib.get_close_matches(name.replace("_", "-"), names, n=1)):
        return f"did you mean `{close[0]}`?"
    meant = meant or key_meant(model, word)
    if meant in by_key:
        return f"did you mean `{by_key[meant]}`?"
    if meant is not None and command.has_recipe:
        value = f"[{value}]" if find_key(model, meant).is_repeatable else value
        return f"did you mean `--set {meant}={value}`?"
    return "leave it out; `--help` lists the flags"


def _read_number(text: str) -> int | float | str:
    """The number, or the text as it is for the recipe's own check."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _settings(model: type[BaseModel]) -> Any:
    """`--set`, with an example that this command understands."""
    example = "training.max_steps=20" if "training" in model.model_fields else "data.max_length=64"
    text = f"Any recipe key: `--set {example}`. Repeatable."
    return Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=text)]


def _word(flag: Flag) -> str:
    return flag.shown.removeprefix("--").replace("-", "_")
