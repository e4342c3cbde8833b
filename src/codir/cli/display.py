"""What a command shows while it runs: one live display in a terminal, plain lines anywhere else, and a log file.

Imports no torch: the first line stands before the heavy imports begin.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from codir.cli.failures import PlainFormatter
from codir.cli.watchers import Lines, Live, Several
from codir.errors import UserError, naming

if TYPE_CHECKING:
    from codir.system.progress import Watcher


@contextmanager
def shown(command: str, *, quiet: bool = False, log_file: Path | None = None) -> Iterator[None]:
    """Show what a command does while the block lasts, and keep third-party libraries silent.

    Args:
        command: its name, for the first line.
        quiet: show nothing but results and errors.
        log_file: gets the lines, the notes and the results too, with the time of each.
    """
    is_main = os.environ.get("RANK", "0") == "0"
    with ExitStack() as ends:
        watchers: list[Watcher] = []
        if is_main and log_file is not None:
            watchers.append(_open_log(log_file, ends))
        if is_main and not quiet:
            watchers.append(_open_screen(ends))
        for watcher in watchers:
            watcher.write(f"codir {command}: loading")  # type: ignore[attr-defined]
        silence_libraries(ends)
        from codir.system.progress import watched_by

        ends.enter_context(watched_by(Several(watchers)))  # without any, `Trainer` is silent all the same
        yield


def _open_screen(ends: ExitStack) -> Lines | Live:
    """Phases and notes on stderr."""
    from codir.cli import tables

    screen: Lines | Live
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        screen = Live()
        screen.start()
        ends.callback(screen.stop)
        tables.before_results.append(screen.stop)
        ends.callback(tables.before_results.clear)
    else:
        screen = Lines(_write_to_stderr)
    _take_notes(screen.write, logging.getLogger("codir"), PlainFormatter("%(message)s"), ends)
    return screen


def _write_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _open_log(path: Path, ends: ExitStack) -> Lines:
    """Phases, notes, results and the error at the end, in a file that grows."""
    from rich.console import Console

    from codir.cli import tables

    with naming(path):
        file = ends.enter_context(path.open("a", encoding="utf-8"))
    lines = Lines(lambda line: _write_to_file(file, line))
    _take_notes(lines.write, logging.getLogger(), PlainFormatter("%(message)s"), ends)
    results = Console(file=file, width=120)
    tables.consoles.append(results)
    ends.callback(tables.consoles.remove, results)
    ends.push(lambda kind, error, trace: _note_error(lines.write, error))
    return lines


def _write_to_file(file: IO[str], line: str) -> None:
    file.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}\n")
    file.flush()


def _note_error(write: Callable[[str], None], error: BaseException | None) -> None:
    from codir.errors.shown import plain

    if error is not None:
        for line in (f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())):
            write(plain(line))


class _Notes(logging.Handler):
    """Hands log records to a function, line by line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record))
        except Exception:
            self.handleError(record)


def _take_notes(
    write: Callable[[str], None], logger: logging.Logger, formatter: logging.Formatter, ends: ExitStack
) -> None:
    notes = _Notes(write)
    notes.setFormatter(formatter)
    logger.addHandler(notes)
    ends.callback(logger.removeHandler, notes)


def silence_libraries(ends: ExitStack) -> None:
    """Keep other libraries' bars, logs and warnings off the terminal; their warnings reach a log file.

    Args:
        ends: gets what sets Python's own doors back.
    """
    logging.getLogger("codir").setLevel(logging.INFO)
    root = logging.getLogger()
    nowhere = logging.NullHandler()  # without any handler, Python would write warnings to stderr
    root.addHandler(nowhere)
    ends.callback(root.removeHandler, nowhere)
    logging.captureWarnings(True)
    ends.callback(logging.captureWarnings, False)
    if not sys.warnoptions:
        ends.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import datasets
    import transformers

    transformers.logging.disable_default_handler()  # `Trainer` raises the verbosity again in all processes but one
    ends.callback(transformers.logging.enable_default_handler)
    transformers.logging.enable_propagation()
    ends.callback(transformers.logging.disable_propagation)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    for library in ("huggingface_hub", "httpx"):
        logging.getLogger(library).setLevel(logging.ERROR)


@cache
def no_fork_warning() -> None:
    """Forked processes tokenise without threads, which `tokenizers` would otherwise warn of in each of them."""
    os.register_at_fork(after_in_child=lambda: os.environ.setdefault("TOKENIZERS_PARALLELISM", "false"))


def check_log_file(path: Path | None, output_dir: Path | None) -> None:
    """Refuse a log file in the output folder, which has to be empty when a run begins."""
    if path is None or output_dir is None or not path.resolve().is_relative_to(output_dir.resolve()):
        return
    raise UserError(
        "--log-file",
        expected="a file outside the output folder, which is for the run's own files",
        got=str(path),
        do=f"choose another, such as {output_dir}.log",
    )
