"""`codir finetune`: a pre-trained model becomes a task model."""

from __future__ import annotations

import time
from dataclasses import dataclass

from codir.config import FinetuneConfig, ObjectivesConfig
from codir.config.words import TASK
from codir.data import LoadedData
from codir.errors import UserError
from codir.export import export_student
from codir.measure import Exam, Judgement, gather_conditions
from codir.models import Reader, load_model_for_task, load_tokenizer
from codir.report import Findings, findings_of_judgement, write_card, write_finetuning_report
from codir.runs.build import build_trainer, head_for, load, runner_of, start_at_scores
from codir.runs.card import origin_of_finetuned
from codir.runs.facts import data_facts, note_end, training_facts
from codir.runs.finishing import settle
from codir.runs.output import run_folder
from codir.runs.preflight import check_reader, has_pairs, note_floor, note_truncation
from codir.runs.processes import begin, said, say
from codir.system import on_main, resolve_dtype, seeded
from codir.tasks import Kind, kind_named


def finetune(config: FinetuneConfig, *, is_scored: bool = True) -> dict[str, float]:
    """Make a task model (a teacher) from a pre-trained one.

    Leaves in `output_dir` a plain transformers folder with its model card (`README.md`) and `report.json`.

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
        checkpoint, start = folder.checkpoint_of(trainer), time.perf_counter()
        trainer.train(resume_from_checkpoint=checkpoint)
        training = training_facts(trainer, time.perf_counter() - start, resumed=checkpoint is not None)
        notes = [*data.notes, *said(note_truncation(trainer.train_dataset, config.data.max_length))]
        notes += said(note_end(trainer))
        notes += said(on_main(settle, reader, exam_of(config, data), resolve_dtype(config.training.precision)))
        on_main(export_student, trainer.student, tokenizer, config.output_dir)

        def report() -> dict[str, float]:
            dtype = resolve_dtype(config.training.precision)
            conditions = gather_conditions(dtype=str(dtype).removeprefix("torch."), seed=config.training.seed)
            found = Findings(notes=notes, conditions=conditions)
            scores, judgement = _score(reader, data, config) if is_scored else ({}, None)
            facts = {**data_facts(data), "training": training}
            write_finetuning_report(
                config.output_dir, metrics=scores, judgement=judgement, facts=facts, notes=notes, conditions=conditions
            )
            if judgement is not None:
                found = findings_of_judgement(judgement, facts["evaluation"], notes=notes, conditions=conditions)
            origin = origin_of_finetuned(config, data, trainer.student, trainer.train_dataset, facts)
            write_card(origin, found, config.output_dir)
            return scores

        return on_main(report)


@dataclass(frozen=True)
class Prepared:
    """What a run has before it claims its folder: the data, and a model with a new head."""

    data: LoadedData
    reader: Reader


def prepare(config: FinetuneConfig) -> Prepared:
    """Load data and model, give the model a head, and check that they fit."""
    check_labelled(config)
    if config.data.task != TASK:
        check_teachable(kind_named(config.data.task))
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


def check_labelled(config: FinetuneConfig) -> None:
    """Refuse files of rows without a label, of which nothing is learned without a teacher.

    Raises:
        UserError: there are some.
    """
    if config.data.unlabelled:
        raise UserError(
            "data.unlabelled",
            expected="none, for fine-tuning, which learns from labels alone",
            got=", ".join(map(str, config.data.unlabelled)),
            otherwise="these rows would have taken steps and taught nothing",
            do="leave it out, and give the files to `codir distill --unlabelled`",
        )


def check_teachable(kind: Kind) -> None:
    """Refuse a kind of task without labels: there is nothing to fine-tune on.

    Raises:
        UserError: says what to do instead.
    """
    if "labels" not in kind.offers:
        raise UserError(
            "task",
            expected="one with labels to learn from",
            got=f"`{kind.name}`",
            do="take a sentence encoder as it is for the teacher: `codir distill --task embedding --teacher ...`",
        )


def exam_of(config: FinetuneConfig, data: LoadedData) -> Exam:
    """The exam that the model sits."""
    return Exam(data.dev, data.task, config.data.max_length)


def _score(reader: Reader, data: LoadedData, config: FinetuneConfig) -> tuple[dict[str, float], Judgement]:
    """Metrics, and what must stand beside them."""
    exam = exam_of(config, data)
    runner = runner_of(reader, resolve_dtype(config.training.precision))
    answers = exam.answers(runner)
    say(note_floor("model", answers[exam.first], exam.labels(exam.first), data.task))
    return exam.score(answers), exam.judge({"model": answers}, runner, {})
