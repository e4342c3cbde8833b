"""The output folder of a run: refused, locked, claimed, resumed in, and left whole or as it was.

What replaces what is decided by the list of the run's own files (`codir.store.Ledger`); other files are never touched.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from codir.config import AnyRun, parse_yaml
from codir.errors import CompleteError, UserError
from codir.errors.shown import redacted
from codir.report import CARD_NAME, REPORT_NAME
from codir.runs.hub import push
from codir.runs.inputs import check_apart, inputs_of
from codir.runs.words import command_again, how_to_go_on, telling
from codir.store import (
    HOLDER_NAME,
    LEDGER_NAME,
    LOCK_NAME,
    REPLACED_NAME,
    Ledger,
    is_scratch,
    locked_folder,
    nearest_there,
    sweep,
    write_whole,
)
from codir.system import is_main_process, on_main
from codir.trainer import DistillationTrainer
from codir.trainer.checkpoints import last_complete_checkpoint, remove, run_of

logger = logging.getLogger(__name__)

RECORD_NAME = "recipe.yaml"
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
PRODUCTS = ("config.json", *WEIGHTS, *TOKENIZER, "report.md", REPORT_NAME, "training_curves.png")
"""Names of what a run leaves, beside its record: where codir kept no list yet, these were a run's files."""
SINCE_THERE_ARE_LISTS = ("report.html", CARD_NAME)
"""Names of what runs leave since then."""
CHECKPOINTS = ("checkpoints", "baseline/checkpoints")

MAY_CHANGE = frozenset(
    {
        "output_dir",
        "keep_checkpoints",
        "push_to_hub",
        "report_texts",
        "training.learning_rate",
        "training.precision",
        "training.max_grad_norm",
        "training.warmup_steps",
        "training.logging_steps",
        "training.save_total_limit",
        "training.per_device_eval_batch_size",
        "training.dataloader_num_workers",
        "training.dataloader_pin_memory",
        "training.dataloader_persistent_workers",
        "training.dataloader_prefetch_factor",
        "training.disable_tqdm",
        "training.report_to",
        "training.run_name",
        "training.ddp_timeout",
        "training.ddp_backend",
        "teacher.cache_dir",
        "corpus.cache_dir",
        "corpus.num_proc",
    }
)
"""Keys that may change when a run is resumed: what rescues a run whose loss is not finite, and what sets only speed,
logs or places. All others decide what the run is, and a checkpoint of one run is no start for another."""
BEFORE: Mapping[str, Mapping[str, Any]] = {"contrastive": {"warmup_steps": 0}}
"""What runs did before a key came, by section, where its default does something else."""


class RunFolder:
    """The output folder of one run, while it is locked by this run. The main process alone writes to it."""

    def __init__(self, config: AnyRun) -> None:
        self.config, self.path = config, config.output_dir
        self.ledger = Ledger(self.path)
        self.is_claimed = False

    def claim(self) -> None:
        """Note the recipe in the folder, as soon as nothing cheap is left to refuse; an earlier run is set aside."""
        on_main(self._claim)
        self.is_claimed = True

    def _claim(self) -> None:
        check_output_dir(self.config)
        record = self.path / RECORD_NAME
        if self.config.resume and record.exists():
            self._list_an_older_run()
            self.ledger.reopen()
        else:
            self._set_aside()
            self.ledger.begin(files=[RECORD_NAME], checkpoints=CHECKPOINTS)
        write_whole(record, record_of(self.config))

    def _set_aside(self) -> None:
        self._list_an_older_run()
        refuse_foreign(self.path, [RECORD_NAME, *PRODUCTS, *SINCE_THERE_ARE_LISTS], self.ledger)
        if self.ledger.exists():
            self.ledger.set_aside()
            kept = self.path / REPLACED_NAME
            logger.warning("The earlier run is kept in %s until this one is complete, and then removed.", kept)

    def _list_an_older_run(self) -> None:
        """A run of an earlier codir kept no list of its files: those of the names that it wrote are its own."""
        if self.ledger.exists() or not is_our_record(self.path / RECORD_NAME):
            return
        places = (self.path, self.path / "baseline")
        found = [path for place in places for pattern in PRODUCTS for path in place.glob(pattern)]
        if not found and not any((self.path / name).is_dir() for name in CHECKPOINTS):
            return  # a recipe alone may be the user's own
        self.ledger.begin(files=[RECORD_NAME, *names_of(found, self.path)], checkpoints=CHECKPOINTS)
        if (self.path / REPORT_NAME).exists():
            self.ledger.finish()

    def checkpoint_of(self, trainer: DistillationTrainer) -> str | None:
        """Where to go on from, if that was asked for and there is a checkpoint."""
        newest = trainer.last_checkpoint() if self.config.resume else None
        return None if newest is None else str(newest)

    def finish(self) -> None:
        """The run is whole: what it replaced goes, and so do its checkpoints."""
        if self.is_claimed:
            on_main(self._finish)
            on_main(self.push)

    def push(self) -> None:
        """Push what a finished run left to the hub, where that was asked for."""
        if self.config.push_to_hub:
            push(self.path, self.ledger.names(), self.config.push_to_hub)

    def _finish(self) -> None:
        self.ledger.finish()
        self.drop_checkpoints()

    def drop_checkpoints(self) -> None:
        """Remove the checkpoints of a run that is whole, unless they are to be kept; nothing else is touched."""
        if self.config.keep_checkpoints:
            return
        for checkpoint in self.ledger.checkpoints():
            remove(checkpoint, run_of(checkpoint) or "")
        for name in CHECKPOINTS:
            with suppress(OSError):  # there is something else in it
                (self.path / name).rmdir()

    def is_complete(self) -> bool:
        """Whether the run in the folder came to its end, and what it was for is still there."""
        if not self.ledger.is_whole():
            return False
        patterns = ("config.json", *WEIGHTS, REPORT_NAME)
        left = [name for name in self.ledger.names() if any(fnmatchcase(name, pattern) for pattern in patterns)]
        return bool(left) and all((self.path / name).is_file() for name in left)

    def fail(self, error: BaseException) -> None:
        """Leave the folder as it was where a run failed before its first checkpoint; else say how to go on."""
        if not self.is_claimed or not is_main_process():
            return
        saved = last_complete_checkpoint(self.path / CHECKPOINTS[0])
        if isinstance(error, Exception) and saved is None and not self.config.resume:
            self.ledger.put_back()
            return
        if not isinstance(error, UserError):
            error.add_note(how_to_go_on(saved, command_again()))
        if self.ledger.replaced.is_dir():
            error.add_note(f"The run that this one was to replace is kept in {self.ledger.replaced}.")


