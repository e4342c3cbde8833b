"""`codir finetune`: a pre-trained model becomes a task model."""

from __future__ import annotations

from dataclasses import dataclass

from codir.config import FinetuneConfig, ObjectivesConfig
from codir.data import LoadedData
from codir.export import export_student
from codir.measure import Exam
from codir.models import Reader, load_model_for_task, load_tokenizer
from codir.runs.build import build_trainer, head_for, load, runner_of, start_at_scores
from codir.runs.facts import note_end
from codir.runs.output import run_folder
from codir.runs.preflight import check_reader, has_pairs, note_floor
from codir.runs.processes import begin, say
from codir.system import on_main, resolve_dtype, seeded


def finetune(config: FinetuneConfig, *, is_scored: bool = True) -> dict[str, float]:
    """Make a task model (a teacher) from a pre-trained one; leaves a plain transformers folder in `output_dir`.

    Args:
        config: read from YAML, or made in Python.
        is_scored: whether the model is examined at the end. `distill` examines its teacher anyway.

    Returns:
        Metrics on the dev set; none of a model that is not scored.
    """
    begin(config)
    with run_folder(config) as folder:
        ready = prepare(config)
        data, reader, tokenizer = ready.data, ready.reader, ready.reader.tokenizer

        folder.claim()
        objectives = ObjectivesConfig.model_validate("fine-tune")
        trainer = build_trainer(config, objectives, data, reader, None, config.output_dir / "checkpoints")
        trainer.train(resume_from_checkpoint=folder.checkpoint_of(trainer))
        say(note_end(trainer))
        on_main(export_student, trainer.student, tokenizer, config.output_dir)
        return on_main(_score, reader, data, config) if is_scored else {}


@dataclass(frozen=True)
class Prepared:
    """What a run has before it claims its folder: the data, and a model with a new head."""

    data: LoadedData
    reader: Reader


def prepare(config: FinetuneConfig) -> Prepared:
    """Load data and model, give the model a head, and check that they fit."""
    data = load(config.data)
    say(data.notes)
    tokenizer = load_tokenizer(config.model)
    with seeded(config.training.seed):  # the new head
        model, has_new_head = load_model_for_task(config.model, tokenizer, head=head_for(data.task))
    reader = Reader(model, tokenizer)
    check_reader(reader, config.data.max_length, pairs=has_pairs(data))
    if has_new_head:
        start_at_scores(model, data)
    return Prepared(data, reader)


def _score(reader: Reader, data: LoadedData, config: FinetuneConfig) -> dict[str, float]:
    exam = Exam(data.dev, data.task, config.data.max_length)
    answers = exam.answers(runner_of(reader, resolve_dtype(config.training.precision)))
    say(note_floor("model", answers[exam.first], exam.labels(exam.first), data.task))
    return exam.score(answers)
