"""A teacher that is a file: what somebody else's model answered, found row by row."""

from codir.teacher.answers.file import AnswersFile, check_kind, is_answers_file
from codir.teacher.answers.teacher import FileTeacher

__all__ = ["AnswersFile", "FileTeacher", "check_kind", "is_answers_file"]