@contextmanager
def run_folder(config: AnyRun, *, inside: Sequence[str] = ()) -> Iterator[RunFolder]:
    """Keep the output folder to this run while the block lasts.

    Args:
        config: of the run.
        inside: inputs that may lie in the output folder, since the caller put them there.

    Raises:
        UserError: the folder is in use, holds something else, or holds an input; or the other way round.
        CompleteError: the run that was to be resumed came to its end.
    """
    folder = RunFolder(config)
    with ExitStack() as held:
        on_main(_enter, folder, inside, held)
        with telling(folder.fail):
            yield folder
        folder.finish()


def _enter(folder: RunFolder, inside: Sequence[str], held: ExitStack) -> None:
    check_apart(folder.path, inputs_of(folder.config), inside=inside)
    check_output_dir(folder.config)
    held.enter_context(kept_to_one_run(folder.path))
    if folder.config.resume and folder.is_complete():
        folder.drop_checkpoints()  # it may have been killed before it did
        folder.push()  # as one that failed then can be made up for
        raise CompleteError(
            f"The run in {folder.path} is complete: its model is there, and nothing is left to go on with. "
            "To start anew, pass `--overwrite`."
        )
    held.enter_context(folder.ledger.listing())


@contextmanager
def model_replaced(folder: Path) -> Iterator[None]:
    """For a model that no run of its own makes: what was made so before is replaced, and nothing else."""
    ledger = Ledger(folder)
    with kept_to_one_run(folder):
        refuse_foreign(folder, PRODUCTS, ledger)
        if ledger.exists():
            ledger.set_aside()
        ledger.begin()
        with ledger.listing():
            yield
        ledger.finish()


@contextmanager
def kept_to_one_run(folder: Path) -> Iterator[None]:
    """Lock a folder, and remove what killed runs left in it; a folder that stays empty goes again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with locked_folder(folder):
            sweep(folder)
            yield
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()


def check_output_dir(config: AnyRun) -> None:
    """Refuse a folder that is not empty, unless it may be overwritten or the same recipe is resumed in it."""
    folder, record = config.output_dir, config.output_dir / RECORD_NAME
    check_writable(folder)
    for name in CHECKPOINTS:
        if (folder / name).is_symlink():
            raise UserError(
                "output_dir",
                expected="a folder whose checkpoints lie in it",
                got=f"{folder / name}, which is a symbolic link",
                otherwise="checkpoints of another run could have been resumed",
                do="choose an output folder on the other disk",
            )
    if config.resume and os.path.lexists(record):
        refuse_other_recipe(with_defaults(read_record(record), config), parse_yaml(record_of(config)), record)
    elif not config.overwrite and not (config.resume and is_free(folder, also=(LEDGER_NAME, REPLACED_NAME))):
        check_empty(folder, "choose another folder, pass `--overwrite`, or `--resume` to go on with an interrupted run")


def is_free(folder: Path, also: Sequence[str] = ()) -> bool:
    """Whether a folder is not there, or holds only what killed runs leave for the next start to remove.

    Args:
        folder: of a run.
        also: names that do not count either, such as the list of a run that was killed before it wrote its record.
    """
    passing = (LOCK_NAME, HOLDER_NAME, *also)
    return not folder.exists() or all(path.name in passing or is_scratch(path) for path in folder.iterdir())


def check_empty(folder: Path, do: str) -> None:
    """Refuse a folder that holds something."""
    if not is_free(folder):
        expected, got = "a folder that is empty or not there yet", f"{folder}, which is not empty"
        raise UserError("output_dir", expected=expected, got=got, do=do)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    there = nearest_there(folder)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(
            "output_dir",
            expected="a folder that can be made",
            got=f"{folder}",
            do="choose another with `--output-dir`",
        )


def refuse_foreign(folder: Path, patterns: Sequence[str], ledger: Ledger) -> None:
    """Refuse to write over files of a run's names that no run of codir wrote."""
    own = ledger.names()
    found = sorted(names_of([path for pattern in patterns for path in folder.glob(pattern)], folder))
    foreign = [name for name in found if name not in own]
    if foreign:
        raise UserError(
            "output_dir",
            expected="a folder in which codir replaces nothing but its own files",
            got=f"{folder} with {', '.join(foreign[:5])}, which no run of codir wrote there",
            otherwise="they would have been lost",
            do="choose another folder, or move them away",
        )


