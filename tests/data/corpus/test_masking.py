"""Which tokens are masked: the paper's shares, whole words, and the same ones whenever a row is seen in an epoch."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from codir.data import (
    DistillationCollator,
    EpochLengthGroupedSampler,
    MaskingCollator,
    build_negative_sampler,
    column_of,
    load_corpus,
)
from codir.data.corpus.masking import choose_tokens, replace_tokens
from codir.errors import UserError
from codir.signals import IGNORED_CLASS
from conftest import make_texts
from vocabularies import MASKED, byte_level, next_token, sentence_piece, word_piece


def rows_of(tokenizer, rows: int = 64, *, length: int = 126, seed: int = 0) -> list[dict]:
    """Sequences of random ordinary tokens between special ones."""
    ordinary = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    drawn = np.random.default_rng(seed).choice(ordinary, (rows, length)).tolist()
    start, stop = tokenizer.cls_token_id, tokenizer.sep_token_id
    return [{"input_ids": [start, *ids, stop], "example_index": 7 + row} for row, ids in enumerate(drawn)]


@pytest.fixture
def corpus(tokenizer, tmp_path):
    texts = make_texts(150, kind="none", shortest=2, longest=40)
    return load_corpus(texts, tokenizer, max_length=16, cache_dir=tmp_path)


def restored(batch) -> torch.Tensor:
    """The text as it was before it was masked."""
    labels = batch["token_labels"]
    return torch.where(labels == IGNORED_CLASS, batch["input_ids"], labels)


# ---- Shares ----


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED)
def test_shares_that_are_not_the_papers(make, whole_words):
    tokenizer = make()
    rows = rows_of(tokenizer, 600)
    batch = MaskingCollator(tokenizer, whole_words=whole_words)(rows)
    before, labels = torch.tensor([row["input_ids"] for row in rows]), batch["token_labels"]
    chosen = labels != IGNORED_CLASS
    assert torch.equal(restored(batch), before)
    assert float(chosen.sum()) / (600 * 126) == pytest.approx(0.15, abs=0.01)
    now = batch["input_ids"][chosen]
    is_masked, is_same = now == tokenizer.mask_token_id, now == labels[chosen]
    ordinary = len(tokenizer.get_vocab()) - len(tokenizer.all_special_ids)
    assert float(is_masked.float().mean()) == pytest.approx(0.8, abs=0.015)
    assert float(is_same.float().mean()) == pytest.approx(0.1 + 0.1 / ordinary, abs=0.012)


def test_another_probability_than_was_asked_for(tokenizer):
    for probability in (0.05, 0.4):
        batch = MaskingCollator(tokenizer, mask_probability=probability)(rows_of(tokenizer, 300))
        share = float((batch["token_labels"] != IGNORED_CLASS).sum()) / (300 * 126)
        assert share == pytest.approx(probability, abs=0.01)


def test_a_replacement_that_some_tokens_never_are(tokenizer):
    rows = rows_of(tokenizer, 600)
    batch = MaskingCollator(tokenizer, mask_probability=0.9)(rows)
    labels, now = batch["token_labels"], batch["input_ids"]
    is_other = (labels != IGNORED_CLASS) & (now != labels) & (now != tokenizer.mask_token_id)
    counts = torch.bincount(now[is_other], minlength=len(tokenizer.get_vocab()))
    assert not counts[tokenizer.all_special_ids].any()
    ordinary = np.delete(counts.numpy(), tokenizer.all_special_ids)
    assert ordinary.min() > 0.5 * ordinary.mean()
    assert ordinary.max() < 1.5 * ordinary.mean()


@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_special_token_or_padding_that_is_to_be_predicted(make, side):
    tokenizer = make()
    tokenizer.padding_side = side
    rows = [row for length in (2, 5, 30) for row in rows_of(tokenizer, 20, length=length)]
    for row in rows[::2]:
        row["input_ids"].insert(2, tokenizer.sep_token_id)
    batch = MaskingCollator(tokenizer, mask_probability=0.9)(rows)
    chosen = batch["token_labels"] != IGNORED_CLASS
    assert not chosen[batch["attention_mask"] == 0].any()
    assert not np.isin(batch["token_labels"][chosen], tokenizer.all_special_ids).any()
    assert torch.equal(restored(batch), DistillationCollator(tokenizer)(rows)["input_ids"])


def test_a_row_without_a_loss(tokenizer):
    """Of two tokens none would be chosen three times in four."""
    batch = MaskingCollator(tokenizer)(rows_of(tokenizer, 200, length=2))
    assert bool((batch["token_labels"] != IGNORED_CLASS).any(dim=1).all())
    unknown = [{"input_ids": [2, 1, 1, 3], "example_index": 0}]
    assert not bool((MaskingCollator(tokenizer)(unknown)["token_labels"] != IGNORED_CLASS).any())


# ---- The rule, in slow plain loops ----


@settings(max_examples=200, deadline=None)
@given(data=st.data(), rows=st.integers(1, 3), tokens=st.integers(1, 10), probability=st.floats(0.05, 0.95))
def test_words_chosen_by_another_rule(data, rows, tokens, probability):
    booleans = st.lists(st.booleans(), min_size=tokens, max_size=tokens)
    maskable = [data.draw(booleans) for _ in range(rows)]
    starts = [[True, *data.draw(booleans)[1:]] for _ in range(rows)]
    for row in range(rows):  # a special token is a word of its own
        for place in range(tokens):
            if not maskable[row][place]:
                starts[row][place] = True
                if place + 1 < tokens:
                    starts[row][place + 1] = True
    noise = np.random.default_rng(data.draw(st.integers(0, 999))).random((rows, tokens))
    chosen = choose_tokens(torch.tensor(noise), torch.tensor(maskable), torch.tensor(starts), probability)
    for row in range(rows):
        words: list[list[int]] = []
        for place in range(tokens):
            if starts[row][place]:
                words.append([])
            words[-1].append(place)
        words = [word for word in words if maskable[row][word[0]]]
        expected = [word for word in words if noise[row][word[0]] < probability]
        if words and not expected:
            expected = [min(words, key=lambda word: noise[row][word[0]])]
        assert chosen[row].nonzero().flatten().tolist() == list(chain.from_iterable(expected))


def test_a_fate_that_falls_between_two():
    noise = torch.tensor([[0.0, 0.7999, 0.8, 0.8999, 0.9001, 0.9999]])
    ids, others, chosen = torch.full((1, 6), 5), torch.full((1, 6), 9), torch.ones(1, 6, dtype=torch.bool)
    assert replace_tokens(ids, chosen, noise, others, 103).tolist() == [[103, 103, 9, 9, 5, 5]]


# ---- Whole words ----

WORDS_OF = {
    "WordPiece": (word_piece, [["low", "##er"], ["new", "##er", "##est"], [","], ["wide"]]),
    "byte-level": (byte_level, [["low", "er"], ["Ġnew", "er"], ["Ċ"], ["low"], ["Ġlow", "e", "s", "t"]]),
    "SentencePiece": (sentence_piece, [["▁low", "er"], ["▁new", "est"], ["▁", "w", "i", "d", "e"]]),
}


@pytest.mark.parametrize("name", WORDS_OF)
def test_a_word_that_is_masked_in_part(name):
    make, words = WORDS_OF[name]
    tokenizer = make()
    ids = tokenizer.convert_tokens_to_ids(list(chain.from_iterable(words)))
    assert tokenizer.unk_token_id not in ids
    framed = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id, *ids[1:], tokenizer.sep_token_id]
    bounds = np.cumsum([1, *map(len, words), 1, len(words[0]) - 1, *map(len, words[1:])]).tolist()
    word_places = [range(start, stop) for start, stop in pairwise(bounds) if start != len(ids) + 1]
    batch = MaskingCollator(tokenizer, mask_probability=0.4, whole_words=True)(
        [{"input_ids": framed, "example_index": row} for row in range(300)]
    )
    chosen = batch["token_labels"] != IGNORED_CLASS
    for word in word_places:
        in_part = chosen[:, word]
        assert torch.equal(in_part.any(dim=1), in_part.all(dim=1))
        assert 0.3 < float(in_part[:, 0].float().mean()) < 0.5
    lone = [chosen[:, one.stop - 1] != chosen[:, other.start] for one, other in pairwise(word_places)]
    assert all(bool(differs.any()) for differs in lone), "neighbouring words are chosen apart"


def test_a_vocabulary_of_whole_words_taken_for_one_long_word(tokenizer):
    rows = rows_of(tokenizer)
    apart, whole = (MaskingCollator(tokenizer, whole_words=choice)(rows) for choice in (False, True))
    assert torch.equal(apart["token_labels"], whole["token_labels"])


# ---- The same masks again, and others ----


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_masks_that_depend_on_the_rest_of_the_batch(tokenizer, corpus, side, whole_words):
    tokenizer.padding_side = side
    try:
        collate = MaskingCollator(tokenizer, whole_words=whole_words, seed=5)
        together = collate([corpus[row] for row in range(40)])
        for row in (0, 7, 39):
            alone = collate([corpus[row]])
            real = together["attention_mask"][row].bool()
            for key in ("input_ids", "token_labels"):
                assert torch.equal(together[key][row][real], alone[key][0])
    finally:
        tokenizer.padding_side = "right"


def test_the_same_masks_in_every_epoch_for_every_seed_or_in_every_row(tokenizer):
    same = [{**row, "input_ids": rows_of(tokenizer)[0]["input_ids"]} for row in rows_of(tokenizer)]
    collate, other_seed = MaskingCollator(tokenizer, seed=1), MaskingCollator(tokenizer, seed=2)
    first = collate(same)["token_labels"]
    assert len({tuple(labels.tolist()) for labels in first}) == len(same)
    seen = [first, other_seed(same)["token_labels"]]
    for epoch in (1, 2):
        collate.set_epoch(epoch)
        seen.append(collate(same)["token_labels"])
    for place, one in enumerate(seen):
        for other in seen[place + 1 :]:
            assert float((one == other).all(dim=1).float().mean()) == 0.0
    collate.set_epoch(0)
    assert torch.equal(collate(same)["token_labels"], first)


def loader_of(corpus, tokenizer, **options) -> DataLoader:
    sampler = EpochLengthGroupedSampler(8, corpus["length"][:], seed=3)
    return DataLoader(corpus, batch_size=8, sampler=sampler, collate_fn=MaskingCollator(tokenizer, seed=4), **options)


def batches_of(loader: DataLoader, epochs: int = 2) -> list[dict[str, torch.Tensor]]:
    batches = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        loader.collate_fn.set_epoch(epoch)
        batches += list(loader)
    return batches


def assert_same_batches(some, others) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("persistent", [False, True])
def test_loader_workers_that_mask_otherwise(tokenizer, corpus, persistent):
    """Workers that outlive an epoch have copies of the collator, and still hear of the next epoch."""
    alone = batches_of(loader_of(corpus, tokenizer))
    workers = loader_of(corpus, tokenizer, num_workers=2, persistent_workers=persistent)
    assert_same_batches(batches_of(workers), alone)


def test_a_resumed_run_that_masks_otherwise(tokenizer, corpus):
    """It skips what it has seen of an epoch, as `transformers.Trainer` does."""
    straight = batches_of(loader_of(corpus, tokenizer))
    per_epoch, done = len(straight) // 2, 3
    resumed = prepare_data_loader(loader_of(corpus, tokenizer))
    resumed.collate_fn.set_epoch(1)
    resumed.set_epoch(1)
    assert_same_batches(list(skip_first_batches(resumed, done)), straight[per_epoch + done :])


# ---- Beside the masks ----


def test_negatives_that_masked_batches_lack(tokenizer, corpus):
    ids = column_of(corpus, "document_id")
    sampler = build_negative_sampler(ids, num_examples=len(corpus), count=3, batch_size=4, strategy="other_class")
    batch = MaskingCollator(tokenizer, negative_sampler=sampler)([corpus[row] for row in (4, 1, 9)])
    assert batch["example_index"].tolist() == [4, 1, 9]
    for place, row in enumerate((4, 1, 9)):
        drawn = batch["negative_index"][batch["negative_group"][place]].numpy()
        assert len(drawn) == 3
        assert (ids[drawn] != ids[row]).all()


def test_a_tokenizer_without_a_mask_token():
    with pytest.raises(UserError, match=r"one with a mask token.*GPT2Tokenizer, which has none.*next tokens"):
        MaskingCollator(next_token())


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_probability_that_masks_nothing_or_all(tokenizer, probability):
    with pytest.raises(UserError, match=r"mask_probability: expected a number between 0 and 1"):
        MaskingCollator(tokenizer, mask_probability=probability)
