"""A picture of the top of a `report.html`, for the README: as a browser at a desk shows it, in its light colours.

    codir demo
    python scripts/picture_of_report.py demo/report.html docs/images/report.png

Needs Chromium on the path, or named in `CODIR_CHROMIUM`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
LIGHT = "--blink-settings=preferredColorScheme=1"


def find_chromium() -> str:
    """The browser that `CODIR_CHROMIUM` or the path names; ends with a sentence where there is none."""
    found = os.environ.get("CODIR_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return found or sys.exit("No Chromium: install it, or name it in CODIR_CHROMIUM.")


def take_picture(page: Path, picture: Path, *, width: int, height: int) -> None:
    """Write the first `height` pixels of a page, `width` pixels wide, as a PNG.

    Args:
        page: HTML file.
        picture: gets the PNG; its folder is made.
        width: of the window.
        height: of the window.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        shot = Path(scratch) / "shot.png"
        words = [f"--user-data-dir={scratch}/profile", f"--window-size={width},{height}", f"--screenshot={shot}"]
        command = [find_chromium(), *FLAGS, LIGHT, *words, page.resolve().as_uri()]
        subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        picture.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(shot) as image:
            image.convert("RGB").save(picture, format="PNG", optimize=True)


def main() -> None:
    """Read the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("page", type=Path, help="report.html of a run")
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--width", type=int, default=1200, help="pixels; 1200 by default")
    parser.add_argument("--height", type=int, default=850, help="pixels; 850 by default")
    given = parser.parse_args()
    if not given.page.is_file():
        sys.exit(f"{given.page} is no file: run `codir demo` first.")
    take_picture(given.page, given.picture, width=given.width, height=given.height)
    print(f"{given.picture}: {given.picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
