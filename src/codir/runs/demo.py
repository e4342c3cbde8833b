"""The main job on real embedded data: a teacher fine-tuned, a student distilled, both compared, a report written.

And the stage before it: a language model pre-trained on text without labels, and what that is worth on a task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codir.config import FinetuneConfig, PretrainRecipe, Recipe
from codir.config.words import DEMO_SIZE, SPEED_ROWS, DemoSize
from codir.data import DEMO_CORPUS, DEMO_SOURCE, find_minilm
from codir.errors import UserError
from codir.export import export_student
from codir.report import PretrainingResult, RunResult
from codir.runs.distill import distill
from codir.runs.finetune import finetune
from codir.runs.output import check_empty, kept_to_one_run, model_replaced
from codir.runs.pretrain import load_teacher, pretrain
from codir.runs.processes import refuse_processes
from codir.store import Ledger
from codir.student import build_student

logger = logging.getLogger(__name__)

ALL_ROWS = 7530
ROWS: Final[dict[DemoSize, int | None]] = {"quick": 400, "standard": 1500, "full": None}
"""What the teacher, the student and the baseline train on."""
AT_THE_END: Final = {"eval_strategy": "no"}
"""Models are scored when all are trained."""
MORE_FROM_LESS: Final = {"per_device_train_batch_size": 16, "learning_rate": 2e-4}
"""With the defaults, three layers learn next to nothing of 400 rows."""
TRAINING: Final[dict[DemoSize, dict[str, object]]] = {
    "quick": {"num_train_epochs": 2, **MORE_FROM_LESS, **AT_THE_END},
    "standard": {"num_train_epochs": 2, **AT_THE_END},
    "full": {"num_train_epochs": 2},
}
PART = "This is a part of the data: {rows:,} of {all:,} training rows. `--full` trains on all of them."
QUICK_SPEED_ROWS = 64
PRETRAINED_ROWS = 1000
"""What a student is fine-tuned on after a quick pre-training."""
QUICK_DOCUMENTS, QUICK_STEPS = 500, 10
ADAPTING_STEPS, PRETRAINING_STEPS = 100, 150
REMEDY = "choose another with `--output-dir`, or pass `--overwrite`"
"""Where the folder of a demo holds something."""
DEMO_REMEDY = "start it without `torchrun`; `codir finetune`, `distill` and `pretrain` train in several processes"


def run_demo(output_dir: Path, *, size: DemoSize = DEMO_SIZE, seed: int = 0, overwrite: bool = False) -> RunResult:
    """Fine-tune MiniLM on Rotten Tomatoes, distil it to three layers, and train the same student without a teacher.

    Args:
        output_dir: gets the student and the report, the teacher in `teacher/`, the baseline in `baseline/`.
        size: `full` trains on all rows; `standard` and `quick` on a part of them, and the report says so.
        seed: of everything random.
        overwrite: replace an earlier demo there.

    Raises:
        UserError: no such size, or a folder that holds something.
    """
    refuse_processes("demo", DEMO_REMEDY)
    teaching, distilling = demo_recipes(output_dir, size=size, seed=seed)
    if not overwrite:
        check_empty(output_dir, REMEDY)
    if (rows := ROWS[size]) is not None:
        logger.warning(PART.format(rows=rows, all=ALL_ROWS))
    logger.warning("1/3 fine-tune the teacher: MiniLM, 6 layers")
    with _earlier_student_aside(output_dir):
        finetune(teaching, is_scored=False)  # `distill` scores it
    logger.warning("2/3 distil it to 3 layers with CoDIR, and 3/3 train the same student without a teacher")
    speed_rows = QUICK_SPEED_ROWS if size == "quick" else SPEED_ROWS
    return distill(distilling, inside=[distilling.teacher.model], speed_rows=speed_rows)


@contextmanager
def _earlier_student_aside(folder: Path) -> Iterator[None]:
    """The student of an earlier demo goes when its teacher does: no report stands beside a teacher that it is not of.

    It comes back where the new teacher fails.
    """
    ledger = Ledger(folder)
    if not ledger.exists():
        yield
        return
    with kept_to_one_run(folder):
        ledger.set_aside()
        ledger.begin()
        try:
            yield
        except Exception:
            ledger.put_back()
            raise
        ledger.finish()


def demo_recipes(output_dir: Path, *, size: DemoSize, seed: int) -> tuple[FinetuneConfig, Recipe]:
    """The recipes of the teacher, and of the student with its baseline."""
    if size not in ROWS:
        raise UserError("size", expected=f"one of {', '.join(ROWS)}", got=repr(size), do="choose one of them")
    data = {"source": DEMO_SOURCE, "max_train_rows": ROWS[size], "max_length": 64}
    common = {"data": data, "training": {"seed": seed, **TRAINING[size]}, "overwrite": True}
    teacher_dir = output_dir / "teacher"
    teaching = {"model": str(find_minilm()), "output_dir": teacher_dir}
    distilling = {
        "teacher": {"model": str(teacher_dir)},
        "student": {"layers": 3},
        "output_dir": output_dir,
        "baseline": True,
    }
    return FinetuneConfig.model_validate({**common, **teaching}), Recipe.model_validate({**common, **distilling})


@dataclass(frozen=True)
class PretrainingDemo:
    """What pre-training found, and what each start is worth once it is fine-tuned: accuracy by student."""

    pretraining: PretrainingResult
    accuracy: dict[str, float]


def run_pretraining_demo(
    output_dir: Path, *, quick: bool = False, seed: int = 0, overwrite: bool = False
) -> PretrainingDemo:
    """Adapt MiniLM to predict tokens, pre-train three of its layers on IMDB, and fine-tune them on Rotten Tomatoes.

    Beside them the same three layers are fine-tuned as they were cut.

    Args:
        output_dir: gets the student in `pretrained/`, its teacher in `teacher/`, and the fine-tuned models.
        quick: use a part of the corpus and of the rows, and few steps.
        seed: of everything random.
        overwrite: replace an earlier demo there.
    """
    refuse_processes("demo", DEMO_REMEDY)
    if not overwrite:
        check_empty(output_dir, REMEDY)
    teacher, pretrained, cut = (output_dir / name for name in ("teacher", "pretrained", "cut"))
    corpus = {
        "source": DEMO_CORPUS,
        "max_documents": QUICK_DOCUMENTS if quick else None,
        "max_length": 64,
        "heldout_fraction": 0.01,
    }

    def run(folder: Path, steps: int, **sections: object) -> PretrainingResult:
        training = {"max_steps": QUICK_STEPS if quick else steps, "eval_strategy": "no"}
        training |= {"seed": seed, "learning_rate": 3e-4}
        common = {"corpus": corpus, "training": training, "output_dir": folder, "overwrite": True}
        return pretrain(PretrainRecipe.model_validate({**common, **sections}))

    if quick:
        logger.warning("This is a part of the data: %d reviews of 25,000, %d steps.", QUICK_DOCUMENTS, QUICK_STEPS)
    logger.warning("1/3 give MiniLM a language-model head: `codir finetune --task mlm`")
    run(teacher, ADAPTING_STEPS, student={"checkpoint": str(find_minilm())}, objectives="mlm")
    logger.warning("2/3 pre-train 3 of its 6 layers with CoDIR")
    result = run(pretrained, PRETRAINING_STEPS, teacher=str(teacher), student={"layers": 3}, objectives="codir-pre")
    logger.warning("3/3 fine-tune them, and beside them the same layers as they were cut")
    reader = load_teacher(str(teacher))
    with model_replaced(cut):
        export_student(build_student(reader.model, layers=3), reader.tokenizer, cut)
    starts = {"pre-trained": pretrained, "cut only": cut}
    return PretrainingDemo(result, {name: _fine_tune(start, quick, seed) for name, start in starts.items()})


def _fine_tune(start: Path, quick: bool, seed: int) -> float:
    config = {
        "model": str(start),
        "data": {"source": DEMO_SOURCE, "max_train_rows": PRETRAINED_ROWS if quick else None, "max_length": 64},
        "training": {"seed": seed, "num_train_epochs": 2},
        "output_dir": start.with_name(f"{start.name}-fine-tuned"),
        "overwrite": True,
    }
    return finetune(FinetuneConfig.model_validate(config))["accuracy"]
