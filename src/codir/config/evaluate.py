"""What `codir evaluate` is given: a model, a data set, perhaps a second model, and what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from codir.config.base import PathOrName, Room, UserPath
from codir.config.sections import DataConfig
from codir.config.words import DIFFERING_ROWS, ROW_FILES, SQUAD_FILE
from codir.errors import UserError


def _answer_file(path: Path) -> Path:
    """That of answers may be JSON too: SQuAD's own form, of question answering alone."""
    return path if path.suffix.lower() == SQUAD_FILE else _row_file(path)


def _row_file(path: Path) -> Path:
    if path.suffix.lower() not in ROW_FILES:
        raise ValueError(f"a file whose name ends in {', '.join(ROW_FILES[:-1])} or {ROW_FILES[-1]}")
    return path


RowFile = Annotated[UserPath, AfterValidator(_row_file)]
AnswerFile = Annotated[UserPath, AfterValidator(_answer_file)]


class EvaluateConfig(Room):
    """`codir evaluate`: a model is scored on the evaluation part of a data set."""

    model: PathOrName = Field(description="model to score: a folder or a hub name")
    data: DataConfig = Field(description="what it is scored on: the evaluation part")
    against: PathOrName | None = Field(None, description="second model on the same rows: agreement and differences")
    differences: RowFile | None = Field(
        None, description="file for the rows where the two models differ most: .tsv, .jsonl or .parquet"
    )
    differing_rows: PositiveInt = Field(DIFFERING_ROWS, description="how many of those rows at most")
    predictions: AnswerFile | None = Field(
        None,
        description="file for the answer to each row, with its probabilities: .tsv, .jsonl or .parquet; .json for "
        "question answering, in SQuAD's form",
    )
    submission: UserPath | None = Field(
        None, description="folder for the answers to GLUE's test rows, as its server wants them"
    )
    output: UserPath | None = Field(None, description="JSON file to write the metrics to as well")

    @model_validator(mode="after")
    def _two_models_to_differ(self) -> EvaluateConfig:
        if self.differences is not None and self.against is None:
            raise UserError(
                "differences", expected="a second model beside it", got="none", do="name one with `--against`"
            )
        return self

    @model_validator(mode="after")
    def _own_dev_rows_of_glue(self) -> EvaluateConfig:
        """GLUE's dev rows are what shows that the model numbers its classes as GLUE does."""
        if self.submission is not None and self.data.dev is not None:
            raise UserError(
                "submission",
                expected="GLUE's own dev rows, by which the order of the classes is checked",
                got=f"`{self.data.dev}` in their place",
                otherwise="one class could have been submitted as another",
                do="leave `--dev` out",
            )
        return self

    @model_validator(mode="after")
    def _a_file_for_each(self) -> EvaluateConfig:
        given = {name: getattr(self, name) for name in ("output", "predictions", "differences")}
        files = {name: path.absolute() for name, path in given.items() if path is not None}
        for name, path in files.items():
            twice = next((other for other in files if other != name and files[other] == path), None)
            if twice is not None:
                raise UserError(
                    name,
                    expected=f"another file than `{twice}`",
                    got=str(path),
                    otherwise="one would have been written over the other",
                    do="name two files",
                )
        return self
