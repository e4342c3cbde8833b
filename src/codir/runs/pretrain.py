"""A pre-training from corpus to report, as it happens; `codir.runs.distill` does the same for fine-tuning.

A language model and text without labels become a student for any task, which `codir distill`, `codir finetune` or plain
transformers then take further.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from codir.config import CorpusConfig, PretrainRecipe
from codir.data import CausalCollator, DistillationCollator, MaskingCollator, load_corpus, split_documents
from codir.errors import UserError
from codir.export import export_student
from codir.measure import count_parameters, examine_language_models, gather_conditions
from codir.models import Reader, is_masked, load_language_model, load_tokenizer, shape_of
from codir.report import PretrainingResult, findings_of_pretraining, write_card, write_pretraining_report
from codir.runs.build import build_training_arguments, make_student
from codir.runs.card import origin_of_pretrained
from codir.runs.objectives import build_objectives
from codir.runs.output import run_folder
from codir.runs.preflight import check_reader
from codir.runs.processes import begin, said
from codir.signals import Batch
from codir.store import fingerprint_tokenizer
from codir.student import student_origin
from codir.system import default_device, on_main, resolve_dtype, seeded
from codir.system.progress import advance, phase
from codir.trainer import PretrainingTrainer, check_neighbours, check_pretraining, watched

EXAM_ROWS = 2000
"""Held-out sequences that evaluation reads at most: enough to judge by, however large the corpus is."""


def pretrain(recipe: PretrainRecipe) -> PretrainingResult:
    """Pre-train a student on a corpus, and say how well it predicts and how near its teacher it came.

    Leaves in `recipe.output_dir`: the student as a plain transformers folder with its language-model head and its
    model card (`README.md`), `report.md`, `report.json`, `training_curves.png` and `recipe.yaml` with every default
    filled in.

    Args:
        recipe: read from YAML, or made in Python: `codir.PretrainRecipe(teacher=..., corpus={"source": ...}, ...)`.

    Raises:
        UserError: input that cannot work, before any training.
        NonFiniteLossError: a loss became NaN or infinite.
    """
    begin(recipe)
    with run_folder(recipe) as folder:
        teacher = load_teacher(recipe.teacher) if recipe.teacher else None
        student = make_language_student(recipe, teacher)
        check_before_reading(recipe, teacher, student)

        folder.claim()
        corpus = load(recipe.corpus, student.tokenizer)
        train, heldout = split(corpus, recipe)
        origin = student_origin(student.model)
        notes = said([f"The corpus: {corpus.info.description}."])
        notes += origin.notes if origin else ()  # said when the student was made

        trainer = build_trainer(recipe, teacher, student, train, heldout, recipe.output_dir / "checkpoints")
        trainer.train(resume_from_checkpoint=folder.checkpoint_of(trainer))
        on_main(export_student, trainer.student, student.tokenizer, recipe.output_dir)

        models = {**({"teacher": teacher.model} if teacher else {}), "student": trainer.student}
        dtype = resolve_dtype(recipe.training.precision)

        def report() -> PretrainingResult:
            with phase("evaluation", len(heldout)):
                scores = examine_language_models(models, exam_batches(recipe, student, heldout), dtype=dtype)
            result = PretrainingResult(
                title=f"Pre-trained from {Path(recipe.teacher or str(recipe.student.checkpoint)).name}",
                scores=scores,
                parameters={name: count_parameters(model) for name, model in models.items()},
                conditions=gather_conditions(dtype=str(dtype).removeprefix("torch."), seed=recipe.training.seed),
                notes=tuple(notes),
                log_history=trainer.state.log_history,
                output_dir=recipe.output_dir,
            )
            write_pretraining_report(result)
            end = replace(student, model=trainer.student)
            origin = origin_of_pretrained(recipe, teacher, end, len(train), trainer.state.global_step)
            write_card(origin, findings_of_pretraining(result, recipe.corpus.source), recipe.output_dir)
            return result

        return on_main(report)


# ---- The steps, one room each ----


def load_teacher(path: str) -> Reader:
    """A model with a trained language-model head, and its tokenizer, on the device that computes."""
    with phase(f"loading {Path(path).name}"):
        return Reader(load_language_model(path).to(default_device()), load_tokenizer(path), folder=Path(path))


def make_language_student(recipe: PretrainRecipe, teacher: Reader | None) -> Reader:
    """The student that a recipe describes; without a teacher a checkpoint by itself, with a new head where it has none.

    Raises:
        UserError: it brings a tokenizer of its own, which reads otherwise than the teacher's.
    """
    if teacher is None:
        path = str(recipe.student.checkpoint)
        with seeded(recipe.training.seed):
            return Reader(load_language_model(path, needs_head=False).train(), load_tokenizer(path))
    student = make_student(recipe.student, teacher, seed=recipe.training.seed)
    if fingerprint_tokenizer(student.tokenizer) != fingerprint_tokenizer(teacher.tokenizer):
        raise UserError(
            "student tokenizer",
            expected="the teacher's, since both read the same masked tokens",
            got="one that reads differently",
            otherwise="the student would have learned the teacher's answers to other words",
            do="take a student with the teacher's tokenizer, such as some of its layers: `--student-layers 3`",
        )
    return student


def check_before_reading(recipe: PretrainRecipe, teacher: Reader | None, student: Reader) -> None:
    """Refuse what can be refused before a corpus is read, which may take hours."""
    objectives = build_objectives(recipe.objectives)
    check_pretraining(teacher.model if teacher else None, student.model, objectives)
    objectives.build(teacher=shape_of(teacher.model) if teacher else None, student=shape_of(student.model))
    check_neighbours(objectives, build_training_arguments(recipe.training, recipe.output_dir / "checkpoints"))
    exam_views(recipe, student)
    for reader in filter(None, (teacher, student)):
        check_reader(reader, recipe.corpus.max_length)


def load(corpus: CorpusConfig, tokenizer: PreTrainedTokenizerBase) -> datasets.Dataset:
    """Prepare the corpus that a recipe names, or find it as it was prepared before."""
    return load_corpus(tokenizer=tokenizer, **corpus.model_dump(exclude={"heldout_fraction"}))


def split(corpus: datasets.Dataset, recipe: PretrainRecipe) -> tuple[datasets.Dataset, datasets.Dataset]:
    """What is trained on, and of the documents held out as many sequences as an exam needs."""
    train, heldout = split_documents(corpus, fraction=recipe.corpus.heldout_fraction, seed=recipe.training.seed)
    chosen = np.random.default_rng(recipe.training.seed).permutation(len(heldout))[:EXAM_ROWS]
    return train, heldout.select(np.sort(chosen))


def build_trainer(
    recipe: PretrainRecipe,
    teacher: Reader | None,
    student: Reader,
    train: datasets.Dataset,
    heldout: datasets.Dataset,
    checkpoints: Path,
) -> PretrainingTrainer:
    """The trainer with all its parts."""
    trainer = PretrainingTrainer(
        teacher=teacher.model if teacher else None,
        student=student.model,
        args=build_training_arguments(
            recipe.training,
            checkpoints,
            mask_probability=recipe.masking.probability,
            whole_words=recipe.masking.whole_words,
        ),
        objectives=build_objectives(recipe.objectives),
        train_dataset=train,
        eval_dataset=None if recipe.training.eval_strategy == "no" else heldout,
        processing_class=student.tokenizer,
    )
    return watched(trainer)


def exam_batches(
    recipe: PretrainRecipe, student: Reader, heldout: datasets.Dataset
) -> Iterator[tuple[Batch, Batch | None]]:
    """Held-out sequences in batches, beside each the same ones in another view, where there is one."""
    collate, *others = exam_views(recipe, student)
    size = recipe.training.per_device_eval_batch_size
    for start in range(0, len(heldout), size):
        rows = heldout.select(range(start, min(len(heldout), start + size))).to_list()
        again = Batch.from_collated(others[0](rows)) if others else None
        yield Batch.from_collated(collate(rows)), again
        advance(len(rows))


def exam_views(recipe: PretrainRecipe, student: Reader) -> list[DistillationCollator]:
    """How sequences are seen in the exam: masked in two ways, or by a causal model in the one way there is."""
    if not is_masked(student.model.config):
        return [CausalCollator(student.tokenizer)]
    share, whole_words = recipe.masking.probability, recipe.masking.whole_words
    return [
        MaskingCollator(student.tokenizer, mask_probability=share, whole_words=whole_words, seed=seed)
        for seed in (0, 1)
    ]
