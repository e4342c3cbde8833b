"""The same loop over a corpus: what differs where tokens are predicted and not classes.

Rows are masked (or shifted) anew in each epoch, so both models read the batch itself and nothing is cached; documents
take the place of classes when negatives are chosen.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import datasets
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from codir.data import column_of
from codir.models import is_masked
from codir.objectives import Objectives
from codir.trainer.arguments import own_key
from codir.trainer.checks import check_pretraining, check_sequences
from codir.trainer.neighbours import asks_for_neighbours, check_documents, check_neighbours
from codir.trainer.rows import CorpusRows, EpochSetter, Rows
from codir.trainer.trainer import DistillationTrainer


class PretrainingTrainer(DistillationTrainer):
    """`DistillationTrainer` for language models.

    The student's kind of model says what is predicted: masked tokens (BERT and its kin) or the next token (GPT-2, Llama
    and Qwen). A teacher reads the same masked text. Negatives of a contrast are sequences of other documents, from a
    queue or from the batch; with `strategy: neighbours` those of the same document too, and rows are read in an order
    that brings them near. Evaluation gives the loss over the predicted tokens, with the same masks each time.

    Args:
        teacher: a model with a language-model head and the student's tokenizer. `None` when no objective needs one.
        student: the model to train, with its language-model head.
        args: `codir.PretrainingArguments`, or plain `TrainingArguments` with codir's own keys at their defaults.
        objectives: from `codir.preset("codir-pre")` and its kin.
        train_dataset: sequences with `input_ids`, `document_id` and `example_index`, from `codir.data.load_corpus`.
        eval_dataset: the same, of documents held out, or a dictionary of such.
        processing_class: the tokenizer of both.
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
        **trainer_kwargs: Any,
    ) -> None:
        check_pretraining(teacher, student, objectives)
        check_neighbours(objectives, args)
        check_sequences(train_dataset)
        if asks_for_neighbours(objectives):
            check_documents(column_of(train_dataset, "document_id"))
        args = copy.copy(args)
        args.label_names = ["token_labels"]
        super().__init__(
            teacher, student, args, objectives, train_dataset, eval_dataset, processing_class, **trainer_kwargs
        )
        if is_masked(student.config):
            self.add_callback(EpochSetter(self._train_collator))

    def _make_rows(self, args: TrainingArguments, student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Rows:
        share, whole_words = own_key(args, "mask_probability"), own_key(args, "whole_words")
        return CorpusRows(tokenizer, is_masked(student.config), share, whole_words, args.seed)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the perplexity beside the loss on held-out documents."""
        perplexities = {
            f"{name.removesuffix('_loss')}_perplexity": math.exp(min(loss, 700.0))
            for name, loss in logs.items()
            if name.startswith("eval_") and name.endswith("_loss")
        }
        logs.update(perplexities)
        super().log(logs, *args, **kwargs)
