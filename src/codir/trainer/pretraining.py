"""The same loop over a corpus: what differs where tokens are predicted and not classes.

Rows are masked (or shifted) anew in each epoch, so both models read the batch itself and nothing is cached; documents
take the place of classes when negatives are chosen.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from codir.data import CausalCollator, MaskingCollator, NegativeSampler, column_of
from codir.models import is_masked
from codir.objectives import Objectives
from codir.signals import IGNORED_CLASS
from codir.store import fingerprint_sequences
from codir.trainer.checks import check_pretraining, check_sequences
from codir.trainer.neighbours import asks_for_neighbours, build_neighbour_sampler, check_documents, check_neighbours
from codir.trainer.trainer import DistillationTrainer, EpochSetter


class PretrainingTrainer(DistillationTrainer):
    """`DistillationTrainer` for language models.

    The student's kind of model says what is predicted: masked tokens (BERT and its kin) or the next token (GPT-2, Llama
    and Qwen). A teacher reads the same masked text. Negatives of a contrast are sequences of other documents, from a
    queue or from the batch; with `strategy: neighbours` those of the same document too, and rows are read in an order
    that brings them near. Evaluation gives the loss over the predicted tokens, with the same masks each time.

    Args:
        teacher: a model with a language-model head and the student's tokenizer. `None` when no objective needs one.
        student: the model to train, with its language-model head.
        args: the usual `TrainingArguments`. `label_names` is set here.
        objectives: from `codir.preset("codir-pre")` and its kin.
        train_dataset: sequences with `input_ids`, `document_id` and `example_index`, from `codir.data.load_corpus`.
        eval_dataset: the same, of documents held out, or a dictionary of such.
        processing_class: the tokenizer of both.
        mask_probability: share of the tokens that is predicted, where tokens are masked.
        whole_words: mask all tokens of a word together.
        head_learning_rate: of projection heads.
        **trainer_kwargs: as in `DistillationTrainer`.

    Raises:
        UserError: a model without a language-model head, an empty corpus, negatives that would need a cache, neighbours
            where there are none or where they would be out of reach.
    """

    def __init__(
        self,
        teacher: PreTrainedModel | None,
        student: PreTrainedModel,
        args: TrainingArguments,
        objectives: Objectives,
        train_dataset: datasets.Dataset,
        eval_dataset: datasets.Dataset | dict[str, datasets.Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        mask_probability: float = 0.15,
        whole_words: bool = False,
        head_learning_rate: float | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        check_pretraining(teacher, student, objectives)
        check_neighbours(objectives, args)
        check_sequences(train_dataset)
        if asks_for_neighbours(objectives):
            check_documents(column_of(train_dataset, "document_id"))
        self.is_masked = is_masked(student.config)
        self.mask_probability, self.whole_words, self.mask_seed = mask_probability, whole_words, args.seed
        args.label_names = ["token_labels"]
        super().__init__(
            teacher,
            student,
            args,
            objectives,
            train_dataset,
            eval_dataset,
            processing_class,
            teacher_cache_dir=None,
            head_learning_rate=head_learning_rate,
            **trainer_kwargs,
        )
        if self.is_masked:
            self.add_callback(EpochSetter(self._train_collator))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the perplexity beside the loss on held-out documents."""
        perplexities = {
            f"{name.removesuffix('_loss')}_perplexity": math.exp(min(loss, 700.0))
            for name, loss in logs.items()
            if name.startswith("eval_") and name.endswith("_loss")
        }
        logs.update(perplexities)
        super().log(logs, *args, **kwargs)

    @cached_property
    def _training_set(self) -> str:
        return fingerprint_sequences(self.train_dataset)

    def _prepare_train(
        self, dataset: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, student: PreTrainedModel
    ) -> datasets.Dataset:
        return dataset

    def _prepare_eval(self, dataset: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
        return dataset

    def _kinds_of(self, encoded: datasets.Dataset) -> NDArray[Any]:
        """The document of each sequence, by its number in the corpus; numbers of held-out ones are of no document."""
        index = column_of(encoded, "example_index")
        documents = np.full(int(index.max()) + 1, IGNORED_CLASS)
        documents[index] = column_of(encoded, "document_id")
        return documents

    def _get_train_sampler(self, train_dataset: datasets.Dataset | None = None) -> Sampler[int] | None:
        """Trainer's own; where neighbours are to be negatives, an order that brings them into reach of one another."""
        objectives = self.distiller.objectives
        if not asks_for_neighbours(objectives):
            return super()._get_train_sampler(train_dataset)
        sampler = build_neighbour_sampler(column_of(self.train_dataset, "document_id"), objectives, self.args)
        self.add_callback(EpochSetter(sampler))
        return sampler

    def _collator(self, tokenizer: PreTrainedTokenizerBase, sampler: NegativeSampler | None = None) -> Any:
        if not self.is_masked:
            return CausalCollator(tokenizer, sampler)
        return MaskingCollator(
            tokenizer,
            mask_probability=self.mask_probability,
            whole_words=self.whole_words,
            seed=self.mask_seed,
            negative_sampler=sampler,
        )
