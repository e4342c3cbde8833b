"""What must hold of a training run as a whole: equal losses, equal weights, nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, BertTokenizer, Trainer, TrainerCallback

from codir.data import DistillationCollator, prepare
from codir.errors import NonFiniteLossError, UserError
from codir.objectives import Contrastive, HardLabel, SoftTarget, Stage, StagedObjectives, WeightedObjectives
from codir.store import MARKER_NAME, SCAFFOLDING_NAME
from codir.student import build_student
from codir.trainer import (
    DistillationArguments,
    DistillationTrainer,
    PretrainingArguments,
    is_complete,
    last_complete_checkpoint,
)
from conftest import SPECIAL, WORDS, make_texts
from families import FAMILIES, tiny_classifier

pytestmark = pytest.mark.training

STEPS_PER_EPOCH = 8


PLAIN = {
    "weight_decay": 0.0,
    "warmup_steps": 0,
    "max_steps": -1,
    "eval_strategy": "no",
    "eval_steps": None,
    "save_steps": 500,
    "save_total_limit": None,
    "per_device_eval_batch_size": 8,
    "seed": 42,
}
"""The defaults of `transformers.TrainingArguments` where codir's differ, so that a test says what it means."""


def arguments(output_dir: Path, **overrides) -> PretrainingArguments:
    """Arguments for either trainer, in fp32 unless told otherwise."""
    defaults = {
        **PLAIN,
        "max_length": 16,
        "precision": "auto" if {"bf16", "fp16"} & overrides.keys() else "fp32",
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "train_sampling_strategy": "group_by_length",
    }
    return PretrainingArguments(output_dir=str(output_dir), **{**defaults, **overrides})


def codir(anchor="teacher", num_negatives=10, **contrast_settings) -> WeightedObjectives:
    settings = {"keys": "fresh", "strategy": "auto", "projection_dim": 8, "warmup_steps": 0, **contrast_settings}
    contrast = Contrastive(anchor=anchor, num_negatives=num_negatives, **settings)
    return WeightedObjectives(
        {"hard_label": HardLabel(), "soft_target": SoftTarget(), "contrastive": contrast},
        {"hard_label": 0.5, "soft_target": 0.5, "contrastive": 0.1},
    )


def make_trainer(
    tmp_path, tokenizer, *, dropout=True, objectives=None, train=None, teacher=None, **overrides
) -> DistillationTrainer:
    own = {"max_length": 16, "teacher_cache_dir": tmp_path / "cache", "teacher_cache": True}
    ours = {
        key: overrides.pop(key)
        for key in ("callbacks", "eval_dataset", "compute_metrics", "optimizers", "compute_loss_func")
        if key in overrides
    }
    student = overrides.pop("student", None) or tiny_classifier("bert", num_labels=2, layers=2, seed=2)
    if not dropout:
        student.apply(lambda module: setattr(module, "p", 0.0) if isinstance(module, torch.nn.Dropout) else None)
        student.config.attention_probs_dropout_prob = 0.0
        for layer in student.bert.encoder.layer:
            for module in layer.modules():
                if hasattr(module, "attention_dropout"):
                    module.attention_dropout = 0.0
    return DistillationTrainer(
        teacher=teacher or tiny_classifier("bert", num_labels=2, seed=1),
        student=student,
        args=arguments(tmp_path / "run", **{**own, **overrides}),
        objectives=objectives or codir(),
        train_dataset=make_texts(64) if train is None else train,
        processing_class=tokenizer,
        **ours,
    )


PLAIN_DESCENT = {"train_sampling_strategy": "sequential", "optim": "sgd", "learning_rate": 0.01, "max_grad_norm": 0.0}
"""Nothing but the gradient decides a step, so that equal gradients can be told from nearly equal ones."""


def make_balanced_texts(per_class: int):
    rows = make_texts(400)
    chosen = [[i for i, label in enumerate(rows["label"]) if label == kind][:per_class] for kind in (0, 1)]
    return rows.select([row for pair in zip(*chosen, strict=True) for row in pair])


def terms_of(trainer) -> list[dict[str, float]]:
    return [
        {name: entry[name] for name in entry if name.startswith("loss/")}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]


