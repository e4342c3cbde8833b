"""The output folder of a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from codir.config import CompareConfig
from codir.measure import read_run
from codir.runs.output import RECORD_NAME, names_of
from codir.runs.series import Series, SeriesFolder

OF_OLD = ("results.json", "table.md", "comparison.png")
"""What a comparison left beside its record and its runs where codir kept no list yet."""
COMPARISON = Series(
    what="a comparison",
    key="presets",
    products=(*OF_OLD, "report.html"),
    kept="runs",
    finished="runs",
)


class ComparisonFolder(SeriesFolder):
    """The output folder of one comparison, while it is locked by it."""

    def __init__(self, config: CompareConfig) -> None:
        super().__init__(config, COMPARISON)

    def claim(self) -> None:
        """Note the recipe in the folder, once nothing is left to refuse; finished runs are set aside if that was asked.

        Until the comparison is complete they stay in `.replaced/`.
        """
        self._list_an_older_comparison()
        super().claim()

    def _list_an_older_comparison(self) -> None:
        """A comparison of an earlier codir kept no list: its results, and finished runs that can be read."""
        if self.ledger.exists() or not self.is_of_its_kind():
            return
        runs = [path for path in self.path.glob("runs/*/*/*.json") if read_run(path) is not None]
        products = [path for name in OF_OLD for path in self.path.glob(name)]
        self.ledger.begin(files=[RECORD_NAME, *names_of([*runs, *products], self.path)])


@contextmanager
def comparison_folder(config: CompareConfig) -> Iterator[ComparisonFolder]:
    """Keep the output folder to this comparison while the block lasts.

    Raises:
        UserError: the folder is in use, holds something else, or holds an input; or the other way round.
    """
    folder = ComparisonFolder(config)
    with folder.held(), folder.ledger.listing():
        yield folder
