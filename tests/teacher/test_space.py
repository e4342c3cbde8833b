"""The teacher's fixed space: its components, where they are kept, and what may serve in their place."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from test_cache import TWO_LAYERS, assert_same_signal, batch_of, cached_of, live

import codir.teacher.space
from codir.signals import Batch, Representation
from codir.teacher import CacheKey, PrincipalSpace, TeacherView, estimate_bytes, open_or_build_cache
from families import tiny_classifier

REDUCED = Representation((1, 3), principal=5)
VIEW = TeacherView(frozenset({REDUCED}))


@pytest.fixture
def few_rows(monkeypatch) -> int:
    """A space is fitted on fewer rows than there are."""
    monkeypatch.setattr(codir.teacher.space, "SAMPLE_ROWS", 20)
    return 20


def components_by_hand(pooled: np.ndarray, sample: np.ndarray, dim: int) -> np.ndarray:
    """Row by row and layer by layer, with numpy's whole SVD; axes point where their largest entry is positive."""

    def scaled(rows: np.ndarray) -> np.ndarray:
        centred = [[layer - mean for layer, mean in zip(row, sample.mean(axis=0), strict=True)] for row in rows]
        return np.array([np.concatenate([layer / np.linalg.norm(layer) for layer in row]) for row in centred])

    fitted = scaled(sample)
    axes = np.linalg.svd(fitted - fitted.mean(axis=0), full_matrices=False)[2][:dim]
    axes = np.array([axis * np.sign(axis[np.abs(axis).argmax()]) for axis in axes])
    return (scaled(pooled) - fitted.mean(axis=0)) @ axes.T


def test_components_that_differ_from_the_textbook():
    g = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 30.0])[:, None]  # of two layers
    pooled = (torch.randn(40, 2, 6, generator=g) + torch.randn(2, 6, generator=g)) * scales
    space = PrincipalSpace.fit(pooled[:30], 4)
    expected = components_by_hand(pooled.double().numpy(), pooled[:30].double().numpy(), 4)
    assert np.allclose(space.project(pooled).numpy(), expected, atol=1e-5)
    assert torch.allclose(space.project(pooled.view(5, 8, 2, 6)), space.project(pooled).view(5, 8, 4), atol=1e-6)


