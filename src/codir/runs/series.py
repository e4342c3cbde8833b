"""The output folder of several runs that belong together: finished ones are kept in it, or set aside and done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from codir.config import CompareConfig, SweepConfig, parse_yaml
from codir.errors import UserError
from codir.errors.shown import redacted
from codir.runs.inputs import check_apart, inputs_of
from codir.runs.output import (
    RECORD_NAME,
    check_writable,
    is_free,
    is_our_record,
    kept_to_one_run,
    refuse_foreign,
)
from codir.runs.words import command_again, telling
from codir.store import Ledger, write_whole


@dataclass(frozen=True)
class Series:
    """What a folder of several runs holds.

    Attributes:
        what: a comparison, or a sweep, with its article.
        key: of the recipe, that no other kind of recipe has.
        products: names of what it leaves beside its record and its runs.
        kept: folder of what is finished.
        finished: what that is, in the plural.
    """

    what: str
    key: str
    products: tuple[str, ...]
    kept: str
    finished: str


class SeriesFolder:
    """The output folder of one comparison or sweep, while it is locked by it."""

    def __init__(self, config: CompareConfig | SweepConfig, series: Series) -> None:
        self.config, self.series, self.path = config, series, config.output_dir
        self.record, self.ledger = self.path / RECORD_NAME, Ledger(config.output_dir)
        self.is_claimed = False

    def claim(self) -> None:
        """Note the recipe in the folder, once nothing is left to refuse; finished runs are set aside if that was asked.

        Until the series is complete they stay in `.replaced/`.
        """
        refuse_foreign(self.path, [RECORD_NAME, *self.series.products], self.ledger)
        if self.config.overwrite and self.ledger.exists():
            self.ledger.set_aside()
        if self.config.overwrite or not self.ledger.exists():
            self.ledger.begin(files=[RECORD_NAME])
        else:
            self.ledger.reopen()
        content = redacted(self.config.model_dump(mode="json", exclude={"overwrite"}))
        write_whole(self.record, str(yaml.safe_dump(content, sort_keys=False)))
        self.is_claimed = True

    def finish(self) -> None:
        """The series is complete: what it replaced goes."""
        self.ledger.finish()

    def fail(self, error: BaseException) -> None:
        """Say how to go on, and where earlier runs are."""
        if not self.is_claimed:
            return
        again = command_again() or "make the same call"
        kept = self.path / self.series.kept
        error.add_note(f"Finished {self.series.finished} are kept in {kept}. To go on: {again}")
        if self.ledger.replaced.is_dir():
            error.add_note(f"Runs that these were to replace are kept in {self.ledger.replaced}.")

    def check(self) -> None:
        """Refuse a folder that holds something else, unless it may be overwritten."""
        check_apart(self.path, inputs_of(self.config))
        check_writable(self.path)
        if not self.config.overwrite and not is_free(self.path) and not self.is_of_its_kind():
            raise UserError(
                "output_dir",
                expected=f"a folder that is empty, not there yet, or of {self.series.what}",
                got=f"{self.path}, which holds something else",
                do="choose another folder, or pass `--overwrite`",
            )

    def is_of_its_kind(self) -> bool:
        """Whether the recipe in the folder is one of such a series."""
        return is_our_record(self.record) and self.series.key in parse_yaml(self.record.read_text("utf-8"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder to this series while the block lasts.

        Raises:
            UserError: the folder is in use, holds something else, or holds an input; or the other way round.
        """
        self.check()
        with kept_to_one_run(self.path), telling(self.fail):
            yield
