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
    files_added_whole,
    follow_umask,
    is_scratch,
    scratch_folder,
    sweep,
    write_whole,
    written_whole,
)
from codir.store.ledger import REPLACED_NAME, Ledger
from codir.store.lock import HOLDER_NAME, LOCK_NAME, FolderInUseError, locked_folder
from codir.store.manifest import MANIFEST_NAME, Damage, find_damage, read_sealed, seal, write_manifest

__all__ = [
    "BUILDING",
    "DRAFTS",
    "HOLDER_NAME",
    "LOCK_NAME",
    "MANIFEST_NAME",
    "READING",
    "REPLACED_NAME",
    "RUN",
    "Damage",
    "FolderInUseError",
    "Ledger",
    "files_added_whole",
    "find_damage",
    "fingerprint_files",
    "fingerprint_model",
    "fingerprint_sequences",
    "fingerprint_texts",
    "fingerprint_tokenizer",
    "follow_umask",
    "is_scratch",
    "locked_folder",
    "read_sealed",
    "scratch_folder",
    "seal",
    "sweep",
    "write_manifest",
    "write_whole",
    "written_whole",
]
