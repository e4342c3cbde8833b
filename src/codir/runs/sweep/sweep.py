"""`codir sweep`: students of several sizes from one teacher, each distilled and exported, all measured together."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from codir.config import ExportConfig, Recipe, SweepConfig
from codir.config.words import EXPORTED_TEACHER
from codir.data import RowCollator, encode
from codir.errors import UserError
from codir.errors.shown import counted
from codir.export import Exporter, check_ships
from codir.measure import open_exported
from codir.models import Reader
from codir.report import SweepResult, write_sweep
from codir.runs.build import check_training, make_student
from codir.runs.compare.common import Common, build_shared_cache, exam_of, load_common
from codir.runs.compare.entries import fingerprint_of
from codir.runs.distill import check_unlabelled, distill
from codir.runs.export import exporters_for, log_refusals, of_each
from codir.runs.objectives import build_objectives, check_preset
from codir.runs.output import RECORD_NAME as OF_RUN
from codir.runs.output import check_empty, check_output_dir
from codir.runs.preflight import (
    check_labels,
    check_reader,
    check_teacher_score,
    has_pairs,
    note_budget,
    note_tokenizers,
)
from codir.runs.processes import quiet_rooms, refuse_processes, said
from codir.runs.rehearsal import count_steps
from codir.runs.series import Series, SeriesFolder
from codir.runs.sweep.entries import Entry, entry_of, export_once, stamp_of, teacher_export
from codir.runs.sweep.measuring import measure
from codir.runs.teachers import model_of, refuse_file
from codir.store import (
    Damage,
    Ledger,
    find_damage,
    fingerprint_model,
    fingerprint_tokenizer,
    read_sealed,
    seal,
    write_whole,
)
from codir.system import Broken, check_sharding, work_in_turn
from codir.system.progress import phase
from codir.tasks import kind_of

logger = logging.getLogger(__name__)

INPUTS_NAME = "inputs.json"
"""Fingerprints of what the students were made from, in the sweep's folder."""
SWEEP = Series(
    what="a sweep",
    key="tolerate",
    products=("sweep.json", "sweep.md", "sweep.png", "report.html", INPUTS_NAME),
    kept="students",
    finished="students",
)


def sweep(config: SweepConfig) -> SweepResult:
    """Distil, export and measure students of several sizes, and say which is the smallest that will do.

    Leaves in `config.output_dir`: `report.html`, `sweep.json`, `sweep.md`, `sweep.png` and `recipe.yaml`; for each
    student what `codir distill` leaves, in `students/<name>`, and what `codir export` leaves, in `exported/<name>`.
    With `export_teacher`, the teacher's own export is in `exported/teacher`.

    Started again, it keeps finished students, goes on with the one that was interrupted, and measures all together. A
    student that breaks is named at the end, and the rest goes on.

    Raises:
        UserError: input that cannot work, before any training; or no student came to its end.
    """
    refuse_processes("sweep", "start it without `torchrun`")
    refuse_file(config.teacher.model, "sweep", "students are cut from the teacher's layers and timed beside it")
    check_sharding(config.training.fsdp, config.training.deepspeed)
    check_training(config.training)
    exporters = exporters_for(config.engine)
    entries = [entry_of(config, name, student) for name, student in config.all_students.items()]
    of_teacher = teacher_export(config)
    folder = SeriesFolder(config, SWEEP)
    with folder.held():
        check_places(entries, of_teacher, overwrite=config.overwrite)
        common = load_common(config)
        notes = check_teacher(config, common, entries[0].recipe)
        inputs = check_students(config, entries, common, exporters)
        folder.claim()
        note_inputs(folder, inputs, entries)

        failed = make_all(entries, common)
        made = [entry for entry in entries if entry not in failed]
        why_not = export_teacher(of_teacher, inputs["teacher"]) if of_teacher and made else None
        for entry in made:
            notes += said(note for note in entry.notes() if note not in notes)
        place = of_teacher.output_dir if of_teacher and why_not is None else None
        broken = [*failed.values(), *filter(None, [why_not])]
        result = measure(config, common, made, broken, notes, place)
        with folder.ledger.listing():
            write_sweep(result, config.output_dir)
        if not result.failed:
            folder.finish()
        return result


# ---- Before any training ----


def check_teacher(config: SweepConfig, common: Common, recipe: Recipe) -> list[str]:
    """Refuse a teacher that does not fit the data, and objectives that cannot be; gives notes for the report."""
    exam, task = exam_of(config, common.data), common.data.task
    check_preset(config.objectives, kind_of(task))
    build_objectives(config.objectives)
    check_unlabelled(config.objectives, common.data.num_unlabelled)
    notes = said(check_labels(model_of(common.teacher).model, task))
    steps, _ = count_steps(recipe, len(common.data.train or ()))
    notes += said(note_budget(config.objectives, steps, unlabelled=common.data.num_unlabelled))
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
            said(note_tokenizers(model_of(common.teacher).tokenizer, student.tokenizer))
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


def check_places(entries: Sequence[Entry], of_teacher: ExportConfig | None, *, overwrite: bool) -> None:
    """Refuse folders that hold something else, and runs of another recipe."""
    do = "choose another `--output-dir`, or pass `--overwrite` to make all students again"
    if of_teacher is not None:
        check_replaceable(of_teacher)
    for entry in entries:
        place = entry.recipe.output_dir
        has_begun = Ledger(place).exists()
        try:
            check_replaceable(entry.exporting)
            if not has_begun:
                check_empty(place, "choose another `--output-dir`, or move it away")
            elif not overwrite:
                check_output_dir(entry.recipe.model_copy(update={"resume": True}))
        except UserError as error:
            do = error.do if error.subject == "output_dir" else do
            raise UserError(entry.name, expected=error.expected, got=error.got, do=do) from error


def check_replaceable(exporting: ExportConfig) -> None:
    """Refuse a place for an export that holds something else."""
    if find_damage(exporting.output_dir) is not None and not stamp_of(exporting).exists():
        check_empty(exporting.output_dir, "choose another `--output-dir`, or move it away")


def check_exports(student: Reader, common: Common, exporters: Sequence[Exporter]) -> None:
    """Export a student before it has learned anything: a family that no engine can run is found out now.

    Raises:
        UserError: none can; one of several that cannot is named in the log.
    """
    rows = common.data.dev[next(iter(common.data.dev))]
    encoded = encode(rows.select([0, len(rows) - 1]), student.tokenizer, max_length=32)
    model, batch = student.model.to("cpu").eval(), RowCollator(encoded, student.tokenizer)([0, 1])

    def attempt(exporter: Exporter) -> None:
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

    log_refusals(of_each(exporters, attempt))


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
    done = len(entries) - len(to_do)
    logger.info("%s: %d already done, %d to do", counted(len(entries), "student"), done, len(to_do))
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
        export_once(entry.exporting, entry.weights)


def export_teacher(exporting: ExportConfig, weights: str) -> str | None:
    """Export the teacher too, unless that was done; gives what is in the way, where something is."""
    try:
        with quiet_rooms("runs.processes", "runs.export", "runs.preflight"), phase(EXPORTED_TEACHER):
            export_once(exporting, weights)
    except UserError as error:
        return f"{EXPORTED_TEACHER}: {error}"
    return None
