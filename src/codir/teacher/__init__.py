"""A frozen model that only speaks: live, or from the feature cache. Both say the same."""

from codir.teacher.base import NoTeacher, Teacher
from codir.teacher.cache import CachedTeacher, CacheDtype, CacheKey, estimate_bytes, open_or_build_cache
from codir.teacher.fingerprint import fingerprint_model, fingerprint_texts, fingerprint_tokenizer
from codir.teacher.live import LiveTeacher, TeacherView

__all__ = [
    "CacheDtype",
    "CacheKey",
    "CachedTeacher",
    "LiveTeacher",
    "NoTeacher",
    "Teacher",
    "TeacherView",
    "estimate_bytes",
    "fingerprint_model",
    "fingerprint_texts",
    "fingerprint_tokenizer",
    "open_or_build_cache",
]
