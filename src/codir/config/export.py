"""What `codir export` and `codir benchmark` are given: models, a data set, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from codir.config.base import PathOrName, Room, UserPath
from codir.config.sections import DataConfig
from codir.config.words import (
    BATCH_SIZES,
    BENCHMARK_ROUNDS,
    BENCHMARK_ROWS,
    CALIBRATION_ROWS,
    ENGINE,
    MAX_LOSS,
    EngineChoice,
)

MOST_THREADS = 1024
WhichEngine = Annotated[
    EngineChoice, Field(description="what will run it; `auto` measures all that are installed and takes the fastest")
]
InInt8 = Annotated[bool, Field(description="quantise to 8 bits, as far as `max_loss` allows")]
MaxLoss = Annotated[float, Field(ge=0, le=100, description="points of the metric that int8 may cost")]
CalibrationRows = Annotated[PositiveInt, Field(description="training rows that set the ranges of int8")]
Threads = Annotated[
    list[Annotated[int, Field(ge=1, le=MOST_THREADS)]] | None,
    Field(min_length=1, description="threads that a model computes with, such as `1,2`; one, and all, by default"),
]


class ExportConfig(Room):
    """`codir export`: a student becomes a folder that runs without PyTorch, checked against the student."""

    model: PathOrName = Field(description="model to export: a folder or a hub name")
    data: DataConfig = Field(description="real rows: the evaluation part is compared, the training part calibrates")
    engine: WhichEngine = ENGINE
    int8: InInt8 = False
    max_loss: MaxLoss = MAX_LOSS
    calibration_rows: CalibrationRows = CALIBRATION_ROWS
    output_dir: UserPath = Field(description="folder for the exported model; it must be empty or not there")
    overwrite: bool = Field(False, description="replace an earlier export in the output folder")


class BenchmarkConfig(Room):
    """`codir benchmark`: models beside one another on the same texts: latency, throughput, memory, size, quality."""

    models: list[UserPath] = Field(min_length=1, description="folders of models, exported ones too, or graph files")
    data: DataConfig = Field(description="texts that are read: the evaluation part")
    batch_sizes: list[PositiveInt] = Field(
        list(BATCH_SIZES), min_length=1, description="rows per batch of the throughputs, such as `1,8,32`"
    )
    threads: Threads = None
    rows: PositiveInt = Field(BENCHMARK_ROWS, description="how many texts")
    rounds: PositiveInt = Field(BENCHMARK_ROUNDS, description="how often each is read, the models in turns")
    bf16: bool = Field(False, description="time models of PyTorch in bf16 too")
    output_dir: UserPath | None = Field(None, description="folder for benchmark.json, benchmark.md and benchmark.png")
