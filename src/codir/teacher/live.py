"""The teacher as a running model: eval mode, no gradient, its own tokenizer, asked by example index.

Knows one model and the training set as that model's tokenizer wrote it. Knows nothing of the student. Where tokens are
compared or predicted it reads the batch itself, whose tokens must then be its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import datasets
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codir.config.words import MAX_LENGTH
from codir.data import (
    POSITIONS,
    RowCollator,
    cls_token_position,
    encode_windows,
    length_sorted_batches,
    prepare,
    words_of_tokens,
)
from codir.models import LayerPlaces, find_layers, give_logits, kind_of_model, run_model
from codir.signals import Batch, Needs, Representation, TeacherSignal
from codir.store import fingerprint_model
from codir.system import autocast, weights_cast_once
from codir.system.progress import is_watched, phase
from codir.teacher.base import Teacher
from codir.teacher.space import PrincipalSpace, sample_rows

SAMPLE_BATCH = 64
"""Rows per batch while a space is fitted, as while a cache is built."""


@dataclass(frozen=True)
class TeacherView:
    """What is computed of the teacher beside its logits, and the dtype of products."""

    pooled: frozenset[Representation] = frozenset()
    hidden_states: bool = False
    attention: bool = False
    token_logits: bool = False
    dtype: torch.dtype = torch.float32

    @classmethod
    def of(cls, needs: Needs, dtype: torch.dtype) -> TeacherView:
        """What objectives need of a teacher."""
        return cls(needs.teacher_pooled, needs.hidden_states, needs.attention, needs.teacher_token_logits, dtype)

    @property
    def tokens(self) -> bool:
        """Whether anything is computed of single tokens."""
        return self.hidden_states or self.attention


class LiveTeacher(Teacher):
    """Runs the model on the training rows that a batch names.

    Args:
        model: the classifier or regressor; put into eval mode, frozen, left on its device.
        dataset: the training set, as texts or as this model's token ids. Where the model reads windows of contexts,
            each is a row, numbered in the order of `codir.data.encode_windows`.
        tokenizer: the teacher's, whatever the student's is.
        view: what to compute.
        max_length: tokens per example at most.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        dataset: datasets.Dataset,
        tokenizer: PreTrainedTokenizerBase,
        view: TeacherView,
        *,
        max_length: int = MAX_LENGTH,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        if kind_of_model(model).reads_windows:
            give_logits(model, max_length)
            if "input_ids" not in dataset.column_names:
                dataset = encode_windows(dataset, tokenizer, max_length=max_length)
        self.dataset, self.tokenizer, self.view, self.max_length = dataset, tokenizer, view, max_length
        self.cls_position = cls_token_position(tokenizer)
        self.spaces: dict[Representation, PrincipalSpace] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Of the model's weights."""
        return fingerprint_model(self.model)

    @cached_property
    def encoded(self) -> datasets.Dataset:
        """The training set as the teacher's tokenizer writes it; made when the teacher first runs."""
        encoded = prepare(self.dataset, self.tokenizer, max_length=self.max_length)
        return words_of_tokens(encoded) if self.answers_words else encoded

    @property
    def answers_words(self) -> bool:
        """Whether it has logits for each word of a row."""
        return kind_of_model(self.model).reads_words

    @cached_property
    def offsets(self) -> NDArray[np.int64] | None:
        """Where the words of each row begin among those of all rows, `[rows + 1]`; `None` where rows are answered."""
        if not self.answers_words:
            return None
        return np.concatenate([[0], np.cumsum([len(places) for places in self.encoded[POSITIONS]])]).astype(np.int64)

    def signal(self, batch: Batch) -> TeacherSignal:
        """Run the model on this batch's rows; where tokens count, on the very ones that the student reads.

        A batch with tokens to predict is read as it is too, since its masks are of this step alone.
        """
        if self.view.tokens or batch.token_labels is not None:
            predicted = batch.predicted if self.view.token_logits else None
            return self._run(batch.model_inputs, self.view, predicted, batch.word_positions)
        return self._run_rows(batch.example_index, self.view)

    def pooled(
        self, example_index: Int[Tensor, "groups negatives"], representation: Representation
    ) -> Float[Tensor, "groups negatives layers hidden"]:
        """Run the model on the rows of the negatives: exact, but expensive; the cache avoids it."""
        alone = TeacherView(frozenset({representation}), dtype=self.view.dtype)
        pooled = self._run_rows(example_index, alone).pooled[representation]
        return pooled.reshape(*example_index.shape, *pooled.shape[1:])

    def answers(self, example_index: Int[Tensor, "groups negatives"]) -> Float[Tensor, "groups negatives classes"]:
        """Run the model on these rows for its answers alone."""
        said = self._run_rows(example_index, TeacherView(dtype=self.view.dtype)).logits
        return said.reshape(*example_index.shape, said.shape[-1])

    def iter_signals(self, batch_size: int) -> Iterator[tuple[np.ndarray, TeacherSignal]]:
        """Run over the whole training set once, longest rows first; yields row numbers and what was said of them.

        Where principal components are asked for, the rows that their space is fitted on come before all others.
        """
        total, hidden = len(self.encoded), is_watched()
        first = sample_rows(total) if self._unfitted(self.view) else np.arange(0)
        bar = tqdm(total=total, desc="teacher reads the training set", unit="row", disable=hidden)
        with phase("teacher's cache", total) as progress, bar, weights_cast_once(self.model, self.view.dtype):

            def read(rows: NDArray[np.int64]) -> Iterator[tuple[np.ndarray, TeacherSignal]]:
                for batch, inputs in length_sorted_batches(
                    self.encoded, self.tokenizer, batch_size=batch_size, rows=rows.tolist(), words=True
                ):
                    words = inputs.pop(POSITIONS, None)
                    yield batch, self._run_in_layers(inputs, self.view, words=words)
                    bar.update(len(batch))
                    progress.advance(len(batch))

            sample = list(read(first)) if len(first) else []
            self._fit([signal for _, signal in sample], self.view)
            for rows, signal in sample:
                yield rows, self._reduced(signal, self.view)
            rest = np.setdiff1d(np.arange(total), first)
            for rows, signal in read(rest) if len(rest) else ():
                yield rows, self._reduced(signal, self.view)

    def fit_spaces(self, view: TeacherView | None = None) -> dict[Representation, PrincipalSpace]:
        """Fit the spaces of principal components that are asked for, by reading a part of the training set.

        Args:
            view: what is asked for; the teacher's own view by default.

        Returns:
            Each representation's space, on the CPU, so that all processes can take those of one.
        """
        view = view or self.view
        if self._unfitted(view):
            rows = sample_rows(len(self.dataset))
            part = prepare(self.dataset.select(rows), self.tokenizer, max_length=self.max_length)
            batches = length_sorted_batches(part, self.tokenizer, batch_size=SAMPLE_BATCH)
            layers = TeacherView(frozenset(asked.in_layers for asked in self._unfitted(view)), dtype=view.dtype)
            with phase("teacher's space", len(part)) as progress, weights_cast_once(self.model, view.dtype):
                signals = []
                for batch, inputs in batches:
                    signals.append(self._run_in_layers(inputs, layers))
                    progress.advance(len(batch))
            self._fit(signals, view)
        return {asked: space.to(torch.device("cpu")) for asked, space in self.spaces.items()}

    def take_spaces(self, spaces: Mapping[Representation, PrincipalSpace]) -> None:
        """Take spaces that were fitted elsewhere, such as in another process."""
        self.spaces = {asked: space.to(self.model.device) for asked, space in spaces.items()}

    def _unfitted(self, view: TeacherView) -> list[Representation]:
        reduced = sorted((asked for asked in view.pooled if asked.principal is not None), key=repr)
        return [asked for asked in reduced if asked not in self.spaces]

    def _fit(self, signals: Sequence[TeacherSignal], view: TeacherView) -> None:
        for asked in self._unfitted(view):
            pooled = torch.cat(
                [signal.pooled[asked.in_layers] for signal in signals]
            ).cpu()  # not all devices have doubles
            assert asked.principal is not None
            space = PrincipalSpace.fit(pooled, min(asked.principal, pooled[0].numel()))
            self.spaces[asked] = space.to(self.model.device)

    def _reduced(self, signal: TeacherSignal, view: TeacherView) -> TeacherSignal:
        """What was asked for: layers as they are, or their principal components as one vector."""
        pooled = {
            asked: signal.pooled[asked]
            if asked.principal is None
            else self.spaces[asked].project(signal.pooled[asked.in_layers]).unsqueeze(-2)
            for asked in view.pooled
        }
        return replace(signal, pooled=pooled)

    @cached_property
    def _collate(self) -> RowCollator:
        return RowCollator(self.encoded, self.tokenizer, words=True)

    @cached_property
    def _places(self) -> LayerPlaces | None:
        return find_layers(self.model)

    def _run_rows(self, example_index: Tensor, view: TeacherView) -> TeacherSignal:
        """Read rows of the training set by their numbers, of any shape, one after the other."""
        inputs = self._collate(example_index.flatten().tolist())
        return self._run(inputs, view, words=inputs.pop(POSITIONS, None))

    def _run(
        self,
        inputs: Mapping[str, Tensor],
        view: TeacherView,
        predicted: Tensor | None = None,
        words: Tensor | None = None,
    ) -> TeacherSignal:
        if self._unfitted(view):
            self.fit_spaces(view)
        return self._reduced(self._run_in_layers(inputs, view, predicted, words), view)

    @torch.no_grad()
    def _run_in_layers(
        self,
        inputs: Mapping[str, Tensor],
        view: TeacherView,
        predicted: Tensor | None = None,
        words: Tensor | None = None,
    ) -> TeacherSignal:
        device = self.model.device
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
        with autocast(device, view.dtype):
            return TeacherSignal(
                *run_model(
                    self.model,
                    inputs,
                    pooled={asked.in_layers for asked in view.pooled},
                    hidden_states=view.hidden_states,
                    attention=view.attention,
                    predicted=predicted,
                    words=None if words is None else words.to(device, non_blocking=True),
                    cls_position=self.cls_position,
                    places=self._places if view.pooled and not view.hidden_states else None,
                )
            )
