"""`codir finetune`: a pre-trained model becomes a task model."""

from __future__ import annotations

from codir.config import (
    FinetuneConfig,
    ObjectivesConfig,
)
from codir.export import export_student
from codir.measure import Exam
from codir.models import Reader, load_model, load_tokenizer
from codir.runs.build import build_trainer, head_for, load, runner_of
from codir.runs.distill import logger
from codir.runs.output import can_resume, check_output_dir, claim_output_dir
from codir.runs.preflight import check_reader, has_pairs
from codir.system import resolve_dtype, seeded


def finetune(config: FinetuneConfig) -> dict[str, float]:
    """Make a task model (a teacher) from a pre-trained one; leaves a plain transformers folder in `output_dir`.

    Returns:
        Metrics on the dev set.
    """
    check_output_dir(config)
    data = load(config.data)
    tokenizer = load_tokenizer(config.model)
    with seeded(config.training.seed):  # the new head
        reader = Reader(load_model(config.model, tokenizer, head=head_for(data.task)), tokenizer)
    check_reader(reader, config.data.max_length, pairs=has_pairs(data))
    for note in data.notes:
        logger.warning(note)
    objectives = ObjectivesConfig.model_validate("fine-tune")
    trainer = build_trainer(config, objectives, data, reader, None, config.output_dir / "checkpoints")
    claim_output_dir(config)
    trainer.train(resume_from_checkpoint=can_resume(config, trainer))
    export_student(trainer.student, tokenizer, config.output_dir)
    exam = Exam(data.dev, data.task, config.data.max_length)
    return exam.score(exam.answers(runner_of(reader, resolve_dtype(config.training.precision))))
