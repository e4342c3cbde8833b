"""What lies on disk, whole or not there: folders that appear complete, and the fingerprints that name them."""

from codir.store.fingerprint import (
    fingerprint_files,
    fingerprint_model,
    fingerprint_sequences,
    fingerprint_texts,
    fingerprint_tokenizer,
)
from codir.store.folders import STAGING_PREFIX, files_added_whole, written_whole

__all__ = [
    "STAGING_PREFIX",
    "files_added_whole",
    "fingerprint_files",
    "fingerprint_model",
    "fingerprint_sequences",
    "fingerprint_texts",
    "fingerprint_tokenizer",
    "written_whole",
]
