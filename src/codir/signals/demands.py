"""Whether two models are what an objective demands, checked in one place before any weight is made."""

from __future__ import annotations

from codir.errors import UserError
from codir.signals.needs import ModelShape, Needs
from codir.tasks import OFFERS, Kind


def check_demands(term: str, needs: Needs, *, teacher: ModelShape | None, student: ModelShape) -> None:
    """Refuse models that an objective cannot work with.

    Args:
        term: what messages call the objective.
        needs: what it asks for and demands.
        teacher: sizes of the teacher; `None` where there is none.
        student: sizes of the student.

    Raises:
        UserError: says which demand is not met, and what else there is.

    Example:
        >>> shape = ModelShape(num_layers=2, hidden=8, heads=2, classes=3)
        >>> check_demands("hard_label", Needs(demands=frozenset({"classes"})), teacher=None, student=shape)
    """
    if needs.teacher and teacher is None:
        raise UserError("teacher", expected=f"a model, which `{term}` needs", got="None", do="pass `teacher=...`")
    check_offers(term, needs, student.kind)
    if "classes" in needs.demands:
        _check_classes(term, teacher if needs.teacher else None, student)
    if "vocabulary" in needs.demands:
        _check_vocabulary(term, teacher if needs.teacher else None, student)
    if teacher is not None and "attention" in needs.demands:
        _check_attention(term, teacher, student)
    if teacher is not None and "equal_heads" in needs.demands:
        _check_equal_heads(term, teacher, student)


def check_offers(term: str, needs: Needs, kind: Kind | None) -> None:
    """Refuse an objective that asks for what the kind of task does not have.

    Args:
        term: what messages call the objective.
        needs: what it asks for.
        kind: of the task; `None` for a language model.

    Raises:
        UserError: says what is missing.
    """
    missing = sorted(needs.of_kind - kind.offers) if kind is not None else []
    if kind is not None and missing:
        raise UserError(
            term,
            expected=f"a kind of task with {' and '.join(OFFERS[offer] for offer in missing)}",
            got=f"`{kind.name}`, which has none",
            do="choose another preset, or set this term to `null`",
        )


def _check_classes(term: str, teacher: ModelShape | None, student: ModelShape) -> None:
    for role, model in (("teacher", teacher), ("student", student)):
        if model is not None and not model.classes:
            raise UserError(
                term,
                expected=f"a classifier or regressor as the {role}",
                got="a language model",
                do="in pre-training, use `token_label` instead of `hard_label`, and `token_kl` instead of other terms",
            )
    if teacher is not None and teacher.classes != student.classes:
        raise UserError(
            term,
            expected=f"a student with as many outputs as its teacher, {teacher.classes}",
            got=str(student.classes),
            do="load the student with the teacher's `num_labels`, or make it with `codir.build_student`",
        )


def _check_vocabulary(term: str, teacher: ModelShape | None, student: ModelShape) -> None:
    for role, model in (("teacher", teacher), ("student", student)):
        if model is not None and not model.vocabulary:
            raise UserError(
                term,
                expected=f"a {role} with a language-model head, which predicts tokens",
                got="one without",
                do="pre-train such models, or choose objectives of the fine-tuning stage: `codir presets` lists both",
            )
    if teacher is not None and teacher.vocabulary != student.vocabulary:
        raise UserError(
            term,
            expected=f"a student that chooses from as many tokens as its teacher, {teacher.vocabulary}",
            got=str(student.vocabulary),
            do="cut the student from the teacher, or choose objectives that compare one vector per example",
        )


def _check_attention(term: str, teacher: ModelShape, student: ModelShape) -> None:
    if not (teacher.heads and student.heads):
        raise UserError(
            term,
            expected="two models with attention",
            got=f"{teacher.heads} heads of the teacher and {student.heads} of the student",
            do="choose an objective over logits or pooled layers",
        )


def _check_equal_heads(term: str, teacher: ModelShape, student: ModelShape) -> None:
    """Attention is compared head by head."""
    if student.heads != teacher.heads or not student.heads:
        raise UserError(
            term,
            expected=f"a student with attention, and with as many heads as its teacher ({teacher.heads})",
            got=f"{student.heads} heads",
            do="choose such a student, or `relation_kl`, which cuts both models' vectors into equally many heads",
        )
