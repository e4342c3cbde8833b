"""What users of the Python trainer get wrong without noticing: each is refused in the words of the recipes' checks."""

from __future__ import annotations

import logging

import datasets
import pytest
import torch
from datasets import ClassLabel
from test_training import arguments
from transformers import AutoTokenizer, BertTokenizer

import codir
from codir.data import load_corpus, note_unknown_tokens
from codir.errors import UserError
from codir.objectives import HardLabel, SoftTarget, WeightedObjectives
from codir.student import build_student
from codir.trainer import DistillationTrainer, PretrainingTrainer
from conftest import SPECIAL, WORDS, make_texts
from families import tiny_classifier, tiny_language_model
from kind_worlds import labels_model, vectors_model
from vocabularies import next_token

pytestmark = pytest.mark.training


def hard_and_soft() -> WeightedObjectives:
    weights = {"hard_label": 0.5, "soft_target": 0.5}
    return WeightedObjectives({"hard_label": HardLabel(), "soft_target": SoftTarget()}, weights)


def make_trainer(tmp_path, tokenizer, *, teacher=None, student=None, train=None, dev=None, own=None, **settings):
    args = {"max_steps": 2, "teacher_cache_dir": tmp_path / "cache", "teacher_cache": False, **settings}
    return DistillationTrainer(
        teacher or tiny_classifier("bert", num_labels=2, seed=1),
        student or tiny_classifier("bert", num_labels=2, layers=2, seed=2),
        arguments(tmp_path / "run", **args),
        hard_and_soft(),
        make_texts(32) if train is None else train,
        dev,
        processing_class=tokenizer,
        teacher_processing_class=own,
    )


def words_backwards() -> BertTokenizer:
    """As large as the tests' tokenizer, with other numbers."""
    return BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])})


def named(model, names: list[str]):
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    return model


def with_names(rows: datasets.Dataset, names: list[str]) -> datasets.Dataset:
    return rows.cast_column("label", ClassLabel(names=names))


# ---- Classes ----


def test_classes_that_the_data_numbers_in_another_order(tmp_path, tokenizer):
    teacher = named(tiny_classifier("bert", num_labels=2, seed=1), ["negative", "positive"])
    rows = with_names(make_texts(32), ["Positive", "Negative"])
    with pytest.raises(UserError, match=r"the teacher's: negative, positive, got the data's: Positive, Negative"):
        make_trainer(tmp_path, tokenizer, teacher=teacher, student=build_student(teacher, layers=2), train=rows)
    aligned = rows.align_labels_with_mapping(teacher.config.label2id, "label")  # as the message says
    make_trainer(tmp_path, tokenizer, teacher=teacher, student=build_student(teacher, layers=2), train=aligned).train()


def test_classes_that_the_student_numbers_in_another_order(tmp_path, tokenizer):
    teacher = named(tiny_classifier("bert", num_labels=2, seed=1), ["negative", "positive"])
    student = named(tiny_classifier("bert", num_labels=2, layers=2), ["positive", "negative"])
    with pytest.raises(UserError, match=r"got the student's: positive, negative"):
        make_trainer(tmp_path, tokenizer, teacher=teacher, student=student)


def test_a_student_alone_whose_saved_names_would_be_wrong(tmp_path, tokenizer):
    student = named(tiny_classifier("bert", num_labels=2, layers=2), ["positive", "negative"])
    rows, objectives = with_names(make_texts(32), ["negative", "positive"]), codir.preset("fine-tune")
    with pytest.raises(UserError, match="the student's: positive, negative, got the data's: negative, positive"):
        DistillationTrainer(None, student, arguments(tmp_path), objectives, rows, processing_class=tokenizer)


@pytest.mark.parametrize(
    ("outputs", "problem", "said"),
    [
        (3, "regression_of_ranks", "`problem_type: regression_of_ranks`"),
        (1, "single_label_classification", "with one output"),
    ],
)
def test_a_kind_of_task_that_codir_does_not_have_taught_as_another(tmp_path, tokenizer, outputs, problem, said):
    teacher = tiny_classifier("bert", num_labels=outputs)
    teacher.config.problem_type = problem
    with pytest.raises(UserError, match=said):
        make_trainer(tmp_path, tokenizer, teacher=teacher, student=build_student(teacher, layers=2))
    said = "num_labels" if problem == "single_label_classification" else said  # transformers refuses to load that one
    tokenizer.save_pretrained(tmp_path / "teacher")
    teacher.save_pretrained(tmp_path / "teacher")
    with pytest.raises(UserError, match=said):
        codir.evaluate(str(tmp_path / "teacher"), codir.config.DataConfig(source="never-read.csv"))


