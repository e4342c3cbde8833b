"""What can be checked before hours of training: teacher, data, every contestant and every kind of student."""

from __future__ import annotations

from codir.config import CompareConfig, Contestant, ObjectivesConfig
from codir.errors import UserError
from codir.runs.build import build_training_arguments, make_student
from codir.runs.compare.common import Common, exam_of
from codir.runs.compare.entries import recipe_of
from codir.runs.objectives import build_objectives, check_preset
from codir.runs.preflight import check_labels, check_reader, check_teacher_score, has_pairs, note_tokenizers
from codir.runs.processes import say
from codir.store import fingerprint_model, fingerprint_tokenizer
from codir.tasks import Kind, kind_of


def check_all(config: CompareConfig, common: Common) -> dict[str, str]:
    """Check what can be checked before hours of training; gives a fingerprint of how each kind of student starts."""
    teacher, data, exam = common.teacher, common.data, exam_of(config, common.data)
    say(check_labels(teacher.model, data.task))
    say(check_teacher_score(common.of_teacher[exam.first], exam.labels(exam.first), data.task))
    for contestant in config.presets:
        check_objectives(contestant, config.objectives_of(contestant), kind_of(data.task))
    starts = {}
    for name, section in config.students.items():
        student = make_student(section, teacher, data, seed=config.seed_list[0], max_length=config.data.max_length)
        check_reader(student, config.data.max_length, pairs=has_pairs(data), role="student")
        say(f"{name}: {note}" for note in note_tokenizers(teacher.tokenizer, student.tokenizer))
        starts[name] = fingerprint_model(student.model) + fingerprint_tokenizer(student.tokenizer)
        for contestant in config.presets:
            recipe = recipe_of(config, contestant, section, seed=config.seed_list[0])
            build_training_arguments(recipe.training, recipe.output_dir)
    return starts


def check_objectives(contestant: Contestant, objectives: ObjectivesConfig, kind: Kind) -> None:
    """Refuse options of a contestant that cannot be together with any student, or not for this kind of task."""
    try:
        build_objectives(objectives)
        check_preset(objectives, kind)
    except UserError as error:
        raise error.of(contestant.label) from error
