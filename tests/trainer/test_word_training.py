"""Training on words: one teacher live or cached, tokenizers that differ, micro-batches, rows without tags."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from test_label_weights import KeepGradients, hard_and_soft
from test_training import PLAIN_DESCENT, arguments, make_trainer
from transformers import AutoModelForTokenClassification, BertTokenizer, PreTrainedModel

from codir import UserError
from codir.data import POSITIONS, encode
from codir.models import kind_of_model
from codir.objectives import HardLabel, LogitMSE, WeightedObjectives
from codir.runs import preset
from codir.signals import Batch, StudentSignal, TeacherSignal
from codir.student import build_student
from codir.tasks import IGNORED_CLASS, NO_LOGIT
from codir.teacher import CachedTeacher, CacheKey, LiveTeacher, TeacherView, find_cache, open_or_build_cache
from codir.trainer import DistillationTrainer
from conftest import SPECIAL, WORDS
from families import FAMILIES

pytestmark = pytest.mark.training
TAGS = ("O", "B-PER", "B-LOC")


def tagger(layers: int = 2, seed: int = 0, **settings) -> PreTrainedModel:
    names = dict(enumerate(TAGS))
    config = FAMILIES["bert"](num_hidden_layers=layers, id2label=names, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForTokenClassification.from_config(config).eval()


def tagged(rows: int = 32, *, seed: int = 0, longest: int = 9) -> datasets.Dataset:
    """Words whose tag can be read off their number."""
    rng = np.random.default_rng(seed)
    numbers = [rng.integers(0, len(WORDS), rng.integers(1, longest)) for _ in range(rows)]
    return datasets.Dataset.from_dict(
        {"words": [[WORDS[i] for i in row] for row in numbers], "label": [[int(i) % 3 for i in row] for row in numbers]}
    )


@pytest.fixture
def letters() -> BertTokenizer:
    """Another tokenizer, which cuts each word into its letters: `w`, `##1`, `##2`."""
    return BertTokenizer(
        vocab={
            t: i for i, t in enumerate([*SPECIAL, "w", *(f"##{i}" for i in range(10)), *(f"x{i}" for i in range(60))])
        }
    )


def live(model, rows, tokenizer, max_length=16) -> LiveTeacher:
    return LiveTeacher(model, rows, tokenizer, TeacherView(), max_length=max_length)


def batch_of(rows: datasets.Dataset, tokenizer, chosen: list[int]) -> Batch:
    encoded = encode(rows, tokenizer, max_length=64)
    widest = max(len(encoded[row][POSITIONS]) for row in chosen)
    positions = [[*encoded[row][POSITIONS], *[-1] * (widest - len(encoded[row][POSITIONS]))] for row in chosen]
    return Batch({}, torch.tensor(chosen), word_positions=torch.tensor(positions))


@pytest.mark.parametrize("max_length", [16, 6])
def test_a_cache_of_words_that_says_something_else(tokenizer, tmp_path, max_length):
    rows = tagged()
    running = live(tagger(), rows, tokenizer, max_length)
    folder = open_or_build_cache(running, tmp_path, batch_size=5)
    cached = CachedTeacher(folder, {})
    assert len(cached) == len(rows)
    for chosen in ([5, 31, 0, 17], [2], list(range(32))):
        batch = batch_of(rows, tokenizer, chosen)
        now, kept = running.signal(batch).logits, cached.signal(batch).logits
        assert kept.shape == (*batch.word_positions.shape, 3)
        assert torch.equal(torch.isneginf(now), torch.isneginf(kept))
        assert torch.allclose(now, kept, atol=1e-5)
        there = torch.tensor([len(rows[row]["words"]) for row in chosen]).unsqueeze(1)
        is_read = torch.arange(now.shape[1]) < there.clamp(max=max_length - 2)
        assert torch.equal(~torch.isneginf(now).all(dim=-1), is_read)
    words = sum(len(words) for words in rows["words"])
    assert np.load(folder / "logits.npy").shape == (words, 3)


def test_a_damaged_table_of_words_that_is_read(tokenizer, tmp_path):
    rows = tagged()
    running = live(tagger(), rows, tokenizer)
    folder = open_or_build_cache(running, tmp_path)
    key = CacheKey.of(running, "float32")
    assert find_cache(key, tmp_path) == folder
    np.save(folder / "offsets.npy", np.load(folder / "offsets.npy")[:-1])
    assert find_cache(key, tmp_path) is None
    assert find_cache(key, tmp_path, is_checked=True) is None
    assert CachedTeacher(open_or_build_cache(running, tmp_path), {}).signal(batch_of(rows, tokenizer, [31])) is not None


def test_a_teacher_that_speaks_of_other_words_than_its_student(tokenizer, letters, tmp_path):
    """The student's tokenizer makes three tokens of a word, and cuts rows sooner."""
    rows, losses = tagged(16), []
    teacher, where = tagger(seed=1), {"teacher_cache_dir": str(tmp_path / "cache")}
    for cache in (True, False):
        student = tagger(seed=2)
        student.apply(lambda module: setattr(module, "p", 0.0) if isinstance(module, torch.nn.Dropout) else None)
        student.config.attention_probs_dropout_prob = 0.0
        trainer = DistillationTrainer(
            teacher,
            student,
            arguments(tmp_path / str(cache), max_length=14, max_steps=2, **where, teacher_cache=cache, **PLAIN_DESCENT),
            hard_and_soft(),
            rows,
            processing_class=letters,
            teacher_processing_class=tokenizer,
        )
        trainer.train()
        losses.append([line["loss/soft_target"] for line in trainer.state.log_history if "loss/soft_target" in line])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    student = tagger(seed=2)
    expected = []
    for words in rows["words"]:
        ours = letters(" ".join(words), return_tensors="pt", truncation=True, max_length=14)
        theirs = tokenizer(" ".join(words), return_tensors="pt", truncation=True, max_length=14)
        firsts = [place for place, token in enumerate(ours.tokens()) if token == "w"]
        q = (student(**ours).logits[0, firsts] / 2).log_softmax(dim=-1)
        p = (teacher(**theirs).logits[0, 1 : 1 + len(firsts)] / 2).log_softmax(dim=-1)
        expected.append((4 * (p.exp() * (p - q)).sum(dim=-1)).tolist())
    assert sum(map(len, expected)) < sum(len(words) for words in rows["words"])
    first_batch = [word for row in expected[:8] for word in row]
    assert losses[0][0] == pytest.approx(np.mean(first_batch), rel=1e-4)