def names_of(paths: Sequence[Path], folder: Path) -> list[str]:
    """Paths relative to the folder."""
    return [path.relative_to(folder).as_posix() for path in paths]


def is_our_record(record: Path) -> bool:
    """Whether a file is a recipe that codir wrote."""
    try:
        content = parse_yaml(record.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return False
    return isinstance(content, Mapping) and {"training", "output_dir"} <= content.keys()


def read_record(record: Path) -> Mapping[str, Any]:
    """The recipe of the run in a folder.

    Raises:
        UserError: the file is damaged.
    """
    if is_our_record(record):
        return dict(parse_yaml(record.read_text("utf-8")))
    raise UserError(
        "--resume",
        expected=f"the recipe of the interrupted run in {record}",
        got="a file that cannot be read as one",
        otherwise="nothing would have shown whether its checkpoints belong to this recipe",
        do=f"delete or restore {record.name}; without it, start anew with `--overwrite`",
    )


def with_defaults(earlier: Mapping[str, Any], config: AnyRun) -> Mapping[str, Any]:
    """A record with the keys that codir did not have yet when it was written, at their defaults or `BEFORE`."""
    try:
        return dict(parse_yaml(record_of(type(config).model_validate(_as_before(earlier)))))
    except UserError:  # of keys that codir no longer has
        return earlier


def _as_before(content: Any, section: str = "") -> Any:
    """A part of a record, with the keys of `BEFORE` wherever their section stands without them."""
    if isinstance(content, list):
        return [_as_before(part) for part in content]
    if not isinstance(content, Mapping):
        return content
    return {**BEFORE.get(section, {}), **{name: _as_before(part, name) for name, part in content.items()}}


def record_of(config: AnyRun) -> str:
    """What `recipe.yaml` holds: every setting, with defaults filled in."""
    content = redacted(config.model_dump(mode="json", exclude={"overwrite", "resume"}))
    return str(yaml.safe_dump(content, sort_keys=False))


def refuse_other_recipe(earlier: Mapping[str, Any], now: Mapping[str, Any], record: Path) -> None:
    """Refuse to resume with settings that decide what the run is; others may change, and are named."""
    changed = changed_values(earlier, now)
    deciding = [key for key in changed if key not in MAY_CHANGE]
    if deciding:
        of_training = sorted(key.removeprefix("training.") for key in MAY_CHANGE if key.startswith("training."))
        raise UserError(
            "--resume",
            expected=f"the recipe of the interrupted run ({record})",
            got=f"another one: {', '.join(_told(key, *changed[key]) for key in deciding)}",
            do="resume with the same settings, or start anew with `--overwrite`; of `training`, these may change: "
            + ", ".join(of_training),
        )
    for key in changed:
        if key not in ("output_dir", "keep_checkpoints", "push_to_hub"):
            logger.warning("Resumed with another `%s`.", key)


def _told(key: str, was: Any, is_now: Any) -> str:
    """That a key changed, and where it is a number, from what to what."""
    are_numbers = isinstance(was, int | float) and isinstance(is_now, int | float)
    return f"{key} changed from {was} to {is_now}" if are_numbers else f"{key} changed"


def changed_values(earlier: Any, now: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, with their sections: what they were and what they are.

    Example:
        >>> changed_values({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"x": 1, "y": 3}, "c": 1})
        {'a.y': (2, 3), 'b': (1, None), 'c': (None, 1)}
    """
    if not isinstance(earlier, Mapping) or not isinstance(now, Mapping):
        return {} if earlier == now else {prefix.removesuffix("."): (earlier, now)}
    keys = [*earlier, *(key for key in now if key not in earlier)]
    parts = (changed_values(earlier.get(key), now.get(key), f"{prefix}{key}.") for key in keys)
    return {name: change for part in parts for name, change in part.items()}
