"""What lies on disk, whole or not there: folders that appear complete, and the fingerprints that name them."""

from codir.store.fingerprint import (
    fingerprint_files,
    fingerprint_model,
    fingerprint_sequences,
    fingerprint_texts,
    fingerprint_tokenizer,
)
from codir.store.folders import (
    BUILDING,
    DRAFTS,
    READING,
    RUN,
    FolderError,
    claim_disk,
    clear_place,
    files_added_whole,
    follow_umask,
    scratch_folder,
    sweep,
    write_whole,
    writing_to,
    written_whole,
)
from codir.store.lock import FolderInUseError, locked_folder
from codir.store.manifest import MANIFEST_NAME, Damage, find_damage, read_json, read_sealed, seal, write_manifest

__all__ = [
    "BUILDING",
    "DRAFTS",
    "MANIFEST_NAME",
    "READING",
    "RUN",
    "Damage",
    "FolderError",
    "FolderInUseError",
    "claim_disk",
    "clear_place",
    "files_added_whole",
    "find_damage",
    "fingerprint_files",
    "fingerprint_model",
    "fingerprint_sequences",
    "fingerprint_texts",
    "fingerprint_tokenizer",
    "follow_umask",
    "locked_folder",
    "read_json",
    "read_sealed",
    "scratch_folder",
    "seal",
    "sweep",
    "write_manifest",
    "write_whole",
    "writing_to",
    "written_whole",
]
