"""A cache must be whole, its teacher's own, and say what the live teacher says."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import datasets
import pytest
import torch

from codir.data import prepare
from codir.signals import Batch, Representation, TeacherSignal
from codir.teacher import CachedTeacher, CacheKey, LiveTeacher, TeacherView, open_or_build_cache, table_names
from families import tiny_classifier

TWO_LAYERS = Representation((1, 3))
VIEW = TeacherView(frozenset({TWO_LAYERS}))


def live(model, texts, tokenizer, view=VIEW, max_length=16) -> LiveTeacher:
    return LiveTeacher(model, texts, tokenizer, view, max_length=max_length)


def cached_of(running: LiveTeacher, folder, **settings) -> CachedTeacher:
    return CachedTeacher(open_or_build_cache(running, folder, **settings), table_names(running))


def assert_same_signal(first: TeacherSignal, second: TeacherSignal) -> None:
    assert torch.allclose(first.logits, second.logits, atol=1e-5)
    assert first.pooled.keys() == second.pooled.keys()
    for asked, pooled in first.pooled.items():
        assert torch.allclose(pooled, second.pooled[asked], atol=1e-5)


def batch_of(*rows: int) -> Batch:
    return Batch({}, torch.tensor(rows))


def test_a_cached_teacher_that_says_something_else(teacher, texts, tokenizer, tmp_path):
    running = live(teacher, texts, tokenizer)
    cached = cached_of(running, tmp_path, batch_size=10)
    assert_same_signal(running.signal(batch_of(5, 60, 0, 33)), cached.signal(batch_of(5, 60, 0, 33)))
    negatives = torch.tensor([[1, 2], [3, 50]])
    assert cached.pooled(negatives, TWO_LAYERS).shape == (2, 2, 2, 32)
    assert torch.allclose(running.pooled(negatives, TWO_LAYERS), cached.pooled(negatives, TWO_LAYERS), atol=1e-5)


def test_two_representations_mixed_up_or_stored_twice(teacher, texts, tokenizer, tmp_path):
    """Four are asked for, of which two are the same: three tables, and each key finds its own."""
    asked = [Representation("all"), Representation((1, 2, 3, 4)), Representation("last", "cls"), TWO_LAYERS]
    running = live(teacher, texts, tokenizer, TeacherView(frozenset(asked)))
    cached = cached_of(running, tmp_path)
    signal = cached.signal(batch_of(5, 60, 0, 33))
    assert_same_signal(running.signal(batch_of(5, 60, 0, 33)), signal)
    assert [signal.pooled[one].shape[1] for one in asked] == [4, 4, 1, 2]
    assert torch.equal(signal.pooled[asked[0]][:, [0, 2]], signal.pooled[TWO_LAYERS])
    tables = ["logits", "pooled-cls-4", "pooled-mean-1-2-3-4", "pooled-mean-1-3"]
    assert sorted(path.stem for path in cached.folder.glob("*.npy")) == tables
    assert list(CacheKey.read(cached.folder).pooled) == tables[1:]
    rows = torch.tensor([[1, 2]])
    for one in asked:
        assert torch.allclose(running.pooled(rows, one), cached.pooled(rows, one), atol=1e-5)


def test_a_larger_cache_left_unread_or_a_smaller_one_read(teacher, texts, tokenizer, tmp_path):
    views = [TeacherView(frozenset(asked)) for asked in ((TWO_LAYERS,), (TWO_LAYERS, Representation("last")), ())]
    small, large, logits_alone = (
        open_or_build_cache(live(teacher, texts, tokenizer, view), tmp_path) for view in views
    )
    assert small != large
    assert logits_alone in (small, large)
    shutil.rmtree(small)
    found = cached_of(live(teacher, texts, tokenizer, views[0]), tmp_path)
    assert found.folder == large
    assert list(found.signal(batch_of(3)).pooled) == [TWO_LAYERS]


def test_a_teacher_with_dropout_or_gradients(teacher, texts, tokenizer):
    running = live(teacher.train(), texts, tokenizer)
    first, second = running.signal(batch_of(0, 1)), running.signal(batch_of(0, 1))
    assert torch.equal(first.logits, second.logits)
    assert not first.pooled[TWO_LAYERS].requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_weights_cast_once_changing_what_the_teacher_says(teacher, texts, tokenizer):
    view = TeacherView(frozenset({TWO_LAYERS}), dtype=torch.bfloat16)
    running, before = live(teacher, texts, tokenizer, view), {k: v.clone() for k, v in teacher.state_dict().items()}
    for rows, signal in running.iter_signals(batch_size=10):
        cast_anew = running.signal(batch_of(*rows.tolist()))
        assert torch.equal(signal.logits, cast_anew.logits)
        assert torch.equal(signal.pooled[TWO_LAYERS], cast_anew.pooled[TWO_LAYERS])
    assert all(torch.equal(teacher.state_dict()[name], weight) for name, weight in before.items())
    assert {parameter.dtype for parameter in teacher.parameters()} == {torch.float32}


def test_a_half_precision_cache_that_is_far_off(teacher, texts, tokenizer, tmp_path):
    running = live(teacher, texts, tokenizer)
    pooled = cached_of(running, tmp_path, cache_dtype="float16").signal(batch_of(0, 1)).pooled[TWO_LAYERS]
    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, running.signal(batch_of(0, 1)).pooled[TWO_LAYERS], atol=2e-3)


def test_a_second_run_that_runs_the_teacher_again(teacher, texts, tokenizer, tmp_path, monkeypatch):
    folder = open_or_build_cache(live(teacher, texts, tokenizer), tmp_path)
    monkeypatch.setattr(LiveTeacher, "iter_signals", lambda *_: pytest.fail("the teacher ran"))
    assert open_or_build_cache(live(teacher, texts, tokenizer), tmp_path) == folder


def test_a_finished_cache_that_is_written_to_when_it_is_read(teacher, texts, tokenizer, tmp_path):
    """It may lie where only others may write."""
    folder = open_or_build_cache(live(teacher, texts, tokenizer), tmp_path)
    (lock,) = tmp_path.glob(".*.lock")
    lock.unlink()
    assert open_or_build_cache(live(teacher, texts, tokenizer), tmp_path) == folder
    assert list(tmp_path.iterdir()) == [folder]


def test_runs_side_by_side_that_each_build_the_same_cache(teacher, texts, tokenizer, tmp_path, caplog):
    """They start together: one builds it, and the others wait for it and find it."""
    caplog.set_level(logging.INFO)
    start = Barrier(3)

    def run(_: int):
        running = live(teacher, texts, tokenizer)
        start.wait()
        return open_or_build_cache(running, tmp_path, batch_size=4)

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(run, range(3)))) == 1
    assert caplog.text.count("teacher cache: building") == 1


def changed_teacher(model):
    with torch.no_grad():
        model.classifier.bias[0] += 1e-6
    return model


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("weights", lambda m, d, t: live(changed_teacher(m), d, t)),
        ("texts", lambda m, d, t: live(m, d.select(range(63)), t)),
        ("max_length", lambda m, d, t: live(m, d, t, max_length=15)),
        ("pooled", lambda m, d, t: live(m, d, t, TeacherView(frozenset({Representation((1, 2))})))),
        ("pooled", lambda m, d, t: live(m, d, t, TeacherView(frozenset({Representation((1, 3), "cls")})))),
        ("compute_dtype", lambda m, d, t: live(m, d, t, TeacherView(frozenset({TWO_LAYERS}), dtype=torch.bfloat16))),
    ],
)
def test_a_stale_cache_used_in_silence(teacher, texts, tokenizer, tmp_path, caplog, field, change):
    before = open_or_build_cache(live(teacher, texts, tokenizer), tmp_path)
    caplog.set_level(logging.INFO)
    after = open_or_build_cache(change(teacher, texts, tokenizer), tmp_path)
    assert after != before
    assert f"changed since the nearest cache: {field}" in caplog.text


def test_a_tokenizer_that_reads_otherwise_not_changing_the_cache(teacher, texts, tokenizer):
    from transformers import BertTokenizer

    vocab = tokenizer.get_vocab()
    vocab["w1"], vocab["w2"] = vocab["w2"], vocab["w1"]
    keys = [CacheKey.of(live(teacher, texts, t), "float32") for t in (tokenizer, BertTokenizer(vocab=vocab))]
    assert keys[0].differences(keys[1]) == ["tokenizer"]


def test_how_a_tokenizer_last_padded_changing_the_cache(teacher, texts, tokenizer):
    before = CacheKey.of(live(teacher, texts, tokenizer), "float32")
    tokenizer(["w1 w2 w3", "w1"], padding="max_length", max_length=5, truncation=True)
    assert CacheKey.of(live(teacher, texts, tokenizer), "float32") == before


def test_labels_changing_what_the_teacher_says(teacher, texts, tokenizer):
    other = texts.remove_columns("label").add_column("label", [0] * len(texts))
    keys = [CacheKey.of(live(teacher, rows, tokenizer), "float32") for rows in (texts, other)]
    assert keys[0] == keys[1]


def test_a_cache_of_another_version_that_stops_every_run(teacher, texts, tokenizer, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "key.json").write_text('{"weights": "x", "layers": [1]}')
    assert len(cached_of(live(teacher, texts, tokenizer), tmp_path)) == 64


def test_a_mask_that_the_fingerprint_overlooks(teacher, texts, tokenizer):
    encoded = prepare(texts, tokenizer, max_length=16)
    masked = encoded.map(lambda row: {"attention_mask": [*row["attention_mask"][:-1], 0]})
    keys = [CacheKey.of(live(teacher, rows, tokenizer), "float32") for rows in (encoded, masked)]
    assert keys[0].differences(keys[1]) == ["texts"]


def test_tensors_that_cannot_be_fingerprinted(teacher, texts, tokenizer):
    encoded = prepare(texts, tokenizer, max_length=16)
    keys = [CacheKey.of(live(teacher, rows, tokenizer), "float32") for rows in (encoded, encoded.with_format("torch"))]
    assert keys[0] == keys[1]


def test_a_half_written_cache_taken_for_a_whole_one(teacher, texts, tokenizer, tmp_path):
    class DiesInTheMiddle(LiveTeacher):
        def iter_signals(self, batch_size):
            for number, item in enumerate(super().iter_signals(batch_size)):
                if number == 2:
                    raise KeyboardInterrupt
                yield item

    with pytest.raises(KeyboardInterrupt):
        open_or_build_cache(DiesInTheMiddle(teacher, texts, tokenizer, VIEW, max_length=16), tmp_path, batch_size=8)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    assert len(cached_of(live(teacher, texts, tokenizer), tmp_path)) == 64


def test_a_teacher_that_reads_with_the_students_tokenizer(texts, tmp_path):
    """A decoder with a head, its own vocabulary, no `[CLS]`: it reads the same texts by its own rules."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<unk>": 1, **{f"w{i}": i + 2 for i in range(90)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    running = live(tiny_classifier("gpt2", num_labels=2), texts, tokenizer)
    assert running.cls_position == "last"
    cached = cached_of(running, tmp_path)
    assert_same_signal(running.signal(batch_of(3, 4)), cached.signal(batch_of(3, 4)))


def test_texts_of_one_cell_moving_to_the_next_without_notice(teacher, tokenizer):
    rows = [
        datasets.Dataset.from_dict({"text": a, "text_pair": b}) for a, b in ((["w1 w2"], ["w3"]), (["w1"], ["w2 w3"]))
    ]
    keys = [CacheKey.of(live(teacher, row, tokenizer), "float32") for row in rows]
    assert keys[0].differences(keys[1]) == ["texts"]
