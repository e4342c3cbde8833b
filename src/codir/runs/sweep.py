"""`codir sweep`: students of several sizes from one teacher, each distilled and exported, all measured together."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from codir.config import ExportConfig, Recipe, StudentConfig, SweepConfig, validate
from codir.config.words import BENCHMARK_ROWS, TEACHER
from codir.data import RowCollator, encode
from codir.errors import UserError
from codir.export import Exporter, check_ships
from codir.measure import (
    RECORD_NAME,
    Contender,
    Runner,
    TorchRunner,
    gather_conditions,
    measure_losses,
    open_exported,
)
from codir.models import Reader
from codir.report import PYTORCH, SweepResult, write_sweep
from codir.runs.benchmark import time_in_turns
from codir.runs.build import check_training, make_student, open_reader
from codir.runs.compare.common import Common, build_shared_cache, exam_of, load_common
from codir.runs.compare.entries import digest, fingerprint_of
from codir.runs.distill import distill
from codir.runs.export import export_model, exporters_for
from codir.runs.objectives import build_objectives
from codir.runs.output import RECORD_NAME as OF_RUN
from codir.runs.output import RunFolder, check_empty, check_output_dir
from codir.runs.preflight import (
    check_labels,
    check_reader,
    check_teacher_score,
    has_pairs,
    note_budget,
    note_floor,
    note_tokenizers,
)
from codir.runs.processes import quiet_rooms, refuse_processes, said
from codir.runs.rehearsal import count_steps
from codir.runs.series import Series, SeriesFolder
from codir.store import (
    Damage,
    Ledger,
    find_damage,
    fingerprint_files,
    fingerprint_model,
    fingerprint_tokenizer,
    read_sealed,
    seal,
    write_whole,
)
from codir.system import Broken, check_sharding, work_in_turn
from codir.system.progress import phase

logger = logging.getLogger(__name__)

INPUTS_NAME = "inputs.json"
"""Fingerprints of what the students were made from, in the sweep's folder."""
SWEEP = Series(
    what="a sweep",
    key="tolerate",
    products=("sweep.json", "sweep.md", "sweep.png", INPUTS_NAME),
    kept="students",
    finished="students",
)


def sweep(config: SweepConfig) -> SweepResult:
    """Distil, export and measure students of several sizes, and say which is the smallest that will do.

    Leaves in `config.output_dir`: `sweep.json`, `sweep.md`, `sweep.png` and `recipe.yaml`; for each student what
    `codir distill` leaves, in `students/<name>`, and what `codir export` leaves, in `exported/<name>`.

    Started again, it keeps finished students, goes on with the one that was interrupted, and measures all together. A
    student that breaks is named at the end, and the rest goes on.

    Raises:
        UserError: input that cannot work, before any training; or no student came to its end.
    """
    refuse_processes("sweep", "start it without `torchrun`")
    check_sharding(config.training.fsdp, config.training.deepspeed)
    check_training(config.training)
    exporters = exporters_for(config.engine)
    entries = [entry_of(config, name, student) for name, student in config.all_students.items()]
    folder = SeriesFolder(config, SWEEP)
    with folder.held():
        check_places(entries, overwrite=config.overwrite)
        common = load_common(config)
        notes = check_teacher(config, common, entries[0].recipe)
        inputs = check_students(config, entries, common, exporters)
        folder.claim()
        note_inputs(folder, inputs, entries)

        failed = make_all(entries, common)
        made = [entry for entry in entries if entry not in failed]
        for entry in made:
            notes += said(note for note in entry.notes() if note not in notes)
        result = measure(config, common, made, list(failed.values()), notes)
        with folder.ledger.listing():
            write_sweep(result, config.output_dir)
        if not failed:
            folder.finish()
        return result


@dataclass(frozen=True, eq=False)
class Entry:
    """One student of a sweep: where it is distilled to, where it is exported to, and how."""

    name: str
    recipe: Recipe
    exporting: ExportConfig

    @property
    def stamp(self) -> Path:
        """Says what the export was made from; written once it is whole."""
        return self.exporting.output_dir.with_name(f".{self.name}.json")

    def is_distilled(self) -> bool:
        """Whether its run came to its end."""
        return RunFolder(self.recipe).is_complete()

    def made_from(self) -> str:
        """What decides its export: the student's files, and how it is exported."""
        how = self.exporting.model_dump(mode="json", include={"engine", "int8", "max_loss", "calibration_rows"})
        weights = sorted(self.recipe.output_dir.glob("*.safetensors"))
        return digest({"how": how, "weights": fingerprint_files(weights)})

    def is_made(self) -> bool:
        """Whether it is distilled, and exported as it now would be."""
        stamp, folder = read_sealed(self.stamp), self.exporting.output_dir
        if not self.is_distilled() or isinstance(stamp, Damage) or stamp.get("made_from") != self.made_from():
            return False
        return find_damage(folder) is None

    def notes(self) -> list[str]:
        """What its own report says that a reader has to know."""
        report = json.loads((self.recipe.output_dir / "report.json").read_text("utf-8"))
        return list(report["notes"])


