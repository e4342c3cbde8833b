"""What can be checked before hours of training: teacher, data, every contestant and every kind of student."""

from __future__ import annotations

from pathlib import Path

from codir.config import CompareConfig, Contestant, ObjectivesConfig
from codir.errors import UserError
from codir.runs.build import build_training_arguments, make_student
from codir.runs.compare.common import Common, exam_of
from codir.runs.compare.entries import recipe_of
from codir.runs.objectives import build_objectives, check_preset
from codir.runs.preflight import check_reader, has_pairs
from codir.runs.processes import say
from codir.runs.teachers import TeacherOfRun, check_needs, check_teacher, judge_teacher, note_file, note_readers
from codir.store import fingerprint_model, fingerprint_tokenizer
from codir.tasks import Task, kind_of


def check_all(config: CompareConfig, common: Common) -> dict[str, str]:
    """Check what can be checked before hours of training; gives a fingerprint of how each kind of student starts."""
    teacher, data, exam = common.teacher, common.data, exam_of(config, common.data)
    for contestant in config.presets:
        check_objectives(contestant, config.objectives_of(contestant), teacher, data.task)
    say(check_teacher(teacher, data))
    say(judge_teacher(common.of_teacher or None, exam, Path(config.teacher.model).name))
    say(note_file(teacher, common.of_teacher or None, exam))
    starts = {}
    for name, section in config.students.items():
        student = make_student(section, teacher, data, seed=config.seed_list[0], max_length=config.data.max_length)
        check_reader(student, config.data.max_length, pairs=has_pairs(data), role="student")
        say(f"{name}: {note}" for note in note_readers(teacher, student))
        starts[name] = fingerprint_model(student.model) + fingerprint_tokenizer(student.tokenizer)
        for contestant in config.presets:
            recipe = recipe_of(config, contestant, section, seed=config.seed_list[0])
            build_training_arguments(recipe.training, recipe.output_dir)
    return starts


def check_objectives(contestant: Contestant, objectives: ObjectivesConfig, teacher: TeacherOfRun, task: Task) -> None:
    """Refuse options of a contestant that cannot be with any student, with this teacher, or for this kind of task."""
    try:
        build_objectives(objectives)
        check_preset(objectives, kind_of(task))
        check_needs(teacher, objectives, task)
    except UserError as error:
        raise error.of(contestant.label) from error
