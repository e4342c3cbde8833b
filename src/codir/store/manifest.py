"""What stands in a folder, file by file, with sizes and hashes: written last, checked whenever the folder is opened.

A folder whose manifest fits is whole and undamaged. Knows nothing of what the files mean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from codir.store.folders import write_whole

MANIFEST_NAME = "manifest.json"
CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file: ready for a message.

    Example:
        >>> str(Damage("logits.npy", "is missing"))
        'logits.npy is missing'
    """

    file: str
    fault: str

    def __str__(self) -> str:
        return f"{self.file} {self.fault}"


def write_manifest(folder: Path, *, without: Collection[str] = ()) -> None:
    """List every file under `folder` with its size and hash (XXH3, 128 bits), in `manifest.json`.

    Args:
        folder: complete, but for this.
        without: names of files at its top that may change later.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: _entry(path) for name, path in paths.items() if name not in {MANIFEST_NAME, *without}}
    write_whole(folder / MANIFEST_NAME, json.dumps(seal({"files": files}), indent=2) + "\n")


def find_damage(folder: Path, *, listed: Collection[str] = ()) -> Damage | None:
    """Read every file that the manifest lists and compare; gives the first that differs, `None` where all is well.

    Files that the manifest does not list are not looked at.

    Args:
        folder: never written to.
        listed: files that it must list, since they will be used.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "table").write_bytes(b"1234")
        >>> print(find_damage(folder))
        manifest.json is missing
        >>> write_manifest(folder)
        >>> print(find_damage(folder))
        None
        >>> _ = (folder / "table").write_bytes(b"1243")
        >>> print(find_damage(folder))
        table is damaged: its checksum does not match
    """
    manifest = read_sealed(folder / MANIFEST_NAME)
    if isinstance(manifest, Damage):
        return manifest
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        return Damage(MANIFEST_NAME, "is not a list of files")
    for name in listed:
        if name not in files:
            return Damage(MANIFEST_NAME, f"does not list {name}")
    faults = ((name, _fault_of(folder / name, entry)) for name, entry in files.items())
    return next((Damage(name, fault) for name, fault in faults if fault is not None), None)


def _fault_of(path: Path, entry: Mapping[str, Any]) -> str | None:
    """What is wrong with a file, by its entry in the manifest."""
    try:
        if not os.path.isfile(path):
            return "is missing"
        size = path.stat().st_size
        if size != entry.get("bytes"):
            return f"has {size:,} bytes instead of {entry.get('bytes', 0):,}"
        return None if _hash(path) == entry.get("xxh3") else "is damaged: its checksum does not match"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with a hash of itself under `seal`.

    Example:
        >>> sorted(seal({"a": 1}))
        ['a', 'seal']
    """
    as_read = json.loads(json.dumps(content))  # keys as texts, in the order that a reader will see them
    return {**as_read, "seal": _seal_of(as_read)}


def read_sealed(path: Path) -> dict[str, Any] | Damage:
    """The content of a JSON file that was written with `seal`, or what is wrong with it."""
    content = read_json(path)
    if isinstance(content, Damage):
        return content
    if not isinstance(content, dict) or "seal" not in content:
        return Damage(path.name, "has no checksum")
    if content.pop("seal") != _seal_of(content):
        return Damage(path.name, "is damaged: its checksum does not match")
    return content


def read_json(path: Path) -> Any | Damage:
    """What a JSON file holds, whatever that is, or why it cannot be read."""
    if not os.path.isfile(path):
        return Damage(path.name, "is not a file" if os.path.lexists(path) else "is missing")
    try:
        content = json.loads(path.read_text("utf-8"))
        json.dumps(content)  # what is nested too deep to be written again is refused here
    except OSError as error:
        return Damage(path.name, f"cannot be read ({error.strerror or error})")
    except (ValueError, RecursionError):
        return Damage(path.name, "is not JSON")
    return content


def _seal_of(content: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "xxh3": _hash(path)}


def _hash(path: Path) -> str:
    hasher = xxhash.xxh3_128()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