def entry_of(config: SweepConfig, name: str, student: StudentConfig) -> Entry:
    """What `codir distill` and `codir export` would be given.

    All students read the teacher from one cache, unless it is to run live.
    """
    place = config.output_dir / "students" / name
    sections = {
        "teacher": {**config.teacher.model_dump(), "cache": config.teacher.cache is not False},
        "data": config.data.model_dump(),
        "student": student.model_dump(),
        "objectives": config.objectives.model_dump(),
        "training": config.training.model_dump(),
        "output_dir": place,
    }
    exporting = {
        **config.model_dump(include={"data", "engine", "int8", "max_loss", "calibration_rows"}),
        "model": str(place),
        "output_dir": config.output_dir / "exported" / name,
        "overwrite": True,
    }
    return Entry(name, validate(Recipe, sections), validate(ExportConfig, exporting))


# ---- Before any training ----


def check_teacher(config: SweepConfig, common: Common, recipe: Recipe) -> list[str]:
    """Refuse a teacher that does not fit the data, and objectives that cannot be; gives notes for the report."""
    exam, task = exam_of(config, common.data), common.data.task
    build_objectives(config.objectives)
    notes = said(check_labels(common.teacher.model, task))
    notes += said(note_budget(config.objectives, count_steps(recipe, len(common.data.train or ()))[0]))
    said(check_teacher_score(common.of_teacher[exam.first], exam.labels(exam.first), task))
    return [*common.data.notes, *notes]


def check_students(
    config: SweepConfig, entries: Sequence[Entry], common: Common, exporters: Sequence[Exporter]
) -> dict[str, str]:
    """Refuse students that the teacher cannot give, or that no engine can run, and folders that hold something else.

    Gives fingerprints: of the teacher, of the rows, and of how each student starts.
    """
    inputs, types = fingerprint_of(common), set()
    for entry in entries:
        try:
            student = make_student(
                entry.recipe.student,
                common.teacher,
                common.data,
                seed=config.training.seed,
                max_length=config.data.max_length,
            )
            check_reader(student, config.data.max_length, pairs=has_pairs(common.data), role="student")
            check_ships(student.tokenizer)
            said(note_tokenizers(common.teacher.tokenizer, student.tokenizer))
            start = fingerprint_model(student.model) + fingerprint_tokenizer(student.tokenizer)
            inputs[f"start of {entry.name}"] = start
            if student.model.config.model_type not in types and (config.overwrite or not entry.is_made()):
                types.add(student.model.config.model_type)
                check_exports(student, common, exporters)
        except UserError as error:
            raise error.of(entry.name) from error
    if not config.overwrite:
        refuse_other_inputs(config.output_dir / INPUTS_NAME, inputs)
    return inputs


def check_places(entries: Sequence[Entry], *, overwrite: bool) -> None:
    """Refuse folders that hold something else, and runs of another recipe."""
    do = "choose another `--output-dir`, or pass `--overwrite` to make all students again"
    for entry in entries:
        place, exported = entry.recipe.output_dir, entry.exporting.output_dir
        has_begun = Ledger(place).exists()
        try:
            if find_damage(exported) is not None and not entry.stamp.exists():
                check_empty(exported, "choose another `--output-dir`, or move it away")
            if not has_begun:
                check_empty(place, "choose another `--output-dir`, or move it away")
            elif not overwrite:
                check_output_dir(entry.recipe.model_copy(update={"resume": True}))
        except UserError as error:
            do = error.do if error.subject == "output_dir" else do
            raise UserError(entry.name, expected=error.expected, got=error.got, do=do) from error


def check_exports(student: Reader, common: Common, exporters: Sequence[Exporter]) -> None:
    """Export a student before it has learned anything: a family that an engine cannot run is found out now."""
    rows = common.data.dev[next(iter(common.data.dev))]
    encoded = encode(rows.select([0, len(rows) - 1]), student.tokenizer, max_length=32)
    model, batch = student.model.to("cpu").eval(), RowCollator(encoded, student.tokenizer)([0, 1])
    for exporter in exporters:
        with tempfile.TemporaryDirectory(prefix="codir-sweep-") as scratch, phase(f"trying {exporter.engine}"):
            try:
                exporter.write(model, batch, Path(scratch))
                open_exported(scratch, student.tokenizer)
            except UserError:
                raise
            except Exception as error:  # exporters raise whatever their parts do
                raise UserError(
                    f"engine {exporter.engine}",
                    expected="a model that it can run",
                    got=f"{model.config.model_type} ({type(error).__name__})",
                    otherwise="this would have come out after its training",
                    do="leave this student out, or choose another `--engine`",
                ) from error


def refuse_other_inputs(file: Path, inputs: Mapping[str, str]) -> None:
    """Refuse to go on where the teacher, the rows or a student's start is not what it was."""
    known = read_sealed(file) if file.exists() else {}
    if isinstance(known, Damage):
        changed = [str(known)]
    else:
        changed = [f"another {key}" for key in inputs if known.get(key, inputs[key]) != inputs[key]]
    if changed:
        raise UserError(
            "output_dir",
            expected=f"the teacher, rows and students that the sweep in {file.parent} was begun with",
            got=", ".join(changed),
            otherwise="students would have been compared that learned from different things",
            do="choose another `--output-dir`, or pass `--overwrite` to make all students again",
        )