# ---- Tokenizers ----


def test_a_teacher_read_with_the_students_tokenizer(tmp_path, tokenizer):
    folder = tmp_path / "teacher"
    tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(folder)
    words_backwards().save_pretrained(folder)
    teacher = type(tiny_classifier("bert")).from_pretrained(folder)
    with pytest.raises(UserError, match="teacher_processing_class"):
        make_trainer(tmp_path, tokenizer, teacher=teacher)
    own = AutoTokenizer.from_pretrained(folder)
    make_trainer(tmp_path, tokenizer, teacher=teacher, own=own).train()
    make_trainer(tmp_path, own, teacher=teacher).train()  # the student reads with it too


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_added_tokens_beyond_the_embeddings(tmp_path, tokenizer, role):
    larger = BertTokenizer(
        vocab={word: i for i, word in enumerate([*SPECIAL, *WORDS, *(f"more{i}" for i in range(9))])}
    )
    tokenizers = {
        "teacher": {"own": larger, "tokenizer": tokenizer},
        "student": {"own": tokenizer, "tokenizer": larger},
    }
    with pytest.raises(UserError, match=f"{role}'s tokenizer: expected at most 100 tokens.*got 104 tokens"):
        make_trainer(tmp_path, **tokenizers[role])


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_tokenizer_of_a_much_smaller_model(tmp_path, tokenizer, role):
    smaller = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[:20])})
    both = {"teacher": {"own": smaller, "tokenizer": tokenizer}, "student": {"own": tokenizer, "tokenizer": smaller}}
    with pytest.raises(UserError, match=f"{role}'s tokenizer: expected about 100 tokens.*got 25 tokens"):
        make_trainer(tmp_path, **both[role])


def test_a_tokenizer_that_cannot_pad(tmp_path, tokenizer):
    tokenizer = BertTokenizer(vocab=tokenizer.get_vocab())
    tokenizer.pad_token = None
    with pytest.raises(UserError, match="expected a padding token"):
        make_trainer(tmp_path, tokenizer)


def test_a_causal_classifier_whose_answer_is_read_off_the_padding(tmp_path, tokenizer):
    student = tiny_classifier("gpt2", num_labels=2)
    student.config.pad_token_id = 7
    with pytest.raises(UserError, match=r"student: expected `config.pad_token_id` 0, as its tokenizer pads, got 7"):
        make_trainer(tmp_path, tokenizer, student=student)
    student.config.pad_token_id = None
    with pytest.raises(UserError, match=r"`config.pad_token_id` 0"):
        make_trainer(tmp_path, tokenizer, student=student)


def pairs(rows: int = 16) -> datasets.Dataset:
    texts = make_texts(rows)
    return texts.add_column("text_pair", texts["text"][::-1])


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("are_tokenised", [False, True], ids=["texts", "token ids"])
def test_segments_that_a_model_has_no_embeddings_for(tmp_path, tokenizer, role, are_tokenised):
    """RoBERTa has one segment; a BERT tokenizer gives the second text of a pair another."""
    rows = pairs()
    if are_tokenised:
        rows = rows.map(lambda row: tokenizer(row["text"], row["text_pair"]), remove_columns=["text", "text_pair"])
    roberta = tiny_classifier("roberta", num_labels=2)
    roberta.roberta.embeddings.token_type_embeddings = torch.nn.Embedding(1, 32)
    with pytest.raises(UserError, match=rf"{role}'s tokenizer: expected segment numbers below 1.*got 1"):
        make_trainer(tmp_path, tokenizer, train=rows, **{role: roberta})
    make_trainer(tmp_path, tokenizer, train=rows).train()


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_token_ids_that_a_model_has_no_embeddings_for(tmp_path, tokenizer, role):
    rows = make_texts(16).map(lambda row: tokenizer(row["text"]), remove_columns=["text"])
    rows = rows.map(lambda row, i: {"input_ids": [*row["input_ids"][:-1], 101 if i == 9 else 3]}, with_indices=True)
    large = {"teacher": "student", "student": "teacher"}[role]
    model = tiny_classifier("bert", num_labels=2)
    model.resize_token_embeddings(110)
    with pytest.raises(UserError, match=rf"token ids below 100, as many as the {role} has embeddings, got 101"):
        make_trainer(tmp_path, tokenizer, train=rows, **{large: model})


