"""The main job on real embedded data: a teacher fine-tuned, a student distilled, both compared, a report written."""

from __future__ import annotations

import logging
from pathlib import Path

from codir.config import FinetuneConfig, Recipe
from codir.data import DEMO_SOURCE, find_minilm
from codir.errors import UserError
from codir.recipe import distill, finetune
from codir.report import RunResult

logger = logging.getLogger(__name__)

QUICK_ROWS = 1000


def run_demo(output_dir: Path, *, quick: bool = False, seed: int = 0, overwrite: bool = False) -> RunResult:
    """Fine-tune MiniLM on Rotten Tomatoes, distil it to three layers, and train the same student without a teacher.

    Args:
        output_dir: gets the student and the report, the teacher in `teacher/`, the baseline in `baseline/`.
        quick: use a part of the training rows and fewer epochs; the report says so.
        seed: of everything random.
        overwrite: replace an earlier demo there.
    """
    if output_dir.exists() and any(output_dir.iterdir()) and not overwrite:
        raise UserError(
            "output_dir",
            expected="a folder that is empty or not there yet",
            got=f"{output_dir}, which is not empty",
            do="choose another with `--output-dir`, or pass `--overwrite`",
        )
    data = {"source": DEMO_SOURCE, "max_train_rows": QUICK_ROWS if quick else None, "max_length": 64}
    training = {"seed": seed, "num_train_epochs": 2}
    teacher_dir = output_dir / "teacher"
    if quick:
        logger.warning("This is a part of the data: %d training rows of 7530.", QUICK_ROWS)
    logger.warning("1/3 fine-tune the teacher: MiniLM, 6 layers")
    finetune(
        FinetuneConfig.model_validate(
            {
                "model": str(find_minilm()),
                "data": data,
                "training": training,
                "output_dir": teacher_dir,
                "overwrite": True,
            }
        )
    )
    logger.warning("2/3 distil it to 3 layers with CoDIR, and 3/3 train the same student without a teacher")
    return distill(
        Recipe.model_validate(
            {
                "teacher": {"model": str(teacher_dir)},
                "data": data,
                "student": {"layers": 3},
                "training": training,
                "output_dir": output_dir,
                "baseline": True,
                "overwrite": True,
            }
        )
    )
