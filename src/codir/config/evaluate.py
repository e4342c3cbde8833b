"""What `codir evaluate` is given: a model and a data set."""

from __future__ import annotations

from pydantic import Field

from codir.config.base import PathOrName, Room, UserPath
from codir.config.sections import DataConfig


class EvaluateConfig(Room):
    """`codir evaluate`: a model is scored on the evaluation part of a data set."""

    model: PathOrName = Field(description="model to score: a folder or a hub name")
    data: DataConfig = Field(description="what it is scored on: the evaluation part")
    output: UserPath | None = Field(None, description="JSON file to write the metrics to as well")
