"""What rows a trainer reads: examples with labels, or sequences of a corpus. Everything that differs between them.

Knows data and tokenizers; knows no model, no loss and no loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import datasets
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler
from transformers import EvalPrediction, PreTrainedTokenizerBase, TrainerCallback, TrainerState, TrainingArguments

from codir.data import (
    POSITIONS,
    CausalCollator,
    DistillationCollator,
    MaskingCollator,
    NegativeSampler,
    QuerySampler,
    answers_to_pairs,
    as_read,
    build_negative_sampler,
    column_of,
    encode_windows,
    fit_labels,
    fitted_dtype,
    labels_of,
    mask_unread,
    prepare,
    with_groups,
    words_of_tokens,
)
from codir.errors import UserError
from codir.objectives import Objectives
from codir.signals import IGNORED_CLASS
from codir.store import fingerprint_sequences, fingerprint_texts
from codir.tasks import Kind
from codir.tasks.metrics import compute_metrics
from codir.trainer.neighbours import asks_for_neighbours, build_neighbour_sampler

logger = logging.getLogger(__name__)


class Rows(Protocol):
    """How a trainer treats its rows."""

    @property
    def kind(self) -> Kind | None:
        """The kind of task that says which rows are alike; `None` where rows are alike within a document."""

    def for_training(self, dataset: datasets.Dataset) -> datasets.Dataset:
        """Rows as the student reads them, each with its `example_index`."""

    def for_evaluation(self, dataset: Any) -> Any:
        """The same for evaluation: one data set, several by name, or the name of one."""

    def kinds(self, encoded: datasets.Dataset) -> NDArray[Any] | None:
        """Class, score or document of each row, by its `example_index`; negatives are of another kind."""

    def collator(self, sampler: NegativeSampler | None = None) -> Any:
        """Rows to batches; with negatives where there is a sampler."""

    def count_answers(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """How much a collated batch answers where that differs from batch to batch; `None` where nobody asks."""

    def count_labels(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """How many labels, or tokens to predict, a collated batch has; `None` where there is nothing to count."""

    def count_groups(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """How many groups of a collated batch have something to compare; `None` where rows stand alone."""

    def order(self, encoded: datasets.Dataset, objectives: Objectives, args: TrainingArguments) -> Sampler[int] | None:
        """An order of training that these rows bring; `None` where `args` decide."""

    def fingerprint(self, encoded: datasets.Dataset) -> str:
        """What a checkpoint remembers of its training set."""

    @property
    def metrics(self) -> Callable[[EvalPrediction], dict[str, float]] | None:
        """What an evaluation reports beside the loss, where the user names no `compute_metrics`."""

    @property
    def are_apart(self) -> bool:
        """Whether evaluation rows are texts of pairs, the second behind the first: in this order, with no loss."""


@dataclass(frozen=True)
class LabelledRows:
    """Examples of any kind of task, with or without a label, from texts or token ids.

    Attributes:
        tokenizer: the student's.
        num_labels: its outputs.
        kind: of its task.
        max_length: tokens per example at most, for texts.
    """

    tokenizer: PreTrainedTokenizerBase
    num_labels: int
    kind: Kind
    max_length: int

    def for_training(self, dataset: datasets.Dataset) -> datasets.Dataset:
        """Token ids, numbered, with labels in the form of the student's head."""
        encoded = fit_labels(self._read(dataset), self.num_labels, self.kind)
        return mask_unread(encoded) if self.kind.reads_words else encoded

    def for_evaluation(self, dataset: Any) -> Any:
        """Token ids, with labels that the loss can take; a string names one of the data sets that the trainer has."""
        if isinstance(dataset, Mapping):
            return {name: self.for_evaluation(part) for name, part in dataset.items()}
        if dataset is None or isinstance(dataset, str):
            return dataset
        encoded = self._read(dataset)
        if (labels := self.kinds(encoded)) is not None:
            fitted_dtype(labels, self.num_labels, self.kind)
        return encoded

    def _read(self, dataset: Any) -> datasets.Dataset:
        """Token ids, with the group of each row in its label, or in windows; `prepare` refuses what is no data set."""
        if isinstance(dataset, datasets.Dataset):
            if not len(dataset):  # `map` would leave it without its columns
                raise UserError(
                    "data set", expected="rows", got="none", do="pass a data set with rows, or leave it out"
                )
            if self.kind.reads_windows and "input_ids" not in dataset.column_names:
                return encode_windows(dataset, self.tokenizer, max_length=self.max_length)
            dataset = with_groups(dataset, self.kind)
        encoded = prepare(as_read(dataset, self.kind), self.tokenizer, max_length=self.max_length)
        return words_of_tokens(encoded) if self.kind.reads_words else encoded

    def kinds(self, encoded: datasets.Dataset) -> NDArray[Any] | None:
        """The label of each row, where there are labels."""
        return labels_of(encoded, self.kind, "labels") if "labels" in encoded.column_names else None

    def collator(self, sampler: NegativeSampler | None = None) -> Any:
        """Padded batches."""
        return DistillationCollator(self.tokenizer, sampler, self.kind)

    def count_labels(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """What the mean of the kind's loss is over: rows with a label, in most."""
        return self.kind.count_labels(batch["labels"]) if "labels" in batch else None

    def count_answers(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Words that the student has read; rows need not be counted, since micro-batches have as many."""
        return (batch[POSITIONS] >= 0).sum() if POSITIONS in batch else None

    def count_groups(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Queries with at least two candidates."""
        queries = self.kind.units(batch["labels"]) if "labels" in batch else None
        return None if queries is None else (queries.unique(return_counts=True)[1] > 1).sum()

    def order(self, encoded: datasets.Dataset, objectives: Objectives, args: TrainingArguments) -> Sampler[int] | None:
        """Whole queries in each batch, where objectives compare candidates; otherwise none of their own."""
        if "groups" not in objectives.needs.of_kind:
            return None
        queries = self.kind.units(labels_of(encoded, self.kind, "labels"))
        sampler = QuerySampler(queries, batch_size=args.train_batch_size, seed=data_seed(args))
        if cut := sampler.count_cut():
            logger.warning(
                "In batches of %d rows, %d of %d queries are spread over several: each part is ranked on its own. "
                "A batch size that is a multiple of the number of candidates keeps queries whole.",
                args.train_batch_size,
                cut,
                len(sampler.rows),
            )
        return sampler

    def fingerprint(self, encoded: datasets.Dataset) -> str:
        """Of the texts, as the student reads them."""
        return fingerprint_texts(encoded)

    @property
    def metrics(self) -> Callable[[EvalPrediction], dict[str, float]]:
        """The metrics of the kind of task."""

        def compute(answers: EvalPrediction) -> dict[str, float]:
            logits = answers.predictions[0] if isinstance(answers.predictions, tuple) else answers.predictions
            return score_texts(logits, np.asarray(answers.label_ids), self.kind.metrics, self.kind)

        return compute

    @property
    def are_apart(self) -> bool:
        """Where the model reads the two texts of a pair one by one."""
        return self.kind.reads_apart


def score_texts(logits: NDArray[Any], labels: NDArray[Any], names: Sequence[str], kind: Kind) -> dict[str, float]:
    """Metrics of what a trainer's evaluation gives, where the two texts of a row were perhaps read one by one.

    Args:
        logits: rows first.
        labels: of the same rows, as `LabelledRows.for_evaluation` has them.
        names: of metrics.
        kind: of the task.
    """
    if kind.reads_apart:
        logits, labels = answers_to_pairs(logits, labels, kind)
    return compute_metrics(logits, labels, names, kind)


@dataclass(frozen=True)
class CorpusRows:
    """Sequences of documents, from `codir.data.load_corpus`; masked, or shifted for a causal model, at every step.

    Attributes:
        tokenizer: of teacher and student.
        is_masked: whether masked tokens are predicted, or the next one.
        mask_probability: share of the tokens that is predicted, where tokens are masked.
        whole_words: mask all tokens of a word together.
        seed: of the masks.
    """

    tokenizer: PreTrainedTokenizerBase
    is_masked: bool
    mask_probability: float
    whole_words: bool
    seed: int

    @property
    def kind(self) -> Kind | None:
        """Sequences of one document are alike, as rows of one class are."""
        return None

    def for_training(self, dataset: datasets.Dataset) -> datasets.Dataset:
        """As they are."""
        return dataset

    def for_evaluation(self, dataset: Any) -> Any:
        """As they are."""
        return dataset

    def kinds(self, encoded: datasets.Dataset) -> NDArray[Any]:
        """The document of each sequence, by its number in the corpus; held-out numbers belong to no document."""
        index = column_of(encoded, "example_index")
        documents = np.full(int(index.max()) + 1, IGNORED_CLASS)
        documents[index] = column_of(encoded, "document_id")
        return documents

    def collator(self, sampler: NegativeSampler | None = None) -> Any:
        """Masks anew in each epoch; a causal model sees the sequences as they are."""
        if not self.is_masked:
            return CausalCollator(self.tokenizer, sampler)
        return MaskingCollator(
            self.tokenizer,
            mask_probability=self.mask_probability,
            whole_words=self.whole_words,
            seed=self.seed,
            negative_sampler=sampler,
        )

    def count_answers(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """None but the predicted tokens, which are counted as labels."""
        return None

    def count_labels(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Predicted tokens."""
        return (batch["token_labels"] != IGNORED_CLASS).sum()

    def count_groups(self, batch: Mapping[str, Tensor]) -> None:
        """None: a sequence stands alone."""
        return

    def order(self, encoded: datasets.Dataset, objectives: Objectives, args: TrainingArguments) -> Sampler[int] | None:
        """Where neighbours are to be negatives, an order that brings them into reach of one another."""
        if not asks_for_neighbours(objectives):
            return None
        return build_neighbour_sampler(column_of(encoded, "document_id"), objectives, args)

    def fingerprint(self, encoded: datasets.Dataset) -> str:
        """Of the token ids."""
        return fingerprint_sequences(encoded)

    @property
    def metrics(self) -> None:
        """None: the logits of all tokens would not fit into memory."""
        return None

    @property
    def are_apart(self) -> bool:
        """No: they are sequences of a corpus."""
        return False


def negative_sampler(
    rows: Rows, encoded: datasets.Dataset, objectives: Objectives, args: TrainingArguments
) -> NegativeSampler | None:
    """Draws the rows that a contrast asks for; `None` without a contrast."""
    needs = objectives.needs.negatives
    if needs is None:
        return None
    kinds = rows.kinds(encoded)
    return build_negative_sampler(
        kinds,
        num_examples=len(encoded) if kinds is None else len(kinds),
        count=needs.count,
        batch_size=args.train_batch_size,
        strategy=needs.strategy,
        score_distance=needs.score_distance,
        needs_classes=needs.needs_classes,
        hard_pool=needs.hard_pool,
        seed=data_seed(args),
        kind=rows.kind,
        term=needs.term,
    )


def data_seed(args: TrainingArguments) -> int:
    """The seed of everything that draws rows."""
    return int(args.seed if args.data_seed is None else args.data_seed)


class EpochSetter(TrainerCallback):
    """Tells whatever goes by epochs which one it is, also where a resumed run has wrapped it too deep for others."""

    def __init__(self, follower: Any) -> None:
        self.follower = follower

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Before the first batch of the epoch is made."""
        self.follower.set_epoch(int(state.epoch or 0))