# ---- Lengths and texts ----


def test_a_length_beyond_the_models_positions(tmp_path, tokenizer):
    with pytest.raises(UserError, match="max_length: expected at most 64"):
        make_trainer(tmp_path, tokenizer, max_length=65)
    rows = make_texts(8, shortest=70, longest=70).map(lambda row: tokenizer(row["text"]), remove_columns=["text"])
    with pytest.raises(UserError, match=r"rows of at most 64 tokens.*got one of 72"):
        make_trainer(tmp_path, tokenizer, train=rows)


@pytest.mark.parametrize("pair", [False, True])
def test_a_length_that_leaves_no_room_for_a_text(tmp_path, tokenizer, pair):
    rows, least = (pairs(), 5) if pair else (make_texts(16), 3)
    make_trainer(tmp_path, tokenizer, train=rows, max_length=least)
    for length in range(1, least):
        with pytest.raises(UserError, match=f"max_length: expected at least {least}"):
            make_trainer(tmp_path, tokenizer, train=rows, max_length=length)


@pytest.mark.parametrize("column", ["text", "text_pair"])
@pytest.mark.parametrize("where", ["train", "evaluation"])
def test_a_text_that_is_none(tmp_path, tokenizer, column, where):
    rows = pairs().to_list()
    rows[4][column] = None
    broken = datasets.Dataset.from_list(rows)
    whole = make_trainer(tmp_path, tokenizer, train=pairs())
    with pytest.raises(UserError, match=f"column '{column}', row 5: expected a text, got no value"):
        make_trainer(tmp_path, tokenizer, train=broken) if where == "train" else whole.evaluate(broken)
    with_numbers = make_texts(8).remove_columns("text").add_column("text", list(range(8)))
    with pytest.raises(UserError, match=r"row 1: expected a text, got 0 \(int\)"):
        make_trainer(tmp_path, tokenizer, train=with_numbers)


@pytest.mark.parametrize("are_tokenised", [False, True], ids=["texts", "token ids"])
def test_a_stream_that_no_check_can_look_into(tmp_path, tokenizer, are_tokenised):
    rows = make_texts(8)
    rows = rows.map(lambda row: tokenizer(row["text"])) if are_tokenised else rows
    for stream in (rows.to_iterable_dataset(), rows.to_list()):
        with pytest.raises(UserError, match=r"a `datasets\.Dataset`, whose rows can be numbered"):
            make_trainer(tmp_path, tokenizer, train=stream)


@pytest.mark.parametrize("several", [False, True], ids=["one set", "several"])
def test_evaluation_labels_that_the_loss_trips_over_after_an_epoch(tmp_path, tokenizer, several):
    rows = make_texts(8).map(lambda row: {"label": 2 * row["label"]})  # 0 and 2, of two classes
    with pytest.raises(UserError, match=r"labels: expected class indices from 0 to 1.*got 2"):
        make_trainer(tmp_path, tokenizer, dev={"dev": rows} if several else rows)


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_unknown_words_read_in_silence(tmp_path, tokenizer, caplog, share):
    rows = make_texts(16).map(
        lambda row: {"text": row["text"] if share == 0 else row["text"] + " zebra" * len(row["text"].split())}
    )
    with caplog.at_level(logging.WARNING, logger="codir"):
        make_trainer(tmp_path, tokenizer, train=rows)
    assert ("The student: 50% of the tokens are unknown" in caplog.text) == (share > 0)
    assert ("The teacher: 50% of the tokens are unknown" in caplog.text) == (share > 0)


