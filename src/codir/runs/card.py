"""What a model card says of how its model was made: from recipe, models and rows to plain values.

What was found of the model comes from its report (`codir.report.findings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers import PreTrainedModel

from codir.config import AnyRun, FinetuneConfig, ObjectivesConfig, PretrainRecipe, Recipe, read_preset
from codir.data import LoadedData, column_of, data_on_hub, model_on_hub
from codir.errors.shown import counted, public_name
from codir.measure import count_parameters
from codir.models import Reader, is_masked, label_names, shape_of
from codir.report import Lengths, Origin, Term, in_thousands, rows_in_words, training_in_words
from codir.runs.preflight import has_pairs
from codir.runs.teachers import TeacherOfRun
from codir.student import student_origin
from codir.tasks import kind_of, language_task
from codir.teacher import AnswersFile

PAPERS: Mapping[str, tuple[str, str]] = {
    "soft_target": ("Hinton et al. 2015", "1503.02531"),
    "logit_mse": ("Tang et al. 2019", "1903.12136"),
    "pooled_mse": ("Sun et al. 2019", "1908.09355"),
    "cls_cosine": ("Aguilar et al. 2020", "1910.03723"),
    "token_cosine": ("Sanh et al. 2019", "1910.01108"),
    "hidden_mse": ("Jiao et al. 2020", "1909.10351"),
    "attention_mse": ("Jiao et al. 2020", "1909.10351"),
    "attention_kl": ("Sun et al. 2020", "2004.02984"),
    "relation_kl": ("Wang et al. 2021", "2012.15828"),
    "token_label": ("Devlin et al. 2019", "1810.04805"),
    "token_kl": ("Hinton et al. 2015", "1503.02531"),
    "contrastive": ("Sun et al. 2020", "2009.14167"),
    "word_contrast": ("Sun et al. 2020", "2009.14167"),
    "margin_mse": ("Hofstätter et al. 2020", "2010.02666"),
    "listwise_kl": ("Santhanam et al. 2021", "2112.01488"),
    "embedding_mse": ("Reimers and Gurevych 2020", "2004.09813"),
    "embedding_cosine": ("Zhang et al. 2024", "2412.19048"),
    "embedding_contrast": ("Fang et al. 2021", "2101.04731"),
}
"""The paper that each objective is first taken from; `docs/papers.md` says where codir departs from it."""
NO_NEW_TERMS = "It was trained on the labels alone."


def origin_of_student(
    recipe: Recipe,
    data: LoadedData,
    teacher: TeacherOfRun,
    student: Reader,
    rows: datasets.Dataset,
    facts: Mapping[str, Any],
) -> Origin:
    """How a distilled student was made.

    Args:
        recipe: of the run.
        data: that it learned.
        teacher: that taught it.
        student: as it is in the end.
        rows: that it was trained on, as it read them.
        facts: as `training_facts` and `data_facts` give them: `training` and `train`.
    """
    return Origin(
        **_what_it_is(recipe, student.model),
        **_of_task(data, recipe.data.max_length, rows, student.model),
        start=_start(student.model, recipe.student.checkpoint),
        **_of_teacher(recipe, teacher),
        datasets=_on_hub(recipe.data.source),
        method=method_of(recipe.objectives),
        terms=list(terms_of(recipe.objectives)),
        facts=_training(facts, recipe) | kind_of(data.task).settings_in_words(student.model.config),
    )


def origin_of_finetuned(
    config: FinetuneConfig, data: LoadedData, model: PreTrainedModel, rows: datasets.Dataset, facts: Mapping[str, Any]
) -> Origin:
    """How a task model was made from a pre-trained one; the arguments are those of `origin_of_student`."""
    return Origin(
        **_what_it_is(config, model),
        **_of_task(data, config.data.max_length, rows, model),
        start="the weights of that model, and a new head where it had none for this task",
        base=_base(config.model),
        has_teacher=False,
        datasets=_on_hub(config.data.source),
        method=NO_NEW_TERMS,
        facts=_training(facts, config) | kind_of(data.task).settings_in_words(model.config),
    )


def origin_of_pretrained(
    recipe: PretrainRecipe, teacher: Reader | None, student: Reader, sequences: int, steps: int
) -> Origin:
    """How a language model was made.

    Args:
        recipe: of the run.
        teacher: that taught it, if one did.
        student: as it is in the end.
        sequences: that it was trained on.
        steps: that its training took.
    """
    training = recipe.training
    predicts_masked = is_masked(student.model.config)
    facts = {
        "corpus": f"{public_name(recipe.corpus.source)}, {counted(sequences, 'sequence')} of at most "
        f"{recipe.corpus.max_length} tokens",
        "training": f"{counted(steps, 'step')}, {counted(training.per_device_train_batch_size, 'sequence')} per step "
        f"and device, learning rate {training.learning_rate:g}",
        "seed": str(training.seed),
    }
    if predicts_masked:
        words = ", whole words together" if recipe.masking.whole_words else ""
        facts["masking"] = f"{recipe.masking.probability:.0%} of the tokens{words}"
    return Origin(
        **_what_it_is(recipe, student.model),
        auto_class=language_task(is_masked=predicts_masked).auto_class,
        start=_start(student.model, recipe.student.checkpoint),
        base=_base(recipe.teacher or str(recipe.student.checkpoint)),
        base_size=_size(teacher.model) if teacher else None,
        has_teacher=teacher is not None,
        datasets=_on_hub(recipe.corpus.source),
        method=method_of(recipe.objectives),
        terms=list(terms_of(recipe.objectives)),
        facts=facts,
        mask_token=student.tokenizer.mask_token if predicts_masked else None,
    )


# ---- Objectives ----


def method_of(objectives: ObjectivesConfig) -> str:
    """Whose objectives these are, in a sentence of Markdown.

    Example:
        >>> method_of(ObjectivesConfig.model_validate("kd"))
        'Objectives of preset `kd` (Hinton et al. 2015, [arXiv 1503.02531](https://arxiv.org/abs/1503.02531)):'
    """
    if objectives.preset is None:
        return "Objectives:"
    source = re.sub(
        r"arXiv (\d+\.\d+)", r"[arXiv \1](https://arxiv.org/abs/\1)", read_preset(objectives.preset)["source"]
    )
    is_changed = objectives.model_dump() != ObjectivesConfig.model_validate(objectives.preset).model_dump()
    return f"Objectives of preset `{objectives.preset}` ({source}){', with changes' if is_changed else ''}:"


def terms_of(objectives: ObjectivesConfig) -> Iterator[Term]:
    """The objectives one by one; those of a stage after one another.

    Example:
        >>> [(term.name, term.weight, term.settings) for term in terms_of(ObjectivesConfig.model_validate("kd"))]
        [('hard_label', 0.5, {}), ('soft_target', 0.5, {'kd_temperature': 2.0})]
    """
    stages: Sequence[ObjectivesConfig] = objectives.stages or [objectives]
    shares = [getattr(stage, "epochs", 1.0) for stage in stages]
    for number, stage in enumerate(stages, 1):
        part = f"stage {number} of {len(stages)}, {shares[number - 1] / sum(shares):.0%} of the training"
        for name, term in stage.terms().items():
            given = term.model_dump(include=term.model_fields_set - {"weight"}, mode="json")
            paper, arxiv = PAPERS.get(name, (None, None))
            yield Term(
                name,
                getattr(term, "weight"),  # noqa: B009 - every term has one, `Room` does not
                (term.__doc__ or "").partition("\n")[0],
                {key: value for key, value in given.items() if value is not None},
                paper,
                arxiv,
                part if objectives.stages else None,
            )


# ---- Parts ----


def _what_it_is(config: AnyRun, model: PreTrainedModel) -> dict[str, Any]:
    return {
        "name": config.push_to_hub or config.output_dir.resolve().name or "student",
        "size": _size(model),
        "needs_codir": type(model.base_model).__module__.startswith("codir."),
    }


def _of_task(data: LoadedData, max_length: int, rows: datasets.Dataset, model: PreTrainedModel) -> dict[str, Any]:
    kind = kind_of(data.task)
    return {
        "auto_class": kind.auto_class,
        "labels": label_names(model) or list(data.task.id2label.values()) if kind.has_classes else [],
        "lengths": _lengths(rows, max_length),
        "reads_pairs": has_pairs(data),
        "asks": kind.pipeline_arguments,
    }


def _of_teacher(recipe: Recipe, teacher: TeacherOfRun) -> dict[str, Any]:
    """What taught the student; of a file only that it is one is known, and the base is what the student began as."""
    if not isinstance(teacher, AnswersFile):
        return {"base": _base(recipe.teacher.model), "base_size": _size(teacher.model)}
    return {"base": _base(str(recipe.student.checkpoint)), "answers": teacher.name}


def _size(model: PreTrainedModel) -> str:
    shape = shape_of(model)
    return f"{counted(shape.num_layers, 'layer')} x {shape.hidden}, {in_thousands(count_parameters(model))} parameters"


def _start(student: PreTrainedModel, checkpoint: str | Path | None) -> str:
    origin = student_origin(student)
    if checkpoint is not None:
        return f"the weights of {public_name(str(checkpoint))}"
    return str(origin).partition("; ")[0] if origin else "weights of its own"


def _base(model: str) -> str:
    return model_on_hub(model) or public_name(model)


def _on_hub(source: str) -> Sequence[str]:
    name = data_on_hub(source)
    return [] if name is None else [name]


def _training(facts: Mapping[str, Any], config: Recipe | FinetuneConfig) -> dict[str, str]:
    train = facts["train"]
    unlabelled = train.get("unlabelled_rows", 0)
    more = f", and {unlabelled:,} without a label" if unlabelled else ""
    return {
        "training set": rows_in_words({"train": train})[0] + more,
        "training": training_in_words(facts["training"]),
        "seed": str(config.training.seed),
    }


def _lengths(rows: datasets.Dataset, max_length: int) -> Lengths | None:
    if "length" not in rows.column_names:
        return None
    lengths = column_of(rows, "length")
    cut = float(np.mean(rows["truncated"])) if "truncated" in rows.column_names else 0.0
    return Lengths(int(lengths.min()), int(np.median(lengths)), int(lengths.max()), max_length, cut)
