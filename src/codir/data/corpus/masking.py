"""Batches for a model that predicts masked tokens (Devlin et al. 2019, 1810.04805, §3.1).

Of a row's tokens 15% are chosen, at random; of these 80% become `[MASK]`, 10% another token, and 10% stay as they are.
Which ones is a function of the seed, the epoch and the row: the same in a resumed run, in any number of loader workers
or processes, and in batches of any size; another one in each epoch (Liu et al. 2019, 1907.11692, §4.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from codir.config.words import MASK_PROBABILITY
from codir.data.collate import DistillationCollator
from codir.data.corpus.words import Vocabulary
from codir.data.negatives import NegativeSampler
from codir.errors import UserError
from codir.signals import IGNORED_CLASS, token_mask

MASKED_SHARE, REPLACED_SHARE = 0.8, 0.1
"""Of the chosen tokens: those that become `[MASK]`, and those that become another token. The rest stay."""


class MaskingCollator(DistillationCollator):
    """Pads the sequences of a corpus, masks some of their tokens, and adds `token_labels [batch, tokens]`.

    Labels are the tokens that stood at the chosen places, and `IGNORED_CLASS` everywhere else. Special tokens are never
    chosen. In every row at least one token is, so that no batch is without a loss.

    Args:
        tokenizer: pads, and says which tokens are special and where words begin.
        mask_probability: of each token, to be chosen.
        whole_words: choose whole words. Of a chosen word each token still has its own fate.
        seed: of the choice.
        negative_sampler: as in `DistillationCollator`.

    Everything else in the batch is as in `DistillationCollator`. Call `set_epoch` before each epoch; without it, as in
    evaluation, the masks are those of epoch 0 every time.

    Raises:
        UserError: the tokenizer has no mask token, or the probability is none.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        mask_probability: float = MASK_PROBABILITY,
        whole_words: bool = False,
        seed: int = 0,
        negative_sampler: NegativeSampler | None = None,
    ) -> None:
        super().__init__(tokenizer, negative_sampler)
        _check(tokenizer, mask_probability)
        self.mask_probability, self.seed = mask_probability, seed
        self.whole_words, self._vocabulary = whole_words, Vocabulary.of(tokenizer)
        self._ordinary = (~self._vocabulary.is_special).nonzero().squeeze(1)
        # workers that outlive an epoch see it change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Mask as in this epoch from now on."""
        self._epoch.fill_(epoch)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate the rows of one batch."""
        batch = super().__call__(rows)
        input_ids, mask = batch["input_ids"], token_mask(batch)
        choice, fate, replacement = self._noise(batch["example_index"], mask)
        starts = self._vocabulary.word_starts(input_ids) if self.whole_words else torch.ones_like(mask)
        maskable = ~self._vocabulary.is_special[input_ids]  # padding is special too
        chosen = choose_tokens(choice, maskable, starts, self.mask_probability)
        others = self._ordinary[(replacement * len(self._ordinary)).long()]
        batch["input_ids"] = replace_tokens(input_ids, chosen, fate, others, self.tokenizer.mask_token_id)
        batch["token_labels"] = torch.where(chosen, input_ids, IGNORED_CLASS)
        return batch

    def _noise(
        self, example_index: Int[Tensor, " batch"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "3 batch tokens"]:
        """Three numbers in [0, 1) for each real token, wherever the padding stands."""
        lengths = mask.sum(dim=1).tolist()
        drawn = [
            np.random.default_rng([self.seed, int(self._epoch), row]).random((3, length))
            for row, length in zip(example_index.tolist(), lengths, strict=True)
        ]
        noise = torch.zeros(3, *mask.shape, dtype=torch.float64)
        noise[:, mask] = torch.from_numpy(np.concatenate(drawn, axis=1))
        return noise


def choose_tokens(
    noise: Float[Tensor, "batch tokens"],
    maskable: Bool[Tensor, "batch tokens"],
    word_starts: Bool[Tensor, "batch tokens"],
    probability: float,
) -> Bool[Tensor, "batch tokens"]:
    """Choose words, each with the same probability and at least one in every row that has any.

    Args:
        noise: uniform in [0, 1); that of a word's first token decides for all of it.
        maskable: false at special tokens and at padding.
        word_starts: true everywhere where each token is a word of its own.
        probability: of a word to be chosen, and so of a token.

    Example:
        >>> noise = torch.tensor([[0.3, 0.1, 0.9, 0.5], [0.3, 0.4, 0.9, 0.2]])
        >>> everywhere = torch.ones(2, 4, dtype=torch.bool)
        >>> choose_tokens(noise, everywhere, everywhere, 0.15)
        tensor([[False,  True, False, False],
                [False, False, False,  True]])
        >>> choose_tokens(noise, everywhere, torch.tensor([[True, True, False, False]] * 2), 0.15)
        tensor([[False,  True,  True,  True],
                [ True, False, False, False]])
    """
    places = torch.arange(noise.shape[1], device=noise.device)
    first_of_word = torch.where(word_starts, places, 0).cummax(dim=1).values
    noise_of_word = noise.gather(1, first_of_word).masked_fill(~maskable, float("inf"))
    least = noise_of_word.amin(dim=1, keepdim=True)
    return maskable & ((noise_of_word < probability) | (noise_of_word == least))


def replace_tokens(
    input_ids: Int[Tensor, "batch tokens"],
    chosen: Bool[Tensor, "batch tokens"],
    noise: Float[Tensor, "batch tokens"],
    others: Int[Tensor, "batch tokens"],
    mask_token_id: int,
) -> Int[Tensor, "batch tokens"]:
    """Mask 80% of the chosen tokens, put another in place of 10%, and let 10% stand.

    Args:
        input_ids: the text.
        chosen: the tokens to be predicted.
        noise: uniform in [0, 1); decides what becomes of each.
        others: a token to put in place of each.
        mask_token_id: number of the mask token.

    Example:
        >>> ids, others = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[1, 2, 3, 4]])
        >>> chosen = torch.tensor([[True, True, True, False]])
        >>> replace_tokens(ids, chosen, torch.tensor([[0.1, 0.85, 0.95, 0.1]]), others, mask_token_id=103)
        tensor([[103,   2,   7,   8]])
    """
    is_masked = chosen & (noise < MASKED_SHARE)
    is_replaced = chosen & ~is_masked & (noise < MASKED_SHARE + REPLACED_SHARE)
    return torch.where(is_replaced, others, input_ids.masked_fill(is_masked, mask_token_id))


def _check(tokenizer: PreTrainedTokenizerBase, mask_probability: float) -> None:
    if tokenizer.mask_token_id is None:
        raise UserError(
            "tokenizer",
            expected="one with a mask token, since masked tokens are to be predicted",
            got=f"{type(tokenizer).__name__}, which has none",
            do="take a model that was pre-trained with masked tokens, or predict next tokens instead",
        )
    if not 0 < mask_probability < 1:
        raise UserError(
            "mask_probability", expected="a number between 0 and 1", got=str(mask_probability), do="0.15 is usual"
        )
