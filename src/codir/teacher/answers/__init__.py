"""A teacher that is a file: what somebody else's model answered, found row by row."""

from codir.teacher.answers.file import AnswersFile, is_answers_file
from codir.teacher.answers.teacher import FileTeacher

__all__ = ["AnswersFile", "FileTeacher", "is_answers_file"]