def weights_of(trainer) -> dict[str, torch.Tensor]:
    weights = {f"student.{name}": t for name, t in trainer.student.state_dict().items()}
    weights |= {f"objectives.{name}": t for name, t in trainer.distiller.objectives.state_dict().items()}
    if trainer.bank is not None:
        weights["bank"] = trainer.bank.vectors
    return {name: tensor.clone() for name, tensor in weights.items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], **tolerance) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        if tolerance:
            assert torch.allclose(tensor, second[name], **tolerance), name
        else:
            assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("anchor", ["teacher", "student", "both"])
def test_a_live_teacher_whose_losses_differ_from_the_cache(tmp_path, tokenizer, anchor):
    histories = []
    for is_cached in (True, False):
        trainer = make_trainer(
            tmp_path,
            tokenizer,
            teacher=decided_teacher(),
            objectives=codir(anchor),
            teacher_cache=is_cached,
            num_train_epochs=1,
        )
        trainer.train()
        histories.append(terms_of(trainer))
    assert len(histories[0]) == STEPS_PER_EPOCH
    for cached, live in zip(*histories, strict=True):
        assert set(cached) == {"loss/hard_label", "loss/soft_target", "loss/contrastive"}
        assert cached["loss/soft_target"] > 0.01
        for name, value in cached.items():
            assert live[name] == pytest.approx(value, rel=1e-3)


def decided_teacher():
    """A teacher with large weights, whose answers differ from row to row."""
    teacher = tiny_classifier("bert", num_labels=2, seed=1)
    with torch.no_grad():
        teacher.bert.embeddings.word_embeddings.weight.mul_(20)
        teacher.classifier.weight.mul_(200)
    return teacher


def pool_by_hand(model, tokenizer, text: str) -> torch.Tensor:
    """Every layer above the embeddings, each averaged over the tokens of one unpadded text: `[layers, hidden]`."""
    inputs = tokenizer(text, return_tensors="pt")
    states = model(**inputs, output_hidden_states=True).hidden_states
    return torch.stack([sum(states[layer][0]) / states[layer].shape[1] for layer in range(1, len(states))])


def test_a_step_that_differs_from_the_method_written_out(tmp_path, tokenizer):
    """One batch, `anchor: both`, in plain loops over examples: all terms, the negatives, the bank after the step."""
    train = make_balanced_texts(20)
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        dropout=False,
        teacher=decided_teacher(),
        objectives=codir("both"),
        train=train,
        max_steps=1,
        **{**PLAIN_DESCENT, "learning_rate": 1e-12},
    )
    student, contrast = trainer.student.eval(), trainer.distiller.objectives.contrast
    teacher = decided_teacher().eval()
    with torch.no_grad():
        z_student = [contrast.spaces[0].student_head(pool_by_hand(student, tokenizer, text)) for text in train["text"]]
        z_teacher = [contrast.embed_teacher(pool_by_hand(teacher, tokenizer, text)) for text in train["text"]]
        logits = [student(**tokenizer(text, return_tensors="pt")).logits[0] for text in train["text"][:8]]
        answers = [teacher(**tokenizer(text, return_tensors="pt")).logits[0] for text in train["text"][:8]]
    batch = trainer._train_collator([trainer.train_dataset[i] for i in range(8)])
    expected = {"hard_label": 0.0, "soft_target": 0.0, "contrastive": 0.0}
    for i in range(8):
        own = batch["negative_index"][batch["negative_group"][i]].tolist()
        assert len(set(own)) == 10
        assert {train["label"][row] for row in own} == {1 - train["label"][i]}
        expected["hard_label"] -= torch.log_softmax(logits[i], 0)[train["label"][i]].item() / 8
        p, q = torch.softmax(answers[i] / 2, 0), torch.softmax(logits[i] / 2, 0)
        expected["soft_target"] += 4 * sum(p * (p / q).log()).item() / 8
        for anchor, positive, keys in (
            (z_teacher[i], z_student[i], z_student),
            (z_student[i], z_teacher[i], z_teacher),
        ):
            right = torch.exp(anchor @ positive / 0.07)
            wrong = sum(torch.exp(anchor @ keys[row] / 0.07) for row in own)
            expected["contrastive"] -= torch.log(right / (right + wrong)).item() / 16
    trainer.train()
    (terms,) = terms_of(trainer)
    for name, value in expected.items():
        assert terms[f"loss/{name}"] == pytest.approx(value, rel=1e-3), name
    assert terms["loss/soft_target"] > 0.01
    total = 0.5 * expected["hard_label"] + 0.5 * expected["soft_target"] + 0.1 * expected["contrastive"]
    assert trainer.state.log_history[0]["loss"] == pytest.approx(total, rel=1e-3)
    assert torch.allclose(trainer.bank.vectors, torch.stack(z_student), atol=1e-4)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_contrast_that_weighs_all_from_the_first_step(tmp_path, tokenizer, accumulation):
    """Its weight rises by optimiser steps, however many micro-batches each has, and its term is logged as it is."""
    objectives = codir("teacher", warmup_steps=4)
    trainer = make_trainer(
        tmp_path, tokenizer, objectives=objectives, max_steps=6, gradient_accumulation_steps=accumulation
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) == 6
    assert lines[0]["loss/contrastive"] > 0.5
    for step, line in enumerate(lines):
        hard, soft, contrast = (line[f"loss/{name}"] for name in ("hard_label", "soft_target", "contrastive"))
        weight = 0.1 * min(1.0, (step + 1) / 4)
        assert line["loss"] == pytest.approx(0.5 * hard + 0.5 * soft + weight * contrast, rel=1e-4)


