"""What stands in a folder, file by file, with sizes and hashes: written last, checked whenever the folder is opened.

A folder whose manifest fits is whole and undamaged. Knows nothing of what the files mean.
"""

from __future__ import annotations

import json
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
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in {MANIFEST_NAME, *without})
    files = {path.relative_to(folder).as_posix(): _entry(path) for path in paths}
    write_whole(folder / MANIFEST_NAME, json.dumps(seal({"files": files}), indent=2) + "\n")


def find_damage(folder: Path) -> Damage | None:
    """Read every file that the manifest lists and compare; gives the first that differs, `None` where all is well.

    Files that the manifest does not list are not looked at.

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
    files = read_sealed(folder / MANIFEST_NAME)
    if isinstance(files, Damage):
        return files
    for name, entry in files["files"].items():
        path = folder / name
        if not path.is_file():
            return Damage(name, "is missing")
        if path.stat().st_size != entry["bytes"]:
            return Damage(name, f"has {path.stat().st_size:,} bytes instead of {entry['bytes']:,}")
        if _hash(path) != entry["xxh3"]:
            return Damage(name, "is damaged: its checksum does not match")
    return None


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with a hash of itself under `seal`.

    Example:
        >>> sorted(seal({"a": 1}))
        ['a', 'seal']
    """
    return {**content, "seal": _seal_of(content)}


def read_sealed(path: Path) -> dict[str, Any] | Damage:
    """The content of a JSON file that was written with `seal`, or what is wrong with it."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Damage(path.name, "is missing")
    except (OSError, ValueError, RecursionError):
        return Damage(path.name, "cannot be read")
    if not isinstance(content, dict) or "seal" not in content:
        return Damage(path.name, "has no checksum")
    if content.pop("seal") != _seal_of(content):
        return Damage(path.name, "is damaged: its checksum does not match")
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