def test_an_end_of_text_taken_for_an_unknown_token():
    tokenizer = next_token()
    assert tokenizer.unk_token_id == tokenizer.eos_token_id
    rows = datasets.Dataset.from_dict({"input_ids": [[tokenizer.eos_token_id, 5, 6]] * 4})
    assert note_unknown_tokens(rows, tokenizer) == []


@pytest.mark.parametrize("steps", [0, -5])
def test_a_number_of_steps_that_means_epochs(tmp_path, tokenizer, steps):
    with pytest.raises(UserError, match="max_steps: expected at least 1"):
        make_trainer(tmp_path, tokenizer, max_steps=steps)


# ---- Number formats ----


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_trained_in_it(tmp_path, tokenizer, caplog, dtype):
    teacher = tiny_classifier("bert", num_labels=2, seed=1).to(dtype)
    student = build_student(teacher, layers=2)
    with caplog.at_level(logging.WARNING, logger="codir"):
        trainer = make_trainer(tmp_path, tokenizer, teacher=teacher, student=student)
    trainer.train()
    assert {p.dtype for p in [*trainer.student.parameters(), *teacher.parameters()]} == {torch.float32}
    assert f"The student's weights are in {str(dtype).removeprefix('torch.')}" in caplog.text


# ---- The same in pre-training ----


def test_mistakes_that_pretraining_alone_does_not_see(tmp_path, tokenizer):
    corpus = load_corpus(make_texts(40, kind="none"), tokenizer, max_length=16, cache_dir=tmp_path / "corpora")
    teacher = tiny_language_model("bert", seed=1)

    def trainer(student, reads=tokenizer, rows=corpus):
        return PretrainingTrainer(
            teacher,
            student,
            arguments(tmp_path / "run", max_steps=1),
            codir.preset("kd-pre"),
            rows,
            processing_class=reads,
        )

    with pytest.raises(UserError, match="rows of at most 12 tokens"):
        trainer(tiny_language_model("bert", layers=2, max_position_embeddings=12))
    with pytest.raises(UserError, match="at most 50 tokens"):
        trainer(tiny_language_model("bert", layers=2, vocab_size=50))
    with pytest.raises(UserError, match="about 100 tokens"):
        trainer(tiny_language_model("bert", layers=2), next_token())
    half = tiny_language_model("bert", layers=2).bfloat16()
    trainer(half).train()
    assert half.dtype == torch.float32


# ---- Rows and metrics ----


def test_a_data_set_without_rows(tmp_path, tokenizer):
    with pytest.raises(UserError, match="train_dataset: expected rows to learn from, got none"):
        make_trainer(tmp_path, tokenizer, train=make_texts(2).select([]))
    with pytest.raises(UserError, match="data set: expected rows, got none"):
        make_trainer(tmp_path, tokenizer, dev=make_texts(2).select([]))


@pytest.mark.parametrize("how", [{"early_stopping_patience": 2}, {"load_best_model_at_end": True}], ids=str)
def test_vectors_whose_best_checkpoint_is_that_of_the_lowest_loss(tmp_path, tokenizer, how):
    teacher = vectors_model(2, {})
    pairs = datasets.Dataset.from_dict({"text": WORDS[:4], "text_pair": WORDS[4:8], "label": [1.0, 0.0, 0.5, 1.0]})
    every = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    settings = {"max_steps": 2, "teacher_cache": False, **every, **how}
    with pytest.raises(UserError, match="metric_for_best_model: expected one of spearman"):
        DistillationTrainer(
            teacher,
            build_student(teacher, layers=1),
            arguments(tmp_path / "run", **settings),
            codir.preset("embed-cosine"),
            datasets.Dataset.from_dict({"text": WORDS[:8]}),
            pairs,
            tokenizer,
        )


def test_labels_of_which_some_rows_have_more(tmp_path, tokenizer):
    model = labels_model(2, {})
    rows = datasets.Dataset.from_dict({"text": WORDS[:2], "label": [[1.0, 0.0, 1.0], [1.0, 0.0]]})
    with pytest.raises(UserError, match="as many in each row, for task `multi_label`, got 2 in one row, 3 in another"):
        make_trainer(tmp_path, tokenizer, teacher=model, student=build_student(model, layers=1), train=rows)