def test_a_bank_that_training_does_not_move(tmp_path, tokenizer):
    trainer = make_trainer(
        tmp_path, tokenizer, objectives=codir("teacher"), max_steps=1, dropout=False, **PLAIN_DESCENT
    )
    index = torch.arange(64)
    stale = torch.nn.functional.normalize(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    trainer.keeper.fill_bank()
    fresh = trainer.bank.vectors.clone()
    trainer.keeper.fill_bank = lambda: trainer.bank.fill(index, stale)
    trainer.train()
    moved = torch.nn.functional.normalize(0.5 * stale[:8] + 0.5 * fresh[:8], dim=1)
    assert torch.allclose(trainer.bank.vectors[:8], moved, atol=1e-4)
    assert torch.equal(trainer.bank.vectors[8:], stale[8:])


class StopAt(TrainerCallback):
    """Ends a run after a step, as a killed process would end it: whatever was saved is saved."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_training_stop = True
        return control


@pytest.mark.parametrize("anchor", ["teacher", "student"])
@pytest.mark.parametrize("stop_at", [5, 8, 11])
@pytest.mark.parametrize("sampling", ["group_by_length", "random"])
def test_a_resumed_run_that_ends_elsewhere(tmp_path, tokenizer, anchor, stop_at, sampling):
    settings = {"save_strategy": "steps", "save_steps": stop_at, "train_sampling_strategy": sampling}
    straight = make_trainer(tmp_path / "straight", tokenizer, objectives=codir(anchor), **settings)
    straight.train()
    stopped = make_trainer(tmp_path, tokenizer, objectives=codir(anchor), callbacks=[StopAt(stop_at)], **settings)
    stopped.train()
    assert stopped.state.global_step == stop_at
    torch.manual_seed(999)  # whatever another process would have done to the generators
    resumed = make_trainer(tmp_path, tokenizer, objectives=codir(anchor), **settings)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 2 * STEPS_PER_EPOCH
    assert_same(weights_of(resumed), weights_of(straight))


def test_two_runs_of_one_seed_that_differ(tmp_path, tokenizer):
    runs = []
    for _ in range(2):
        trainer = make_trainer(tmp_path, tokenizer, num_train_epochs=1)
        trainer.train()
        runs.append(weights_of(trainer))
    assert_same(*runs)


def test_accumulated_micro_batches_that_train_another_student(tmp_path, tokenizer):
    """With every row of the other class as a negative nothing is random, so two halves must do what the whole does."""
    moves, banks = [], []
    for batch_size, accumulation in ((8, 1), (4, 2)):
        trainer = make_trainer(
            tmp_path,
            tokenizer,
            dropout=False,
            objectives=codir(num_negatives=30),
            train=make_balanced_texts(30),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            max_steps=6,
            **PLAIN_DESCENT,
        )
        before = flat_weights(trainer)
        trainer.train()
        moves.append(flat_weights(trainer) - before)
        banks.append(trainer.bank.vectors)
    assert moves[0].norm() > 0.1
    assert (moves[0] - moves[1]).norm() < 1e-3 * moves[0].norm()
    assert torch.allclose(*banks, atol=1e-3)


def flat_weights(trainer) -> torch.Tensor:
    """All weights as one vector: of a trainer's student and heads, or of any module."""
    module = trainer if isinstance(trainer, torch.nn.Module) else trainer.distiller
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_evaluation_that_writes_into_the_bank(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, eval_dataset=make_texts(16, seed=5), num_train_epochs=1)
    trainer.train()
    before = trainer.bank.vectors.clone()
    metrics = trainer.evaluate()
    assert np.isfinite(metrics["eval_loss"])
    assert torch.equal(trainer.bank.vectors, before)


def test_a_bank_that_starts_with_noise_or_empty_slots(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer)
    trainer.keeper.fill_bank()
    assert torch.allclose(trainer.bank.vectors.norm(dim=1), torch.ones(64), atol=1e-5)
    row = trainer.train_dataset[7]
    inputs = {name: torch.tensor([row[name]]) for name in tokenizer.model_input_names}
    distiller = trainer.distiller.eval()
    with torch.no_grad():
        expected = distiller.student_vectors(inputs)
    assert torch.allclose(trainer.bank.vectors[7:8], expected, atol=1e-5)


def test_a_student_that_carries_heads_or_bank_away(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, num_train_epochs=1, save_strategy="epoch")
    trainer.train()
    trainer.save_model(str(tmp_path / "student"))
    with safe_open(tmp_path / "student" / "model.safetensors", framework="pt") as weights:
        names = list(weights.keys())
    assert names
    assert not [name for name in names if "head" in name or "bank" in name or "objectives" in name]
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert_same(loaded.state_dict(), trainer.student.state_dict())
    checkpoint = last_complete_checkpoint(tmp_path / "run")
    size = sum(path.stat().st_size for path in checkpoint.glob("model*.safetensors"))
    assert size < 1.1 * (tmp_path / "student" / "model.safetensors").stat().st_size  # no teacher inside


def test_heads_that_learn_at_the_students_rate(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, learning_rate=1e-4)
    groups = trainer.create_optimizer().param_groups
    heads = {id(parameter) for parameter in trainer.distiller.objectives.parameters()}
    assert len(heads) == 4
    rates = {group["lr"] for group in groups for parameter in group["params"] if id(parameter) in heads}
    assert rates == {2e-3}
    everything = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(trainer.model.parameters()))


