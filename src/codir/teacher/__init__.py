"""A frozen model that only speaks: live, or from the feature cache. Both say the same."""

from codir.config.words import CacheWish, StoredDtype
from codir.store import fingerprint_model, fingerprint_texts, fingerprint_tokenizer
from codir.teacher.answers import AnswersFile, FileTeacher, is_answers_file
from codir.teacher.base import NoTeacher, Teacher
from codir.teacher.cache import CachedTeacher, estimate_bytes, open_or_build_cache
from codir.teacher.found import find_cache
from codir.teacher.key import CacheKey, table_names
from codir.teacher.live import LiveTeacher, TeacherView
from codir.teacher.rule import CACHE_DISK_SHARE, CacheChoice, cache_bytes, choose_cache, count_readings
from codir.teacher.space import PrincipalSpace

__all__ = [
    "CACHE_DISK_SHARE",
    "AnswersFile",
    "CacheChoice",
    "CacheKey",
    "CacheWish",
    "CachedTeacher",
    "FileTeacher",
    "LiveTeacher",
    "NoTeacher",
    "PrincipalSpace",
    "StoredDtype",
    "Teacher",
    "TeacherView",
    "cache_bytes",
    "choose_cache",
    "count_readings",
    "estimate_bytes",
    "find_cache",
    "fingerprint_model",
    "fingerprint_texts",
    "fingerprint_tokenizer",
    "is_answers_file",
    "open_or_build_cache",
    "table_names",
]
