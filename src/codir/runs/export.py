"""`codir export`: a student becomes a folder that runs without PyTorch, checked against the student on real rows."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from codir.config import ExportConfig
from codir.config.words import EngineChoice
from codir.data import LoadedData, RowCollator, encode, length_sorted_batches, stride_for
from codir.errors import UserError, together
from codir.errors.shown import counted
from codir.export import (
    EXPORTERS,
    Exporter,
    Gate,
    Rows,
    check_same,
    check_ships,
    quantise_within,
    usage_of,
    write_folder,
)
from codir.measure import (
    Answers,
    Candidate,
    Exam,
    ExportedRunner,
    ModelResult,
    Rejected,
    Runner,
    TorchRunner,
    Verdict,
    find_fault,
    gather_conditions,
    open_exported,
    predict_logits,
    weigh,
)
from codir.models import Reader
from codir.report import PYTORCH, ExportResult
from codir.runs.build import load, load_reader
from codir.runs.facts import note_changed_rows
from codir.runs.inputs import check_apart, inputs_of
from codir.runs.output import check_empty, check_writable
from codir.runs.preflight import check_labels, check_reader, has_pairs
from codir.runs.processes import refuse_processes, said
from codir.store import RUN, scratch_folder
from codir.system.progress import phase
from codir.tasks import kind_of
from codir.tasks.order import check_permutation
from codir.tasks.question_answering import LONGEST_ANSWER
from codir.tasks.thresholds import thresholds_of

logger = logging.getLogger(__name__)
T = TypeVar("T")

SEED = 0
FP32 = "fp32"


def export_model(config: ExportConfig, *, of_run: Path | None = None) -> ExportResult:
    """Write a model for ONNX Runtime or OpenVINO, in fp32 or int8, and say what that keeps and gains.

    In fp32 its logits must be PyTorch's. In int8 it may lose `max_loss` points on the evaluation rows; where it loses
    more, the layers that cost most stay in fp32. If nothing passes, nothing is written.

    Leaves in `config.output_dir`: the graph, tokenizer, config, `infer.py`, `export.json` with all numbers, and a
    manifest.

    Args:
        config: model, data and how.
        of_run: the output folder of a run whose recipe names this data; where its rows have changed since, that is
            said.

    Raises:
        UserError: input that cannot work, an engine that is not installed, or no candidate that passes.
    """
    refuse_processes("export", "start it without `torchrun`")
    check_apart(config.output_dir, inputs_of(config))
    check_writable(config.output_dir)
    check_replaceable(config.output_dir)
    if not config.overwrite:
        check_empty(config.output_dir, "choose another folder, or pass `--overwrite`")
    exporters = exporters_for(config.engine)

    reader = load_reader(config.model, config.data.task)
    check_ships(reader.tokenizer)
    data = load(config.data, reader)
    notes = said([*data.notes, *note_changed_rows(of_run, data), *check_labels(reader.model, data.task, role="model")])
    check_reader(reader, config.data.max_length, pairs=has_pairs(data))
    reader.model.to("cpu").eval()
    exam = Exam(data.dev, data.task, config.data.max_length)
    original = exam.answers(TorchRunner.of(reader))
    check_permutation(original[exam.first], exam.labels(exam.first), data.task, whose="the model")

    with scratch_folder(Path(tempfile.gettempdir()), RUN) as scratch:
        bench = Bench(reader, data, exam, original[exam.first], config, scratch)
        tried = bench.tried(exporters)
        candidates = [one for one in tried if isinstance(one, Candidate)]
        rejected = [one for one in tried if isinstance(one, Rejected)]
        runners: dict[str, Runner] = {PYTORCH: TorchRunner.of(reader)}
        runners |= {one.name: bench.open(one.folder) for one in candidates}
        answers = {PYTORCH: original, **{one.name: bench.answers[one.folder] for one in candidates}}
        models = exam.results(runners, answers)
        allowed = [one for one in candidates if bench.may_ship(one)]
        if not allowed:
            raise _nothing_passes(candidates, rejected, config.max_loss)
        chosen = max(allowed, key=lambda one: models[one.name].sentences_per_second or 0.0)
        result = ExportResult(
            title=f"Exported from {Path(config.model).name}",
            chosen=chosen,
            candidates=candidates,
            models=models,
            speed=exam.speed(),
            notes=(*notes, *said(_notes(chosen, models, rejected))),
            conditions=gather_conditions(dtype="float32", seed=SEED),
            output_dir=config.output_dir,
            usage=usage_of(kind_of(data.task), pairs=has_pairs(data)),
        )
        write_folder(
            chosen.folder,
            config.output_dir,
            engine=chosen.engine,
            config=reader.model.config,
            tokenizer=reader.tokenizer,
            max_length=config.data.max_length,
            record={
                **result.to_json(),
                "pairs": has_pairs(data),
                **_reading(data, config.data.max_length),
                **kind_of(data.task).exported(reader.model.config),
            },
        )
    return result


def _reading(data: LoadedData, max_length: int) -> dict[str, Any]:
    """What `infer.py` has to know of the task."""
    kind = kind_of(data.task)
    found: dict[str, Any] = {"ranks": kind.has_groups, "reads_windows": kind.reads_windows}
    if kind.reads_windows:
        has_none = any(start < 0 for rows in data.dev.values() for start, _ in rows["label"])
        found |= {"longest_answer": LONGEST_ANSWER, "may_be_none": has_none, "stride": stride_for(max_length)}
    return found


def check_replaceable(folder: Path) -> None:
    """Refuse a folder whose place no other can take.

    Raises:
        UserError: it is where the command was started, or a disk of its own.
    """
    if os.path.ismount(folder) or folder.resolve() == Path.cwd():
        raise UserError(
            "output_dir",
            expected="a folder that is new, or that a new one can replace",
            got=f"{folder}, which is a disk's or the working directory",
            do="name a folder inside it",
        )


def exporters_for(choice: EngineChoice) -> list[Exporter]:
    """The engines that a choice names; of `auto`, those that are installed.

    Raises:
        UserError: one that was named is not installed, or of `auto` none is.
    """
    if choice != "auto":
        EXPORTERS[choice].check_installed()
        return [EXPORTERS[choice]]
    outcomes = of_each(list(EXPORTERS.values()), lambda exporter: exporter.check_installed())
    log_refusals(outcomes)
    return [exporter for exporter, outcome in outcomes if not isinstance(outcome, UserError)]


def of_each(exporters: Sequence[Exporter], attempt: Callable[[Exporter], T]) -> list[tuple[Exporter, T | UserError]]:
    """What an attempt gives with each engine, or why it refuses; one that refuses stops no other.

    Raises:
        UserError: all refuse.
    """
    outcomes: list[tuple[Exporter, T | UserError]] = []
    for exporter in exporters:
        try:
            outcomes.append((exporter, attempt(exporter)))
        except UserError as error:
            outcomes.append((exporter, error))
    refusals = [outcome for _, outcome in outcomes if isinstance(outcome, UserError)]
    if len(refusals) == len(outcomes):
        raise together(refusals)
    return outcomes


def log_refusals(outcomes: Sequence[tuple[Exporter, object]]) -> None:
    """Name the engines that refuse, where others do not."""
    for _, outcome in outcomes:
        if isinstance(outcome, UserError):
            logger.info("%s", outcome)


class Bench:
    """A student and the rows on which its exports are compared with it.

    Args:
        reader: the student, on the CPU.
        data: whose training rows calibrate.
        exam: that all models sit.
        original: the student's logits on the first evaluation set.
        config: the command's.
        work: a folder for attempts.
    """

    def __init__(
        self, reader: Reader, data: LoadedData, exam: Exam, original: np.ndarray, config: ExportConfig, work: Path
    ) -> None:
        self.reader, self.exam, self.original, self.config, self.work = reader, exam, original, config, work
        self.task, self.answers = data.task, dict[Path, Answers]()
        self.gate = Gate(self.judged, self.error, config.max_loss)
        train = data.train if data.train is not None else data.dev[exam.first]
        chosen = np.random.default_rng(SEED).permutation(len(train))[: config.calibration_rows]
        rows = train.select(np.sort(chosen).tolist())
        self.encoded = encode(rows, reader.tokenizer, max_length=config.data.max_length)
        self.collate = RowCollator(self.encoded, reader.tokenizer)
        self.known = self.logits(TorchRunner.of(reader))

    def tried(self, exporters: Sequence[Exporter]) -> list[Candidate | Rejected]:
        """What each engine makes of the student; one that cannot take it stops no other.

        Raises:
            UserError: none can take it.
        """
        found: list[Candidate | Rejected] = []
        for exporter, outcome in of_each(exporters, self.candidates):
            found += [_rejected(exporter, FP32, outcome)] if isinstance(outcome, UserError) else outcome
        return found

    def candidates(self, exporter: Exporter) -> list[Candidate | Rejected]:
        """The student in fp32, and in int8 by each recipe of the engine where that was asked for.

        A recipe that cannot take the graph, or whose model answers with no numbers, stops no other.
        """
        written = self.work / exporter.engine
        written.mkdir()
        with phase(f"exporting to {exporter.engine}"):
            exporter.write(self.reader.model, self.sample(), written)
        runner = self.open(written)
        check_same(
            self.known, self.logits(runner), engine=exporter.engine, model_type=self.reader.model.config.model_type
        )
        verdict, found = self.judged(written), list[Candidate | Rejected]()
        if isinstance(verdict, Verdict):
            found.append(Candidate(exporter.engine, FP32, written, verdict))
        else:
            found.append(Rejected(exporter.engine, FP32, verdict))
        if not self.config.int8:
            return found
        attempts = self.work / f"{exporter.engine}-int8"
        attempts.mkdir()
        layers, rows = exporter.layers(written), self.calibration(runner.names)
        for recipe in exporter.recipes:
            with phase(f"{exporter.engine}: int8, {recipe}"):
                found.append(self.quantised(exporter, written, attempts, recipe, rows, layers))
        return found

    def quantised(
        self, exporter: Exporter, written: Path, work: Path, recipe: str, rows: Rows, layers: Sequence[str]
    ) -> Candidate | Rejected:
        """In int8 by one recipe, as far as the gate allows."""
        try:
            return quantise_within(self.gate, exporter, written, work, recipe=recipe, rows=rows, layers=layers)
        except UserError as error:
            return _rejected(exporter, f"int8 {recipe}", error)

    def sample(self) -> dict[str, Tensor]:
        """The shortest and the longest calibration row: a graph traced on rows of one token would read no others."""
        lengths = np.asarray(self.encoded["length"])
        return self.collate([int(lengths.argmin()), int(lengths.argmax())])

    def may_ship(self, one: Candidate) -> bool:
        """Whether it is of the precision that was asked for, and passes."""
        return not self.config.int8 or (one.precision != FP32 and self.gate.passes(one.verdict))

    def open(self, folder: Path) -> ExportedRunner:
        """The model of an attempt."""
        thresholds = thresholds_of(self.reader.model.config)  # the configuration is written at the end
        return open_exported(folder, self.reader.tokenizer, thresholds=thresholds)

    def judged(self, folder: Path) -> Verdict | str:
        """Ask it all questions, once; judge it by the first evaluation set, or say why that cannot be."""
        answers = self.exam.answers(self.open(folder))
        if (fault := find_fault(answers.values(), kind_of(self.task))) is not None:
            return fault
        self.answers[folder] = answers
        return weigh(self.original, answers[self.exam.first], self.exam.labels(self.exam.first), self.task)

    def error(self, folder: Path) -> float:
        """Mean squared difference of its logits on the calibration rows, on which no score is told."""
        difference = float(np.square(self.logits(self.open(folder)) - self.known).mean())
        return difference if math.isfinite(difference) else math.inf

    def logits(self, runner: Runner) -> np.ndarray:
        """On the calibration rows, 0 where a word was not read."""
        with phase("comparing answers", len(self.encoded)):
            found = predict_logits(runner, self.encoded)
        return np.where(np.isneginf(found), 0.0, found)  # of words that nobody has read

    def calibration(self, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """The calibration rows one by one, without padding."""
        batches = length_sorted_batches(self.encoded, self.reader.tokenizer, batch_size=1)
        return [{name: _array(inputs[name]) for name in names} for _, inputs in batches]


def _rejected(exporter: Exporter, precision: str, error: UserError) -> Rejected:
    return Rejected(exporter.engine, precision, f"expected {error.expected}, got {error.got}")


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.numpy())


def _notes(chosen: Candidate, models: Mapping[str, ModelResult], rejected: Sequence[Rejected]) -> list[str]:
    notes = [f"{one.name} was rejected: {one.fault}." for one in rejected]
    best = max(models, key=lambda name: models[name].sentences_per_second or 0.0)
    if best != chosen.name:
        notes.append(f"On this machine {best} is faster than {chosen.name}.")
    if chosen.left:
        who = "it costs" if len(chosen.left) == 1 else "they cost"
        notes.append(f"{', '.join(chosen.left)} stayed in fp32: in int8 {who} more than may be lost.")
    return notes


def _nothing_passes(candidates: Sequence[Candidate], rejected: Sequence[Rejected], max_loss: float) -> UserError:
    int8 = [one for one in candidates if one.precision != FP32]
    if not int8:
        return UserError(
            "export",
            expected="answers that can be compared with the student's",
            got="; ".join(f"{one.name}: {one.fault}" for one in rejected),
            do="take another engine with `--engine`, leave `--int8` out, or run the student with PyTorch",
        )
    best = min(int8, key=lambda one: one.verdict.loss.value)
    return UserError(
        "int8",
        expected=f"a loss of at most {max_loss:g} points",
        got=f"{best.verdict.loss.value:.2f} at best ({best.name}, {counted(len(best.left), 'layer')} in fp32)",
        do="allow more with `--max-loss`, calibrate on more rows, or export in fp32",
    )