def test_a_nan_that_trains_on(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, save_strategy="steps", save_steps=2)
    lookup = trainer.bank.lookup
    trainer.bank.lookup = lambda index: lookup(index) * (float("nan") if trainer.state.global_step == 3 else 1.0)
    with pytest.raises(NonFiniteLossError, match=r"step 4: loss term contrastive .*checkpoint-2"):
        trainer.train()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.student.parameters())


def test_a_checkpoint_of_nan_weights(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer)
    with torch.no_grad():
        trainer.student.classifier.bias.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="a weight is not finite"):
        trainer._save_checkpoint(trainer.model, None)
    assert last_complete_checkpoint(tmp_path / "run") is None


def test_a_half_written_checkpoint_taken_for_a_whole_one(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, save_strategy="steps", save_steps=4)
    trainer.train()
    newest = tmp_path / "run" / "checkpoint-16"
    assert is_complete(newest)
    (newest / MARKER_NAME).touch()
    (tmp_path / "run" / "checkpoint-12" / SCAFFOLDING_NAME).unlink()
    assert last_complete_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-8"
    with pytest.raises(UserError, match="written to its end"):
        trainer.train(resume_from_checkpoint=str(newest))


def test_an_old_checkpoint_deleted_before_the_new_one_is_whole(tmp_path, tokenizer, monkeypatch):
    trainer = make_trainer(tmp_path, tokenizer, save_strategy="steps", save_steps=4, save_total_limit=1)

    def dies(*_):
        if trainer.state.global_step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr("codir.trainer.saving.save_scaffolding", _after(dies))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert last_complete_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-4"


def _after(first):
    from codir.trainer.checkpoints import save_scaffolding

    def both(*args, **kwargs):
        first()
        save_scaffolding(*args, **kwargs)

    return both


def test_best_model_at_the_end_that_is_the_last_one(tmp_path, tokenizer):
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        eval_dataset=make_texts(16, seed=5),
        compute_metrics=lambda answers: {"first": -float(trainer.state.global_step)},
        eval_strategy="steps",
        eval_steps=4,
        save_strategy="steps",
        save_steps=4,
        load_best_model_at_end=True,
        metric_for_best_model="first",
        greater_is_better=True,
    )
    trainer.train()
    best = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "checkpoint-4")
    assert_same(trainer.student.state_dict(), best.state_dict())


