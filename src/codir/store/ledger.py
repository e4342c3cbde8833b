"""Which files in a folder a run wrote: those alone may be replaced, and none goes before the new run is whole.

The list grows line by line as the files appear, from several processes where need be. To replace a run, its files move
to `.replaced/` beside the list; they go when the new run is whole, and come back if it fails before it trained.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from codir.store.checkpoints import checkpoints_in, files_of_checkpoint, is_own_checkpoint
from codir.store.folders import clear_place, files_noted, is_scratch

LEDGER_NAME = ".codir-files.jsonl"
REPLACED_NAME = ".replaced"
RUNNING, WHOLE, MOVING = "running", "whole", "moving"
"""States of a run's files: being written, all there, on their way to `.replaced/`."""
Entry = dict[str, str]
"""A line of the list: a `file`, a folder of `checkpoints`, or a `state`."""


class Ledger:
    """The list of the files that the run in a folder wrote.

    Args:
        folder: of the run. Everything listed lies in it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> ledger = Ledger(folder)
        >>> ledger.begin()
        >>> ledger.add([folder / "report.md"])
        >>> for name in ("report.md", "mine.txt"):
        ...     _ = (folder / name).write_text(name)
        >>> ledger.finish()
        >>> Ledger(folder).set_aside()
        >>> sorted(path.name for path in folder.iterdir())
        ['.codir-files.jsonl', '.replaced', 'mine.txt']
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file, self.replaced = folder / LEDGER_NAME, folder / REPLACED_NAME

    # ---- What is listed ----

    def exists(self) -> bool:
        """Whether a run in this folder keeps a list."""
        return self.file.is_file()

    def is_whole(self) -> bool:
        """Whether the run whose files are listed came to its end."""
        return self._state() == WHOLE

    def names(self) -> set[str]:
        """The files listed, relative to the folder; a name that leads out of the folder is none."""
        return {name for name in self._all("file") if self._is_within(name)}

    def paths(self) -> list[Path]:
        """The files of the run that are still there, those of its checkpoints last."""
        checkpoints = self.checkpoints()
        files = [self.folder / name for name in sorted(self.names()) if os.path.lexists(self.folder / name)]
        return list(dict.fromkeys([*files, *(file for one in checkpoints for file in files_of_checkpoint(one))]))

    def checkpoints(self) -> list[Path]:
        """The run's checkpoints that are still there."""
        parents = {name for name in self._all("checkpoints") if self._is_within(f"{name}/checkpoint-1")}
        return [one for name in sorted(parents) for one in _checkpoints(self.folder / name)]

    # ---- How it grows ----

    def begin(self, *, files: Collection[str] = (), checkpoints: Collection[str] = ()) -> None:
        """Start a new list, of a run that is not whole yet.

        Args:
            files: that it has already.
            checkpoints: folders in which codir's checkpoints are this run's.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rewrite(
            [{"state": RUNNING}, *({"checkpoints": name} for name in checkpoints), *({"file": name} for name in files)]
        )

    def reopen(self) -> None:
        """Go on with the list of an earlier run."""
        self._append([{"state": RUNNING}])

    def add(self, paths: Sequence[Path]) -> None:
        """List files that are about to appear; those elsewhere are not this run's.

        What someone else has put in the place of one of them is set aside first.
        """
        inside = [path.relative_to(self.folder) for path in paths if path.is_relative_to(self.folder)]
        inside = [path for path in inside if not is_scratch(Path(path.parts[0]))]
        own = self.names() if any(os.path.lexists(self.folder / path) for path in inside) else set()
        for path in inside:
            if path.as_posix() not in own:
                clear_place(self.folder / path)
        self._append([{"file": path.as_posix()} for path in inside])

    @contextmanager
    def listing(self) -> Iterator[None]:
        """List every file that codir adds to the folder while the block lasts."""
        with files_noted(self.add):
            yield

    # ---- How one run replaces another ----

    def set_aside(self) -> None:
        """Move what the earlier run left to `.replaced/`.

        If the earlier run is itself one that did not come to its end, and replaced another, its own files go and those
        in `.replaced/` stay. A move that was interrupted is completed.
        """
        state = self._state()
        if state == WHOLE:
            shutil.rmtree(self.replaced, ignore_errors=True)  # of a run that was killed while it removed them
        if state == RUNNING and self.replaced.is_dir():
            self._remove_all()
            return
        self._append([{"state": MOVING}])
        self.replaced.mkdir(exist_ok=True)
        kept = Ledger(self.replaced)
        if not kept.exists():
            kept._rewrite([entry for entry in self._entries() if entry.get("state") != MOVING])
        for path in self.paths():
            _move(path, self.replaced / path.relative_to(self.folder))
            _remove_empty(path.parent, self.folder)

    def put_back(self) -> None:
        """Undo `set_aside` and what came after it: the folder is as it was before the run began."""
        self._remove_all()
        kept = Ledger(self.replaced)
        if not kept.exists():
            self.file.unlink(missing_ok=True)
            return
        entries = kept._entries()
        self._rewrite([*entries, {"state": MOVING}])
        for path in reversed(kept.paths()):  # what shows a checkpoint first, so that half of one is seen here
            _move(path, self.folder / path.relative_to(self.replaced))
        self._rewrite(entries)
        shutil.rmtree(self.replaced, ignore_errors=True)

    def finish(self) -> None:
        """The run is whole: what it replaced may go."""
        self._append([{"state": WHOLE}])
        shutil.rmtree(self.replaced, ignore_errors=True)

    # ---- The file ----

    def _remove_all(self) -> None:
        for path in self.paths():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            _remove_empty(path.parent, self.folder)

    def _all(self, key: str) -> list[str]:
        return [entry[key] for entry in self._entries() if key in entry]

    def _state(self) -> str | None:
        """The last that was noted."""
        return next(reversed(self._all("state")), None)

    def _entries(self) -> list[Entry]:
        """Without the end of a line that a killed process did not complete."""
        try:
            written = self.file.read_text("utf-8", errors="replace").splitlines()
        except (OSError, ValueError):
            return []
        return [entry for line in written if (entry := _entry_of(line)) is not None]

    def _append(self, entries: Sequence[Entry]) -> None:
        """One write, which the system puts behind whatever other processes wrote."""
        text = "".join(f"\n{json.dumps(entry)}\n" for entry in entries)  # a newline first: the last line may be cut
        if entries:
            with self.file.open("ab", buffering=0) as file:
                file.write(text.encode())

    def _rewrite(self, entries: Sequence[Entry]) -> None:
        new = self.file.with_name(f"{LEDGER_NAME}.new")
        new.unlink(missing_ok=True)
        new.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), "utf-8")
        os.replace(new, self.file)

    def _is_within(self, name: str) -> bool:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return False
        return (self.folder / path).parent.resolve().is_relative_to(self.folder.resolve())


def _entry_of(line: str) -> Entry | None:
    """`None` of half a line, and of what no run writes."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values()) else None


def _checkpoints(parent: Path) -> list[Path]:
    """Checkpoints that codir wrote, or began to write."""
    if parent.is_symlink():
        return []
    return [path for path in checkpoints_in(parent) if is_own_checkpoint(path) or not any(path.iterdir())]


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    os.replace(path, target)


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top:
        with contextlib.suppress(OSError):
            folder.rmdir()
        folder = folder.parent
