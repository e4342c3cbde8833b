"""Anything that has logits: a PyTorch model here, an exported file in `codir.measure.engines`.

Exam, prediction and cost take a `Runner` and ask nothing else of a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from codir.errors import UserError
from codir.models import Reader, exact_scores
from codir.system import autocast
from codir.tasks.thresholds import thresholds_of

TensorBatch = Mapping[str, Tensor]


class Runner(Protocol):
    """A model as measurements see it."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What it reads with."""

    @property
    def parameters(self) -> int:
        """How many weights it has, shared ones counted once."""

    @property
    def bytes(self) -> int:
        """Size of its weights on disk; in memory where it was never saved."""

    @property
    def thresholds(self) -> Sequence[float] | None:
        """From which probability on each label is answered; `None` where that is 0.5, or labels exclude one another."""

    def running(self) -> AbstractContextManager[None]:
        """What has to hold while it is asked or timed; everything is as before afterwards."""

    def place(self, batch: TensorBatch) -> TensorBatch:
        """The batch where the model reads it, so that a clock need not count the way there."""

    def logits(self, placed: TensorBatch) -> Tensor:
        """Answers `[rows, classes]` to a placed batch, where they were computed."""

    def wait(self) -> None:
        """Return when all that was asked is computed."""


@dataclass(frozen=True)
class TorchRunner:
    """A PyTorch model on the device where it is.

    Attributes:
        model: called with a batch's tensors by name.
        reads_with: its tokenizer; `None` where only cost is measured.
        dtype: of the matrix products.
        folder: where it is saved.
    """

    model: nn.Module
    reads_with: PreTrainedTokenizerBase | None = None
    dtype: torch.dtype = torch.float32
    folder: Path | None = None

    @classmethod
    def of(cls, reader: Reader, dtype: torch.dtype = torch.float32) -> TorchRunner:
        """Run a loaded model in this number format."""
        return cls(reader.model, reader.tokenizer, dtype, reader.folder)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What it reads with."""
        assert self.reads_with is not None, "a model without a tokenizer is only timed"
        return self.reads_with

    @property
    def parameters(self) -> int:
        """How many weights it has, shared ones counted once."""
        return count_parameters(self.model)

    @property
    def bytes(self) -> int:
        """Size of its weights on disk; in memory where it was never saved."""
        if self.folder is not None and self.folder.is_dir():
            return folder_bytes(self.folder)
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())

    @property
    def thresholds(self) -> Sequence[float] | None:
        """Those of its configuration."""
        return thresholds_of(getattr(self.model, "config", None))

    @contextmanager
    def running(self) -> Iterator[None]:
        """In evaluation mode, without gradients, in its number format."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with ExitStack() as settings:
                settings.enter_context(torch.inference_mode())
                settings.enter_context(autocast(self._device, self.dtype))
                settings.enter_context(exact_scores(self.model))
                yield
        finally:
            for module, training in modes:
                module.training = training

    def place(self, batch: TensorBatch) -> TensorBatch:
        """On the model's device."""
        return {name: tensor.to(self._device) for name, tensor in batch.items()}

    def logits(self, placed: TensorBatch) -> Tensor:
        """The model's own."""
        answers: Tensor = self.model(**placed).logits
        return answers

    def wait(self) -> None:
        """An accelerator computes on while Python goes ahead."""
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def count_parameters(model: nn.Module) -> int:
    """Count a model's parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def folder_bytes(path: Path) -> int:
    """Count the bytes of the weight files (`*.safetensors`) in a saved model's folder.

    Raises:
        UserError: there is no such file.
    """
    weights = [*path.glob("*.safetensors"), *path.glob("[0-9]_*/*.safetensors")]  # and those of a dense map behind it
    if not weights:
        raise UserError(
            str(path),
            expected="a model folder with weights in *.safetensors",
            got="none",
            otherwise="its size would have been given as 0",
            do="name the folder that `save_pretrained` wrote",
        )
    return sum(file.stat().st_size for file in weights)