def test_evaluation_losses_that_differ_from_plain_trainers(tmp_path, tokenizer):
    dev = make_texts(16, seed=5)
    trainer = make_trainer(tmp_path, tokenizer, eval_dataset=dev)

    class Plain(DistillationCollator):
        def __call__(self, rows):
            return {key: value for key, value in super().__call__(rows).items() if key != "example_index"}

    plain = Trainer(
        trainer.student,
        arguments(tmp_path, remove_unused_columns=False),
        data_collator=Plain(tokenizer),
        eval_dataset=prepare(dev, tokenizer, max_length=16),
        processing_class=tokenizer,
    )
    assert trainer.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], abs=1e-5)


def test_an_evaluation_that_pads_short_rows_to_long_ones_or_finds_something_else(tmp_path, tokenizer):
    """Longest rows first, unless a user's `compute_metrics` counts on their order; the results are the same."""
    texts = [" ".join(["w1", f"w{row % 7}"] * (1 + row * 5 % 7)) for row in range(24)]
    dev = datasets.Dataset.from_dict({"text": texts, "label": [row % 2 for row in range(24)]})
    seen = []

    def compute(answers):
        seen.append(answers.label_ids.tolist())
        return {"accuracy": float((answers.predictions.argmax(1) == answers.label_ids).mean())}

    own = make_trainer(tmp_path, tokenizer, eval_dataset={"a": dev, "b": dev.select(range(10))})
    users = make_trainer(tmp_path, tokenizer, eval_dataset=dev, compute_metrics=compute)
    widths = [[batch["input_ids"].shape[1] for batch in one.get_eval_dataloader(dev)] for one in (own, users)]
    assert widths[0] == sorted(widths[0], reverse=True)
    assert sum(widths[0]) < sum(widths[1])
    assert len(own.get_eval_dataloader("b").dataset) == 10
    found, expected = own.evaluate(), users.evaluate()
    assert seen == [dev["label"][:]]
    assert found["eval_a_loss"] == pytest.approx(expected["eval_loss"], abs=1e-5)
    assert found["eval_a_accuracy"] == expected["eval_accuracy"]
    assert own.predict(dev).label_ids.tolist() == dev["label"][:]


def test_predictions_that_come_back_in_another_order(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer)
    rows = make_texts(40, seed=5)
    assert trainer.predict(rows).label_ids.tolist() == list(rows["label"])


def test_heads_that_a_users_optimizer_leaves_alone(tmp_path, tokenizer):
    student = tiny_classifier("bert", num_labels=2, layers=2, seed=2)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01)
    trainer = make_trainer(tmp_path, tokenizer, optimizers=(optimizer, None), max_steps=2)
    before = flat_weights(trainer.distiller.objectives)
    trainer.train()
    assert not torch.equal(flat_weights(trainer.distiller.objectives), before)


def test_numbers_of_before_a_shuffle_taken_for_todays(tmp_path, tokenizer):
    encoded = prepare(make_texts(64), tokenizer, max_length=16).shuffle(seed=1).select(range(40))
    trainer = make_trainer(tmp_path, tokenizer, train=encoded, max_steps=1)
    assert trainer.train_dataset["example_index"][:] == list(range(40))
    trainer.train()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"compute_loss_func": lambda *_: 0.0}, "compute_loss_func"),
    ],
)
def test_a_setting_that_has_no_effect(tmp_path, tokenizer, setting, said):
    with pytest.raises(UserError, match=said):
        make_trainer(tmp_path, tokenizer, **setting)


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["a", "b"] * 32, "class indices"), ([0, 2] * 32, "from 0 to 1"), ([0.5, 1.5] * 32, "class indices")],
)
def test_labels_that_fail_in_the_middle_of_a_step(tmp_path, tokenizer, labels, said):
    train = make_texts(64).remove_columns("label").add_column("label", labels)
    with pytest.raises(UserError, match=said):
        make_trainer(tmp_path, tokenizer, train=train)


def test_a_data_set_without_rows_to_number(tmp_path, tokenizer):
    with pytest.raises(UserError, match=r"datasets\.Dataset.*got IterableDataset"):
        make_trainer(tmp_path, tokenizer, train=make_texts(64).to_iterable_dataset())