def note_inputs(folder: SeriesFolder, inputs: Mapping[str, str], entries: Sequence[Entry]) -> None:
    """Keep the fingerprints for the next start; where students are to be made again, set theirs aside."""
    file = folder.path / INPUTS_NAME
    known = read_sealed(file) if file.exists() else {}
    with folder.ledger.listing():
        write_whole(file, json.dumps(seal({**({} if isinstance(known, Damage) else known), **inputs}), indent=2) + "\n")
    for entry in entries:
        if folder.config.overwrite and Ledger(entry.recipe.output_dir).exists():
            Ledger(entry.recipe.output_dir).set_aside()


# ---- Each student ----


def make_all(entries: Sequence[Entry], common: Common) -> dict[Entry, str]:
    """Make those that are not there yet; gives what broke, and why."""
    to_do = [entry for entry in entries if not entry.is_made()]
    logger.info("%d students: %d already done, %d to do", len(entries), len(entries) - len(to_do), len(to_do))
    build_shared_cache({entry.name: entry.recipe for entry in to_do if not entry.is_distilled()}, common)
    failed = {}
    with phase("sweep", len(to_do), unit="students") as progress:
        for number, (entry, outcome) in enumerate(work_in_turn(make, to_do, common), start=1):
            if isinstance(outcome, Broken):
                failed[entry] = f"{entry.name}: {outcome.why}"
            said_of_it = failed.get(entry, f"{entry.name}: distilled and exported")
            logger.info("[%d/%d] %s", number, len(to_do), said_of_it)
            progress.advance()
    return failed


def make(entry: Entry, common: Common) -> None:
    """Distil a student, or go on where that was interrupted, and export it; what was said for all is not said again."""
    with quiet_rooms("runs.processes", "runs.export", "runs.preflight"):
        if not entry.is_distilled():
            place = entry.recipe.output_dir
            has_begun = (place / OF_RUN).exists()  # or else what it replaces was set aside
            how = {"resume": has_begun, "overwrite": not has_begun and Ledger(place).exists()}
            distill(entry.recipe.model_copy(update=how))
        export_model(entry.exporting)
        write_whole(entry.stamp, json.dumps(seal({"made_from": entry.made_from()})) + "\n")


# ---- All of them, side by side ----


def measure(
    config: SweepConfig, common: Common, made: Sequence[Entry], failed: Sequence[str], notes: Sequence[str]
) -> SweepResult:
    """Ask all models the same questions, and time them in turns.

    Raises:
        UserError: there is none.
    """
    if not made:
        raise UserError("sweep", expected="a student that comes to its end", got=failed[0], do="fix what it names")
    exam, task = exam_of(config, common.data), common.data.task
    rows, labels = exam.dev[exam.first], exam.labels(exam.first)
    timed = rows.select(range(min(len(rows), BENCHMARK_ROWS)))
    readers = {entry.name: open_reader(str(entry.exporting.output_dir)) for entry in made}
    teacher = replace(common.teacher, model=common.teacher.model.to("cpu"))

    def runners(threads: int) -> dict[str, Runner]:
        exported = {
            name: open_exported(entry.exporting.output_dir, readers[name].tokenizer, threads=threads)
            for name, entry in zip(readers, made, strict=True)
        }
        return {TEACHER: TorchRunner.of(teacher, torch.float32), **exported}

    all_threads = torch.get_num_threads()
    at_once = runners(all_threads)
    answers = {name: exam.ask(runner, rows) for name, runner in at_once.items()}
    losses = measure_losses(answers, labels, task, against=TEACHER)
    runs = {TEACHER: PYTORCH, **{entry.name: how_it_runs(entry.exporting.output_dir) for entry in made}}
    contenders = {
        name: Contender(name, runs[name], *losses[name], runner.parameters, runner.bytes)
        for name, runner in at_once.items()
    }
    roles = {name: name if name == TEACHER else f"student {name}" for name in answers}
    warnings = [note for name, role in roles.items() for note in note_floor(role, answers[name], labels, task)]
    return SweepResult(
        title=f"Students of {Path(config.teacher.model).name} on {config.data.source}",
        metric=task.metrics[0],
        tolerate=config.tolerate,
        teacher=contenders.pop(TEACHER),
        students=list(contenders.values()),
        timings=[
            timing
            for threads in config.threads or sorted({1, all_threads})
            for timing in time_in_turns(runners(threads), timed, threads, max_length=exam.max_length, batch_sizes=())
        ],
        rows=len(timed),
        failed=tuple(failed),
        warnings=tuple(warnings),
        notes=tuple(notes),
        conditions=gather_conditions(dtype="float32", seed=config.training.seed),
        output_dir=config.output_dir,
    )


def how_it_runs(folder: Path) -> str:
    """Engine and precision of an export, by its record."""
    record = json.loads((folder / RECORD_NAME).read_text("utf-8"))
    return f"{record['engine']} {record['precision']}"
