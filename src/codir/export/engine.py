"""What every engine does for a student: writes its graph, names the layers that can be quantised, quantises the rest.

Knows PyTorch models, files and rows; knows nothing of scores.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from codir.config.words import Engine
from codir.errors import UserError

Rows = Sequence[Mapping[str, np.ndarray]]
"""What a model reads of single rows, by the names of its inputs."""
LAYER_NUMBER = re.compile(r"(.*?\.\d+)(?:\.|$)")
REST = "the rest"
OTHERWISE = "take another engine with `--engine`, or run the model with PyTorch"
WITHOUT_INT8 = "leave `--int8` out, or take another engine with `--engine`"
"""What to do where an engine cannot take a model, or a recipe a graph."""


class Exporter(Protocol):
    """One engine."""

    @property
    def engine(self) -> Engine:
        """Its name."""

    @property
    def recipes(self) -> tuple[str, ...]:
        """Names of its ways to int8, the usual one first."""

    def check_installed(self) -> None:
        """Refuse now what would fail after the work is done.

        Raises:
            UserError: a package is missing.
        """

    def write(self, model: PreTrainedModel, sample: Mapping[str, Tensor], folder: Path) -> None:
        """Write the model's graph with any number of rows and tokens, in fp32.

        Args:
            model: in evaluation mode, on the CPU.
            sample: two rows, as the model reads them.
            folder: is there; gets the file of `codir.measure.FILE_NAMES`.

        Raises:
            UserError: the engine cannot take this type of model.
        """

    def layers(self, folder: Path) -> tuple[str, ...]:
        """The layers of a written graph that can be left in fp32 each, in the order of the graph."""

    def quantise(self, folder: Path, target: Path, recipe: str, rows: Rows, *, leave: Collection[str] = ()) -> None:
        """Write the graph of a folder to another, in int8.

        Args:
            folder: what `write` wrote.
            target: is there, and empty.
            recipe: one of `recipes`.
            rows: of the training set, for recipes that calibrate.
            leave: layers that stay in fp32.

        Raises:
            UserError: the recipe cannot take this graph.
        """


def layer_of(module: str) -> str:
    """The layer that a module is of: up to its first number, or else its first three names.

    Example:
        >>> layer_of("bert.encoder.layer.0.attention.self.query"), layer_of("bert.embeddings.word_embeddings")
        ('bert.encoder.layer.0', 'bert.embeddings.word_embeddings')
        >>> layer_of("classifier"), layer_of("")
        ('classifier', 'the rest')
    """
    numbered = LAYER_NUMBER.match(module)
    return numbered.group(1) if numbered else ".".join(module.split(".")[:3]) or REST


@contextmanager
def unheard() -> Iterator[None]:
    """Keep what the engines' libraries print and log to themselves; their errors come through."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def refused_by_name(subject: str, *, model: str, do: str) -> Iterator[None]:
    """Whatever an engine raises of a model that it cannot take is one `UserError`; full disks stay what they are.

    Args:
        subject: what was tried.
        model: what it was tried on.
        do: what the user can do.
    """
    try:
        yield
    except (OSError, UserError):
        raise
    except Exception as error:  # each library has errors of its own
        line = next(iter(str(error).strip().splitlines()), "")
        got = f"{model} ({type(error).__name__}: {line})"
        raise UserError(subject, expected="a model that it can take", got=got, do=do) from error
