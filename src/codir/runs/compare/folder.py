"""The output folder of a comparison: finished runs are kept in it, or set aside and done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from codir.config import CompareConfig, parse_yaml, redacted
from codir.errors import UserError
from codir.measure import read_run
from codir.runs.inputs import check_apart, inputs_of
from codir.runs.output import (
    RECORD_NAME,
    check_writable,
    is_free,
    is_our_record,
    kept_to_one_run,
    names_of,
    refuse_foreign,
)
from codir.runs.words import command_again
from codir.store import Ledger, write_whole

PRODUCTS = ("results.json", "table.md", "comparison.png")
"""What a comparison leaves beside its record and its runs: where codir kept no list yet, these were its files."""
SINCE_THERE_ARE_LISTS = ("report.html",)
"""What it leaves beside them since then."""


class ComparisonFolder:
    """The output folder of one comparison, while it is locked by it."""

    def __init__(self, config: CompareConfig) -> None:
        self.config, self.path = config, config.output_dir
        self.record, self.ledger = self.path / RECORD_NAME, Ledger(config.output_dir)
        self.is_claimed = False

    def claim(self) -> None:
        """Note the recipe in the folder, once nothing is left to refuse; finished runs are set aside if that was asked.

        Until the comparison is complete they stay in `.replaced/`.
        """
        self._list_an_older_comparison()
        refuse_foreign(self.path, [RECORD_NAME, *PRODUCTS, *SINCE_THERE_ARE_LISTS], self.ledger)
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
        """The comparison is complete: what it replaced goes."""
        self.ledger.finish()

    def fail(self, error: BaseException) -> None:
        """Say how to go on, and where earlier runs are."""
        if not self.is_claimed:
            return
        again = (command_again() or "").replace(" --resume", "") or "make the same call"
        error.add_note(f"Finished runs are kept in {self.path / 'runs'}. To go on: {again}")
        if self.ledger.replaced.is_dir():
            error.add_note(f"Runs that these were to replace are kept in {self.ledger.replaced}.")

    def check(self) -> None:
        """Refuse a folder that holds something other than a comparison, unless it may be overwritten."""
        check_apart(self.path, inputs_of(self.config))
        check_writable(self.path)
        if not self.config.overwrite and not is_free(self.path) and not self._is_a_comparison():
            raise UserError(
                "output_dir",
                expected="a folder that is empty, not there yet, or of a comparison",
                got=f"{self.path}, which holds something else",
                do="choose another folder, or pass `--overwrite`",
            )

    def _is_a_comparison(self) -> bool:
        return is_our_record(self.record) and "presets" in parse_yaml(self.record.read_text("utf-8"))

    def _list_an_older_comparison(self) -> None:
        """A comparison of an earlier codir kept no list: its results, and finished runs that can be read."""
        if self.ledger.exists() or not self._is_a_comparison():
            return
        runs = [path for path in self.path.glob("runs/*/*/*.json") if read_run(path) is not None]
        products = [path for name in PRODUCTS for path in self.path.glob(name)]
        self.ledger.begin(files=[RECORD_NAME, *names_of([*runs, *products], self.path)])


@contextmanager
def comparison_folder(config: CompareConfig) -> Iterator[ComparisonFolder]:
    """Keep the output folder to this comparison while the block lasts.

    Raises:
        UserError: the folder is in use, holds something else, or holds an input; or the other way round.
    """
    folder = ComparisonFolder(config)
    folder.check()
    with kept_to_one_run(folder.path), folder.ledger.listing():
        try:
            yield folder
        except BaseException as error:
            folder.fail(error)
            raise
