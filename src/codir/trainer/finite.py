"""Numbers that are not finite: found in the models before anything is built, and in a loss before a step is taken."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from codir.errors import NonFiniteLossError, UserError
from codir.signals import LossBreakdown

NAMES_SHOWN = 3


def check_weights(model: PreTrainedModel | None, role: str) -> None:
    """Refuse a model with weights that are NaN or infinite, by their names.

    A row of an embedding table may be read for the first time after hours, so a loss would find it late.

    Raises:
        UserError: there is such a weight.
    """
    weights = () if model is None else model.named_parameters()
    bad = {name: count for name, weight in weights if (count := _not_finite(weight))}
    if bad:
        shown = [f"{count:,} in `{name}`" for name, count in list(bad.items())[:NAMES_SHOWN]]
        more = f" and in {len(bad) - NAMES_SHOWN:,} more" if len(bad) > NAMES_SHOWN else ""
        raise UserError(
            role,
            expected="weights that are finite numbers",
            got=f"NaN or infinite ones: {', '.join(shown)}{more}",
            otherwise="every row that reads them would have had a loss of NaN",
            do="load another copy of the model, or train it again",
        )


def has_finite_weights(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether all of them are finite."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in parameters)


def loss_error(breakdown: LossBreakdown, *, step: int, learning_rate: float, last: Path | None) -> NonFiniteLossError:
    """Names the terms that are not finite, and how to go on."""
    bad = [name for name, term in breakdown.terms.items() if not torch.isfinite(term)]
    found = f"step {step}: loss term {' and '.join(bad) or 'total'} is not finite; no step was taken on it."
    return NonFiniteLossError(f"{found} {_advice(learning_rate, last)}")


def weights_error(*, step: int, learning_rate: float, last: Path | None) -> NonFiniteLossError:
    """The same of weights that a checkpoint would have kept."""
    found = f"step {step}: a weight is not finite; the checkpoint was not written."
    return NonFiniteLossError(f"{found} {_advice(learning_rate, last)}")


def _advice(learning_rate: float, last: Path | None) -> str:
    lower = f"{learning_rate / 2:g}"
    changed = (
        f"a lower learning rate (`--learning-rate {lower}`, in Python `learning_rate={lower}`) or in full precision "
        "(`--precision fp32`, in Python `precision='fp32'`)"
    )
    if last is None:
        return f"Last good checkpoint: none was saved. What to do: start the run anew with {changed}."
    return (
        f"Last good checkpoint: {last}. What to do: go on from it with {changed}: add `--resume` to the same command, "
        "or in Python call `train(resume_from_checkpoint=True)` of a trainer with the new arguments."
    )


def _not_finite(weight: torch.Tensor) -> int:
    return int((~torch.isfinite(weight)).sum())
