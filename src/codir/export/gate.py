"""The gate: an exported model answers as the student does, or it is not exported.

Knows engines, files and verdicts; who asks the models, and on which rows, is set from outside.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codir.errors import UserError
from codir.export.engine import Exporter, Rows
from codir.measure import Candidate, Rejected, Verdict
from codir.system.progress import phase

SAME = 1e-4
"""How far logits of an export in fp32 may be from PyTorch's, absolutely and relatively."""


def check_same(before: np.ndarray, after: np.ndarray, *, engine: str, model_type: str) -> None:
    """Refuse an export in fp32 that does not compute what the student computes.

    Args:
        before: logits of the student, `[rows, classes]`.
        after: of the export.
        engine: that ran it.
        model_type: of the student, which the message names.

    Raises:
        UserError: a logit differs by more than `SAME`.
    """
    if not np.allclose(after, before, rtol=SAME, atol=SAME):
        raise UserError(
            f"export to {engine}",
            expected=f"logits within {SAME} of the PyTorch student's",
            got=f"a difference of {np.abs(after - before).max():.2g}: {model_type} does not export faithfully",
            otherwise="another model than the one that was measured would have been shipped",
            do="take the other engine, or run the student with PyTorch",
        )


@dataclass(frozen=True)
class Gate:
    """What an int8 model has to pass.

    Args:
        judged: asks a folder's model the questions of the exam; in words, why there is nothing to weigh.
        error: how far its logits are from the student's, on rows that no metric is told of; infinite where they are no
            numbers.
        max_loss: in points.
    """

    judged: Callable[[Path], Verdict | str]
    error: Callable[[Path], float]
    max_loss: float

    def passes(self, verdict: Verdict) -> bool:
        """Whether no more is lost than may be."""
        return verdict.loss.value <= self.max_loss


def quantise_within(
    gate: Gate, exporter: Exporter, written: Path, work: Path, *, recipe: str, rows: Rows, layers: Sequence[str]
) -> Candidate | Rejected:
    """Quantise all layers; if that costs too much, leave as few in fp32 as the gate needs, the dearest first.

    What a layer costs is seen by leaving it alone in fp32: the error that is left is then least for the dearest one.

    Args:
        gate: decides.
        exporter: the engine.
        written: its folder in fp32.
        work: a folder for attempts.
        recipe: one of the engine's.
        rows: for calibration.
        layers: that can be left in fp32.

    Returns:
        The first candidate that passes, or else the last one tried; rejected if its answers are no numbers.
    """

    def attempt(left: Sequence[str]) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{recipe}-", dir=work))
        exporter.quantise(written, folder, recipe, rows, leave=left)
        return folder

    def judged(left: Sequence[str]) -> Candidate | Rejected:
        folder = attempt(left)
        verdict, precision = gate.judged(folder), f"int8 {recipe}"
        if isinstance(verdict, Verdict):
            return Candidate(exporter.engine, precision, folder, verdict, tuple(left))
        shutil.rmtree(folder, ignore_errors=True)
        return Rejected(exporter.engine, precision, verdict)

    def passes(candidate: Candidate | Rejected) -> bool:
        return isinstance(candidate, Candidate) and gate.passes(candidate.verdict)

    candidate = judged(())
    if passes(candidate):
        return candidate
    errors: dict[str, float] = {}
    with phase("finding what int8 costs", len(layers), unit="layers") as progress:
        for layer in layers:
            folder = attempt([layer])
            errors[layer] = gate.error(folder)
            shutil.rmtree(folder, ignore_errors=True)  # a disk would fill up with them
            progress.advance()
    by_cost = sorted(layers, key=errors.__getitem__)
    for count in range(1, len(by_cost)):  # with all in fp32 there would be nothing to quantise
        if isinstance(candidate, Candidate):
            shutil.rmtree(candidate.folder, ignore_errors=True)
        candidate = judged(by_cost[:count])
        if passes(candidate):
            break
    return candidate
