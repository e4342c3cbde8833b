"""What `codir plan` is asked: the sizes of a run that nobody has started yet."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ByteSize, Field, PositiveInt

from codir.config.trainer_options import AboveZero
from codir.config.words import (
    CONTRAST,
    PLANNED_CLASSES,
    PLANNED_KEYS,
    PLANNED_PROCESSES,
    PLANNED_STUDENT,
    STORED_DTYPE,
    TRAINING,
    KeyKind,
    StoredDtype,
)


def as_size(value: object) -> object:
    """Refuse what pydantic would take for its beginning, such as `1;2`."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,9})? ?([kmgtp]i?)?b?", value, re.IGNORECASE):
        raise ValueError("a size such as 16GB")
    return value


Size = Annotated[ByteSize, BeforeValidator(as_size)]


class PlanConfig(BaseModel):
    """`codir plan`: sizes of a training set, a teacher and a machine. Defaults are those of a run."""

    rows: PositiveInt = Field(description="rows of the training set")
    layers: PositiveInt = Field(description="teacher layers that objectives read")
    hidden: PositiveInt = Field(description="width of the teacher's layers")
    classes: PositiveInt = Field(PLANNED_CLASSES, description="classes of the teacher's head; 1 for a score")
    epochs: AboveZero = Field(TRAINING["num_train_epochs"], description="passes over the training set")
    batch_size: PositiveInt = Field(TRAINING["per_device_train_batch_size"], description="rows per step and process")
    negatives: PositiveInt = Field(CONTRAST.num_negatives, description="negatives of each row")
    dim: PositiveInt = Field(CONTRAST.projection_dim, description="width of the vectors in the memory")
    queue_size: PositiveInt = Field(CONTRAST.queue_size, description="entries of the queue")
    keys: KeyKind = Field(PLANNED_KEYS, description="where the contrast's keys come from")
    processes: PositiveInt = Field(PLANNED_PROCESSES, description="processes that train together on one machine")
    student_parameters: int = Field(PLANNED_STUDENT, ge=0, description="parameters of the student")
    cache_dtype: StoredDtype = Field(STORED_DTYPE, description="type of the numbers in the cache")
    memory_dtype: StoredDtype = Field(CONTRAST.memory_dtype, description="type of the numbers in the memory")
    free_memory: Size | None = Field(None, description="free memory, such as 16GB; this machine's by default")
    free_disk: Size | None = Field(None, description="free disk space, such as 1TB; this machine's by default")