def test_a_teacher_with_other_outputs_than_the_student(tmp_path, tokenizer):
    with pytest.raises(UserError, match="3 outputs, as the teacher has, got 2"):
        make_trainer(tmp_path, tokenizer, teacher=tiny_classifier("bert", num_labels=3))


def test_token_ids_that_the_teacher_misreads(tmp_path, tokenizer):
    other = BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS[::-1])})
    with pytest.raises(UserError, match="different tokenizers"):
        DistillationTrainer(
            tiny_classifier("bert", num_labels=2),
            tiny_classifier("bert", num_labels=2),
            arguments(tmp_path),
            codir(),
            prepare(make_texts(64), tokenizer, max_length=16),
            processing_class=tokenizer,
            teacher_processing_class=other,
        )


def test_heads_replaced_under_a_trainers_feet(tmp_path, tokenizer):
    objectives = codir()
    make_trainer(tmp_path, tokenizer, objectives=objectives)
    with pytest.raises(UserError, match="built already"):
        make_trainer(tmp_path, tokenizer, objectives=objectives)


def test_a_checkpoint_without_the_optimizers_state_resumed(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, save_strategy="steps", save_steps=4, save_only_model=True)
    trainer.train()
    with pytest.raises(UserError, match="save_only_model"):
        trainer.train(resume_from_checkpoint=True)


def test_a_checkpoint_resumed_on_other_data(tmp_path, tokenizer):
    settings = {"save_strategy": "steps", "save_steps": 4, "objectives": codir("student")}
    make_trainer(tmp_path, tokenizer, **settings).train()
    settings["objectives"] = codir("student")
    other = make_trainer(tmp_path, tokenizer, train=make_texts(64, seed=7), **settings)
    with pytest.raises(UserError, match="training set"):
        other.train(resume_from_checkpoint=True)


def test_noise_on_the_embeddings_that_stops_training(tmp_path, tokenizer):
    make_trainer(tmp_path, tokenizer, max_steps=1, neftune_noise_alpha=5.0).train()


def test_unlabelled_rows_that_stop_training_or_count_as_a_class(tmp_path, tokenizer):
    labels = [label if i % 2 else -100 for i, label in enumerate(make_texts(64)["label"])]
    train = make_texts(64).remove_columns("label").add_column("label", labels)
    trainer = make_trainer(tmp_path, tokenizer, train=train, num_train_epochs=1)
    trainer.train()
    assert all(np.isfinite(list(terms.values())).all() for terms in terms_of(trainer))


def test_data_without_any_label(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, train=make_texts(64, kind="none"), num_train_epochs=1)
    trainer.train()
    assert {terms["loss/hard_label"] for terms in terms_of(trainer)} == {0.0}


def test_a_teacher_that_is_missing(tmp_path, tokenizer, student):
    with pytest.raises(UserError, match="teacher"):
        DistillationTrainer(None, student, arguments(tmp_path), codir(), make_texts(64), processing_class=tokenizer)


def test_a_model_card_that_cannot_be_written(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, max_steps=1)
    trainer.train()
    trainer.create_model_card(model_name="student", tags="distillation")
    assert (tmp_path / "run" / "README.md").exists()


def train_two_steps(tmp_path, tokenizer, teacher, student) -> DistillationTrainer:
    trainer = DistillationTrainer(
        teacher=teacher,
        student=student,
        args=arguments(tmp_path / "run", max_steps=2, max_length=16, teacher_cache_dir=tmp_path / "cache"),
        objectives=codir("both"),
        train_dataset=make_texts(64),
        processing_class=tokenizer,
    )
    trainer.train()
    assert trainer.state.global_step == 2
    return trainer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_cannot_be_distilled(tmp_path, tokenizer, family):
    teacher = tiny_classifier(family, num_labels=2)
    trainer = train_two_steps(tmp_path, tokenizer, teacher, build_student(teacher, layers=2))
    answers = trainer.predict(make_texts(10, seed=3))
    assert answers.predictions.shape == (10, 2)
    assert np.isfinite(answers.predictions).all()


@pytest.mark.parametrize("family", ["roberta", "gpt2", "modernbert"])
def test_teacher_and_student_of_different_families(tmp_path, tokenizer, family):
    teacher = tiny_classifier(family, num_labels=2)
    train_two_steps(tmp_path, tokenizer, teacher, tiny_classifier("distilbert", num_labels=2, layers=1))