@pytest.mark.parametrize(
    "objectives", [hard_and_soft, lambda: WeightedObjectives({"logit_mse": LogitMSE()}, {"logit_mse": 1.0})]
)
def test_micro_batches_that_weigh_the_same_however_many_words_they_have(tmp_path, tokenizer, objectives):
    rows = tagged(32)
    labels = [[] if row % 5 == 0 else tags for row, tags in enumerate(rows["label"])]
    rows = rows.remove_columns("label").add_column("label", labels, feature=rows.features["label"])
    gradients = []
    for size, accumulation in ((32, 1), (8, 4)):
        kept = KeepGradients()
        trainer = make_trainer(
            tmp_path / str(size),
            tokenizer,
            dropout=False,
            objectives=objectives(),
            teacher=tagger(seed=1),
            student=tagger(seed=2),
            train=rows,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            callbacks=[kept],
            **PLAIN_DESCENT,
        )
        trainer.train()
        gradients += kept.steps
    whole, parts = gradients
    assert whole.norm() > 0.01
    assert (whole - parts).norm() < 1e-5 * max(1.0, whole.norm())


def test_rows_with_a_label_for_each_token_that_train_otherwise_than_words(tmp_path, tokenizer):
    rows, losses = tagged(16), []
    ready = encode(rows, tokenizer, max_length=16)
    labels = [
        [dict(zip(places, tags, strict=True)).get(place, IGNORED_CLASS) for place in range(len(ids))]
        for places, tags, ids in zip(ready[POSITIONS], ready["labels"], ready["input_ids"], strict=True)
    ]
    ready = ready.select_columns(["input_ids", "attention_mask"]).add_column("labels", labels)
    for train in (rows, ready):
        trainer = make_trainer(
            tmp_path / str(len(losses)),
            tokenizer,
            dropout=False,
            teacher=tagger(seed=1),
            student=tagger(seed=2),
            objectives=preset("kd"),
            train=train,
            eval_dataset=train,
            max_length=16,
            max_steps=2,
            **PLAIN_DESCENT,
        )
        trainer.train()
        scores = trainer.evaluate()
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line] + [scores["eval_loss"]])
        assert "eval_entity_f1" in scores
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_student_of_another_start_that_answers_rows_and_not_words(tmp_path, tokenizer):
    teacher = tagger()
    tagger(layers=1).base_model.save_pretrained(tmp_path)
    for student in (build_student(teacher, checkpoint=tmp_path), build_student(teacher, layers=1)):
        assert type(student).__name__ == "BertForTokenClassification"
        assert kind_of_model(student).metrics[0] == "entity_f1"


def test_a_contrast_that_needs_classes_of_rows_which_words_have_none_of(tmp_path, tokenizer):
    with pytest.raises(UserError, match="one class for each row"):
        make_trainer(
            tmp_path, tokenizer, objectives=preset("supcon"), teacher=tagger(), student=tagger(), train=tagged()
        )
    assert -float("inf") == NO_LOGIT


def test_a_word_that_nobody_reads_in_rows_without_tags_and_a_loss_that_is_no_number():
    logits = torch.zeros(1, 2, 3)
    logits[0, 1] = NO_LOGIT
    logits.requires_grad_()
    nothing = TeacherSignal(torch.zeros(1, 0))
    loss = HardLabel()(StudentSignal(logits), nothing, Batch({}, torch.tensor([0])), None)
    loss.backward()
    assert loss == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("count", [1, 7], ids=["short", "long"])
def test_tags_that_are_not_one_for_each_word(tmp_path, tokenizer, count):
    rows = datasets.Dataset.from_dict({"words": [WORDS[:4], WORDS[:3]], "label": [[], [0] * count]})
    refused = f"row 2: expected a label for each of its 3 words, or none at all, got {count}"
    with pytest.raises(UserError, match=refused):
        encode(rows, tokenizer, max_length=16)