def test_cached_components_that_are_not_those_of_the_layers(teacher, texts, tokenizer, tmp_path, few_rows):
    """Against the layers themselves, reduced by hand; rows come in another order where a space is fitted first."""
    cached = cached_of(live(teacher, texts, tokenizer, VIEW), tmp_path, batch_size=7)
    in_layers = cached_of(live(teacher, texts, tokenizer), tmp_path)
    rows = torch.arange(len(texts))
    pooled = in_layers.pooled(rows.view(-1, 2), TWO_LAYERS).flatten(0, 1).double().numpy()
    sample = codir.teacher.space.sample_rows(len(texts))
    assert len(sample) == few_rows
    found = cached.pooled(rows.view(-1, 2), REDUCED)
    assert found.shape == (len(texts) // 2, 2, 1, 5)
    assert np.allclose(found.reshape(-1, 5).numpy(), components_by_hand(pooled, pooled[sample], 5), atol=1e-4)
    assert torch.allclose(cached.signal(batch_of(3)).logits, in_layers.signal(batch_of(3)).logits, atol=1e-5)


def test_a_cache_of_components_that_says_something_else_than_a_live_teacher(
    teacher, texts, tokenizer, tmp_path, few_rows
):
    running = live(teacher, texts, tokenizer, VIEW)
    cached = cached_of(live(teacher, texts, tokenizer, VIEW), tmp_path)
    assert_same_signal(running.signal(batch_of(5, 60, 0, 33)), cached.signal(batch_of(5, 60, 0, 33)))
    negatives = torch.tensor([[1, 2], [3, 50]])
    assert torch.allclose(running.pooled(negatives, REDUCED), cached.pooled(negatives, REDUCED), atol=1e-5)


def test_a_cache_of_components_as_large_as_one_of_layers(teacher, texts, tokenizer, tmp_path):
    small, large = live(teacher, texts, tokenizer, VIEW), live(teacher, texts, tokenizer)
    for running in (small, large):
        folder = open_or_build_cache(running, tmp_path)
        tables = [np.load(path, mmap_mode="r") for path in folder.glob("*.npy")]
        assert sum(table.nbytes for table in tables) == estimate_bytes(running, "float32")
    assert estimate_bytes(small, "float32") == len(texts) * 4 * (2 + 5)
    wide = live(teacher, texts, tokenizer, TeacherView(frozenset({Representation("last", principal=1000)})))
    assert estimate_bytes(wide, "float32") == len(texts) * 4 * (2 + 32)  # no more axes than dimensions


def test_the_space_itself_left_out_of_the_cache(teacher, texts, tokenizer, tmp_path):
    folder = open_or_build_cache(live(teacher, texts, tokenizer, VIEW), tmp_path)
    names = sorted(path.name for path in folder.iterdir() if path.suffix != ".json")
    assert names == ["logits.npy", "pooled-mean-1-3-pca-5.npy", "pooled-mean-1-3-pca-5.space.safetensors"]
    kept = PrincipalSpace.load(folder / names[2])
    running = live(teacher, texts, tokenizer, VIEW)
    fitted = running.fit_spaces()[REDUCED]
    assert all(torch.allclose(kept.tensors()[name], tensor, atol=1e-5) for name, tensor in fitted.tensors().items())


def test_a_cache_of_other_components_taken_for_these(teacher, texts, tokenizer, tmp_path):
    views = [frozenset({REDUCED}), frozenset({Representation((1, 3), principal=6)}), frozenset({TWO_LAYERS})]
    folders = [open_or_build_cache(live(teacher, texts, tokenizer, TeacherView(view)), tmp_path) for view in views]
    assert len(set(folders)) == 3
    both = open_or_build_cache(live(teacher, texts, tokenizer, TeacherView(views[0] | views[1])), tmp_path / "other")
    assert open_or_build_cache(live(teacher, texts, tokenizer, VIEW), tmp_path / "other") == both
    keys = [CacheKey.read(folder) for folder in folders]
    assert keys[0].differences(keys[1]) == keys[0].differences(keys[2]) == ["pooled"]


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_space_in_a_cache_that_is_used(teacher, texts, tokenizer, tmp_path, caplog, harm):
    folder = open_or_build_cache(live(teacher, texts, tokenizer, VIEW), tmp_path)
    (file,) = folder.glob("*.space.safetensors")
    whole = file.read_bytes()
    if harm == "changed":
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        file.unlink()
    with caplog.at_level(logging.WARNING):
        assert open_or_build_cache(live(teacher, texts, tokenizer, VIEW), tmp_path) == folder
    assert file.name in caplog.text
    assert file.read_bytes() == whole


def test_components_in_half_precision_that_are_others(teacher, texts, tokenizer, tmp_path):
    running = live(teacher, texts, tokenizer, VIEW)
    half = cached_of(running, tmp_path, cache_dtype="float16").signal(batch_of(0, 1)).pooled[REDUCED]
    assert torch.allclose(running.signal(batch_of(0, 1)).pooled[REDUCED], half, atol=2e-3)


def test_a_space_fitted_on_all_tokens_where_tokens_are_compared(teacher, texts, tokenizer, monkeypatch):
    """The layers of a part of the rows are pooled; no token of them is kept."""
    view = TeacherView(frozenset({REDUCED}), hidden_states=True, attention=True)
    running, asked = live(teacher, texts, tokenizer, view), []
    run_in_layers = running._run_in_layers
    monkeypatch.setattr(
        running, "_run_in_layers", lambda inputs, view, *a: asked.append(view) or run_in_layers(inputs, view, *a)
    )
    inputs = tokenizer(texts["text"][:3], return_tensors="pt", padding=True, truncation=True, max_length=16)
    signal = running.signal(Batch(dict(inputs), torch.arange(3)))
    *fitting, speaking = asked
    assert not any(one.tokens for one in fitting)
    assert speaking.tokens
    alone = live(teacher, texts, tokenizer, VIEW).signal(batch_of(0, 1, 2))
    assert torch.allclose(signal.pooled[REDUCED], alone.pooled[REDUCED], atol=1e-4)
    assert len(signal.tokens.hidden_states) == 5


def test_a_process_that_fits_a_space_of_its_own(teacher, texts, tokenizer):
    """It takes the one that another process has fitted, and fits none."""
    first, second = live(teacher, texts, tokenizer, VIEW), live(teacher, texts, tokenizer, VIEW)
    other = tiny_classifier("bert", seed=5)
    fitted_by_other = live(other, texts, tokenizer, VIEW).fit_spaces()
    second.take_spaces(fitted_by_other)
    rows = batch_of(0, 7)
    assert second.spaces.keys() == first.fit_spaces().keys()
    assert not torch.allclose(first.signal(rows).pooled[REDUCED], second.signal(rows).pooled[REDUCED], atol=1e-3)
