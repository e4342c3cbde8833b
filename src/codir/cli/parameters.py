"""From the table of flags to a Typer command. Its parameters are made when it is called or asked for `--help`.

So `codir --help` loads no recipe model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from codir.cli.flags import COMMANDS, MISTAKEN, Flag

if TYPE_CHECKING:
    from pydantic import BaseModel

    from codir.cli.given import Given
    from codir.errors import UserError

PANELS = {"data": "Data", "corpus": "Data", "teacher": "Models and objectives", "student": "Models and objectives"}
PANELS |= {"objectives": "Models and objectives", "training": "Training"}

RecipeFile = Annotated[
    Path | None, typer.Argument(metavar="[RECIPE]", help="YAML recipe. Flags override it.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any recipe key: `--set training.max_steps=20`. Repeatable."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def recipe_command(app: typer.Typer) -> Callable[[Callable[[Given], None]], Callable[[Given], None]]:
    """Add a command to the app that is given what was typed; the table has its flags, by the function's name."""

    def add(run: Callable[[Given], None]) -> Callable[[Given], None]:
        class Command(TyperCommand):
            def get_params(self, ctx: Any) -> Any:
                if not self.params:
                    whole = _build(run)
                    self.params, self.callback = whole.params, whole.callback
                return super().get_params(ctx)

        app.command(run.__name__, help=inspect.getdoc(run), cls=Command)(_nothing)
        return run

    return add


def _nothing() -> None:
    """Stands in for the command until its parameters are made."""


def _build(run: Callable[[Given], None]) -> Any:
    command = COMMANDS[run.__name__]
    model = command.load_model()
    by_word = {_word(flag): flag for flag in command.flags}

    def called(recipe_file: Path | None = None, settings: list[str] | None = None, **typed: Any) -> None:
        run(_read(model, by_word, recipe_file, settings or [], typed))

    parameters = [
        *([_parameter("recipe_file", RecipeFile, None)] if command.has_recipe else []),
        *(_parameter(_word(flag), option(model, flag, has_recipe=command.has_recipe), None) for flag in command.flags),
        *(_parameter(_mistaken(name), _hidden(name), None) for name in MISTAKEN if not _has(command.flags, name)),
        *([_parameter("settings", Settings, None)] if command.has_recipe else []),
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
        text = f"{key.description}." if flag.value else f"Set `{flag.key}` to false. {key.description}."
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
    model: type[BaseModel], flags: dict[str, Flag], file: Path | None, settings: list[str], typed: dict[str, Any]
) -> Given:
    """Keep what was typed: flags that were not given leave the recipe alone."""
    from codir.cli.fields import find_key
    from codir.cli.given import Given, read_recipe

    given = {flag: typed[word] for word, flag in flags.items() if typed[word] not in (None, False, [], ())}
    values = {}
    for flag, text in given.items():
        is_number = find_key(model, flag.key).is_number
        read = flag.read or (_read_number if is_number else lambda text: text)
        values[flag.key] = read(text) if flag.value is None else flag.value
    return Given(
        recipe=read_recipe(file, teacher_is_a_section=not any(flag.key == "teacher" for flag in flags.values())),
        values=values,
        flags={flag.key: flag.shown for flag in given},
        settings=settings,
        mistakes=[_mistake(name, flags) for name in MISTAKEN if typed.get(_mistaken(name)) is not None],
    )


def _read_number(text: str) -> int | float | str:
    """The number, or the text as it is for the recipe's own check."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _mistake(name: str, flags: dict[str, Flag]) -> UserError:
    from codir.errors import UserError

    meant = next((flag.shown for flag in flags.values() if flag.key == MISTAKEN[name]), None)
    do = f"did you mean `{meant}`?" if meant else "leave it out"
    return UserError(name, expected="a flag of this command", got=f"`{name}`", do=do)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _hidden(name: str) -> Any:
    return Annotated[str | None, typer.Option(name, hidden=True)]


def _has(flags: tuple[Flag, ...], name: str) -> bool:
    return any(name in flag.name.split() for flag in flags)


def _word(flag: Flag) -> str:
    return flag.shown.removeprefix("--").replace("-", "_")


def _mistaken(name: str) -> str:
    return "mistaken_" + name.removeprefix("--").replace("-", "_")
