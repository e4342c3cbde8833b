"""The words that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[
    Path | None, typer.Argument(metavar="[RECIPE]", help="A YAML recipe; flags override it.", show_default=False)
]
Teacher = Annotated[str | None, typer.Option(help="Folder or hub name of a fine-tuned model.")]
Data = Annotated[
    str | None,
    typer.Option(
        help="`glue:SST-2`, a CSV/TSV/JSONL/Parquet file, a folder of them, or a hub name.", show_default=False
    ),
]
DataDir = Annotated[Path | None, typer.Option(help="Folder that holds the GLUE folders.", show_default=False)]
Dev = Annotated[
    str | None, typer.Option(help="File to evaluate on; held out of the training rows by default.", show_default=False)
]
TextColumn = Annotated[str | None, typer.Option(help="Column of the text.", show_default=False)]
TextPairColumn = Annotated[str | None, typer.Option(help="Column of the second text.", show_default=False)]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the label or score.", show_default=False)]
Task = Annotated[
    str | None,
    typer.Option(
        help="`classification` or `regression` (found out by default); `mlm` in `finetune`.", show_default=False
    ),
]
Labels = Annotated[
    str | None, typer.Option(help="Label names in the order of the classes: `negative,positive`.", show_default=False)
]
MaxLength = Annotated[int | None, typer.Option(help="Tokens per example at the most (128).", show_default=False)]
StudentLayers = Annotated[
    str | None, typer.Option(help="A number, as `3`, or which of the teacher's, as `1,3,5`.", show_default=False)
]
Student = Annotated[
    str | None, typer.Option(help="Another checkpoint as the student: folder or hub name.", show_default=False)
]
Epochs = Annotated[float | None, typer.Option(help="Passes over the training set (3).", show_default=False)]
BatchSize = Annotated[int | None, typer.Option(help="Rows per step and device (32).", show_default=False)]
LearningRate = Annotated[float | None, typer.Option(help="Of the model that trains (1e-4).", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Of data order, dropout, heads and negatives (0).", show_default=False)]
Precision = Annotated[
    str | None, typer.Option(help="`auto` (bf16 where the processor has it), `bf16` or `fp32`.", show_default=False)
]
CacheDir = Annotated[Path | None, typer.Option(help="Where teacher features are kept.", show_default=False)]
OutputDir = Annotated[Path | None, typer.Option(help="Where the model and the report go.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the output folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in the output folder.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any key of the recipe: `--set training.max_steps=20`. Repeatable.", show_default=False),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