JOBS = ["compare", "queue", "tokens", "unlabelled", "label_sets", "stages", "family", "kinds"]
"""Of `distributed_run.py`: what two processes must do as one does."""


def run_processes(once_per_suite, job: str, *, processes: int) -> list[dict]:
    """What each process wrote down; one launch does all jobs, except that another has to resume."""
    jobs = JOBS if processes == 1 else [*JOBS, "pretrain", "straight", "stop"]
    folder = once_per_suite(f"processes-{processes}", lambda folder: launch(folder, jobs, processes=processes))
    if job == "resume":
        once_per_suite(f"resumed-{processes}", lambda _: launch(folder, ["resume"], processes=processes))
    return [json.loads((folder / f"{job}-{rank}-of-{processes}.json").read_text()) for rank in range(processes)]


def launch(folder: Path, jobs: list[str], *, processes: int) -> None:
    """Run `distributed_run.py` with gloo."""
    script = Path(__file__).with_name("distributed_run.py")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]  # on a free port
    words = [sys.executable, *(launcher if processes > 1 else []), str(script), str(folder), *jobs]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False, env=environment)
    assert run.returncode == 0, run.stderr[-3000:]


def test_two_processes_that_keep_different_banks_or_weights(once_per_suite):
    """Two gloo processes against one with the batch of both."""
    first, second = run_processes(once_per_suite, "compare", processes=2)
    (alone,) = run_processes(once_per_suite, "compare", processes=1)
    assert first == second
    assert first["steps"] == alone["steps"]
    moves = [np.array(report["moves"]) for report in (first, alone)]
    assert np.linalg.norm(moves[0]) > 0.1
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[0])
    assert first["bank"] == pytest.approx(alone["bank"], abs=1e-3)


def test_two_processes_that_resume_elsewhere(once_per_suite):
    straight = run_processes(once_per_suite, "straight", processes=2)
    stopped = run_processes(once_per_suite, "stop", processes=2)
    resumed = run_processes(once_per_suite, "resume", processes=2)
    assert [report["steps"] for report in (straight[0], stopped[0], resumed[0])] == [16, 11, 16]
    assert resumed == straight


@pytest.mark.parametrize("kind", ["words", "contrast of words", "queries", "questions"])
def test_two_processes_that_weigh_words_queries_or_windows_otherwise(once_per_suite, kind):
    """Micro-batches of few and of many words, labels and queries, in one process and in two."""
    first, second = (report[kind] for report in run_processes(once_per_suite, "kinds", processes=2))
    (alone,) = (report[kind] for report in run_processes(once_per_suite, "kinds", processes=1))
    assert first == second
    moves = [np.array(report["moves"]) for report in (first, alone)]
    assert np.linalg.norm(moves[1]) > 0.01
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[1])
    assert first["bank"] == pytest.approx(alone["bank"], abs=1e-3)


@pytest.mark.parametrize("stages", [False, True])
def test_arguments_of_the_caller_that_a_trainer_changes(tmp_path, tokenizer, teacher, student, stages):
    objectives = codir()
    if stages:
        objectives = StagedObjectives([Stage(objectives)])
    args = arguments(
        tmp_path / "run", max_steps=2, eval_strategy="epoch", save_strategy="steps", save_steps=1, save_total_limit=1
    )
    before = dict(vars(args))
    trainer = DistillationTrainer(teacher, student, args, objectives, make_texts(64), processing_class=tokenizer)
    trainer.train()
    assert trainer.args is not args
    assert dict(vars(args)) == before


def test_arguments_without_an_evaluation_set_that_stop_training(tmp_path, tokenizer, teacher, student):
    """Evaluation each epoch is codir's default; where nothing is there to evaluate, nothing is."""
    args = DistillationArguments(
        str(tmp_path / "run"), max_length=16, max_steps=2, disable_tqdm=True, dataloader_pin_memory=False
    )
    trainer = DistillationTrainer(teacher, student, args, codir(), make_texts(64), processing_class=tokenizer)
    trainer.train()
    assert trainer.state.global_step == 2
    assert args.eval_strategy == "epoch"


def test_two_words_for_precision_that_contradict_each_other(tmp_path):
    with pytest.raises(UserError, match="one number format"):
        DistillationArguments(str(tmp_path), precision="fp32", bf16=True)
    assert not DistillationArguments(str(tmp_path), precision="fp32").bf16
    assert DistillationArguments(str(tmp_path), precision="bf16").bf16
