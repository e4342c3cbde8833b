"""A training in stages: one run, of which every stage is what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_training import (
    STEPS_PER_EPOCH,
    StopAt,
    assert_same,
    codir,
    decided_teacher,
    make_trainer,
    run_processes,
    terms_of,
    weights_of,
)

from codir.config import Recipe, read_yaml
from codir.errors import CompleteError, UserError
from codir.objectives import Contrastive, HardLabel, SoftTarget, Stage, StagedObjectives, WeightedObjectives
from codir.runs import distill
from conftest import make_texts
from families import tiny_classifier

pytestmark = pytest.mark.training

STEPS = 2 * STEPS_PER_EPOCH


def labels() -> WeightedObjectives:
    return WeightedObjectives({"hard_label": HardLabel()}, {"hard_label": 1.0})


def answers() -> WeightedObjectives:
    return WeightedObjectives({"soft_target": SoftTarget()}, {"soft_target": 1.0})


def in_turn(*objectives: WeightedObjectives, **settings) -> StagedObjectives:
    return StagedObjectives([Stage(each, **settings) for each in objectives])


class Probe(StopAt):
    """Keeps what `look` sees after every step."""

    def __init__(self, look) -> None:
        super().__init__(-1)
        self.look, self.seen = look, []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append(self.look())
        return control


@pytest.mark.parametrize("anchor", ["teacher", "student"])
def test_one_stage_that_differs_from_none(tmp_path, tokenizer, anchor):
    runs = []
    for objectives in (codir(anchor), in_turn(codir(anchor))):
        trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, warmup_steps=3)
        trainer.train()
        runs.append({name.replace("of_stage.0.", ""): weight for name, weight in weights_of(trainer).items()})
    assert_same(*runs)


@pytest.mark.parametrize("second", [answers, codir])
@pytest.mark.parametrize("stop_at", [STEPS_PER_EPOCH, STEPS_PER_EPOCH + 3, STEPS_PER_EPOCH - 2])
def test_a_resumed_run_that_is_in_another_stage(tmp_path, tokenizer, stop_at, second):
    """At the boundary itself, in the middle of the second stage, and in the middle of the first."""
    settings = {"save_strategy": "steps", "save_steps": stop_at}
    straight = make_trainer(tmp_path / "straight", tokenizer, objectives=in_turn(labels(), second()), **settings)
    straight.train()
    stopped = make_trainer(
        tmp_path, tokenizer, objectives=in_turn(labels(), second()), callbacks=[StopAt(stop_at)], **settings
    )
    stopped.train()
    torch.manual_seed(999)  # whatever another process would have done to the generators
    resumed = make_trainer(tmp_path, tokenizer, objectives=in_turn(labels(), second()), **settings)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == STEPS
    assert_same(weights_of(resumed), weights_of(straight))
    assert terms_of(resumed)[-1].keys() == {f"loss/{name}" for name in second().weights}


def test_a_second_stage_that_is_felt_in_the_first(tmp_path, tokenizer):
    students = []
    for second in (answers(), labels(), codir("student")):
        objectives = in_turn(labels(), second)
        trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, callbacks=[StopAt(STEPS_PER_EPOCH)])
        heads = {name: head.clone() for name, head in objectives.state_dict().items()}
        trainer.train()
        assert_same(objectives.state_dict(), heads)
        students.append(trainer.student.state_dict())
    assert_same(students[0], students[1])
    assert_same(students[0], students[2])


def test_a_second_stage_that_does_nothing(tmp_path, tokenizer):
    students = []
    for second in (answers(), labels()):
        trainer = make_trainer(tmp_path, tokenizer, objectives=in_turn(labels(), second), teacher=decided_teacher())
        trainer.train()
        students.append(trainer.student.classifier.weight.clone())
    assert not torch.allclose(*students)


def test_heads_of_the_first_stage_that_move_in_the_second(tmp_path, tokenizer):
    objectives = in_turn(codir("student"), labels())
    probe = Probe(lambda: [head.detach().clone() for head in objectives.stages[0].objectives.parameters()])
    make_trainer(tmp_path, tokenizer, objectives=objectives, callbacks=[probe]).train()
    for early, middle, late in zip(probe.seen[0], probe.seen[STEPS_PER_EPOCH - 1], probe.seen[-1], strict=True):
        assert not torch.equal(early, middle)
        assert torch.equal(middle, late)


def test_a_learning_rate_that_is_not_the_stages(tmp_path, tokenizer):
    """12 steps at 1e-3 and 4 at 2e-4, each with a quarter of warm-up and then down to 0; heads at 20 times as much."""
    first, second = Stage(codir("student"), share=3.0), Stage(codir("student"), share=1.0, learning_rate=2e-4)
    trainer = make_trainer(
        tmp_path, tokenizer, objectives=StagedObjectives([first, second]), learning_rate=1e-3, warmup_steps=0.25
    )
    used = []
    step = trainer.training_step

    def note_rates(*args, **kwargs):
        used.append([group["lr"] for group in trainer.optimizer.param_groups])
        return step(*args, **kwargs)

    trainer.training_step = note_rates
    trainer.train()
    up, down = [0, 1 / 3, 2 / 3], [1 - i / 9 for i in range(9)]
    expected = [1e-3 * factor for factor in up + down] + [2e-4 * factor for factor in (0, 1, 2 / 3, 1 / 3)]
    assert [rates[0] for rates in used] == pytest.approx(expected)
    assert [rates[-1] for rates in used] == pytest.approx([20 * rate for rate in expected])


def test_a_schedule_by_metrics_that_stages_cut_short(tmp_path, tokenizer):
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        objectives=in_turn(labels(), answers()),
        lr_scheduler_type="reduce_lr_on_plateau",
        eval_dataset=make_texts(8),
        eval_strategy="epoch",
    )
    with pytest.raises(UserError, match="goes by steps"):
        trainer.train()


def test_more_stages_than_steps_found_out_in_the_middle(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, objectives=in_turn(labels(), answers(), labels()), max_steps=2)
    with pytest.raises(UserError, match="at least one optimiser step"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_log_that_names_terms_of_another_stage(tmp_path, tokenizer):
    """Lines of 3 steps, so that one spans the boundary after step 8; each term is a mean over its own steps."""
    objectives = in_turn(answers(), labels())
    terms = {"loss/soft_target": [], "loss/hard_label": []}

    def look():
        return None

    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, logging_steps=3, callbacks=[Probe(look)])
    add = trainer._terms.add

    def note(breakdown):
        for name, term in breakdown.terms.items():
            terms[f"loss/{name}"].append(term.item())
        add(breakdown)

    trainer._terms.add = note
    trainer.train()
    lines = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["stage"] for entry in lines] == [1, 1, 2, 2, 2]
    assert [{key for key in entry if key.startswith("loss/")} for entry in lines] == [
        {"loss/soft_target"},
        {"loss/soft_target"},
        {"loss/soft_target", "loss/hard_label"},
        {"loss/hard_label"},
        {"loss/hard_label"},
    ]
    assert lines[2]["loss/soft_target"] == pytest.approx(np.mean(terms["loss/soft_target"][6:]))
    assert lines[2]["loss/hard_label"] == pytest.approx(terms["loss/hard_label"][0])


def test_a_run_without_stages_that_logs_one(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, max_steps=2)
    trainer.train()
    assert not any("stage" in entry for entry in trainer.state.log_history)


def test_a_model_that_computes_what_only_another_stage_needs(tmp_path, tokenizer):
    """Labels alone, then the contrast: the teacher runs, and hidden states are asked for, in the second stage only."""
    trainer = make_trainer(tmp_path, tokenizer, objectives=in_turn(labels(), codir("student")), teacher_cache=False)
    calls = {"teacher": [], "student": []}

    def note(name):
        def hook(module, args, kwargs):
            calls[name].append((trainer.state.global_step, bool(kwargs.get("output_hidden_states"))))

        return hook

    trainer.teacher.model.register_forward_pre_hook(note("teacher"), with_kwargs=True)
    trainer.student.register_forward_pre_hook(note("student"), with_kwargs=True)
    trainer.train()
    assert {step for step, _ in calls["teacher"]} == set(range(STEPS_PER_EPOCH, STEPS))
    assert calls["student"] == [(step, step >= STEPS_PER_EPOCH) for step in range(STEPS)]


def test_a_live_teacher_that_still_pools_for_the_stage_before(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, objectives=in_turn(codir("student"), answers()), teacher_cache=False)
    asked = []
    trainer.teacher.model.register_forward_pre_hook(
        lambda module, args: asked.append((trainer.state.global_step, bool(trainer.teacher.view.pooled)))
    )
    trainer.train()
    assert set(asked) == {(step, step < STEPS_PER_EPOCH) for step in range(STEPS)}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_bank_that_the_stage_does_not_begin_with(tmp_path, tokenizer, accumulation):
    """It is filled once, at the second stage's first step, by the student of that moment."""
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        objectives=in_turn(labels(), codir("teacher")),
        gradient_accumulation_steps=accumulation,
        max_steps=8,
    )
    fill, filled = trainer.keeper.fill_bank, []

    def note():
        fill()
        filled.append((trainer.state.global_step, trainer.student.classifier.weight.detach().clone()))

    trainer.keeper.fill_bank = note
    assert trainer.bank is not None
    probe = Probe(lambda: (trainer.bank.vectors.norm(dim=1).max().item(), trainer.student.classifier.weight.clone()))
    trainer.add_callback(probe)
    trainer.train()
    ((step, weight),) = filled
    assert step == 4
    assert [norm for norm, _ in probe.seen[:4]] == [0.0] * 4
    assert torch.equal(weight, probe.seen[3][1])
    assert torch.allclose(trainer.bank.vectors.norm(dim=1), torch.ones(64), atol=1e-5)


def test_a_queue_of_another_stages_vectors(tmp_path, tokenizer):
    queued = {"memory": "queue", "queue_size": 48}
    trainer = make_trainer(tmp_path, tokenizer, objectives=in_turn(codir(**queued), codir(**queued)))
    probe = Probe(lambda: int((trainer.memory.vectors.norm(dim=1) > 0).sum()))
    trainer.add_callback(probe)
    trainer.train()
    half = [8, 16, 24, 32, 40, 48, 48, 48]
    assert probe.seen == half + half


def test_a_second_training_that_begins_in_the_last_stage(tmp_path, tokenizer):
    trainer = make_trainer(tmp_path, tokenizer, objectives=in_turn(labels(), codir("teacher")))
    for _ in range(2):
        trainer.train()
        lines = [entry for entry in trainer.state.log_history if "loss" in entry]
        assert [entry["stage"] for entry in lines] == [1] * STEPS_PER_EPOCH + [2] * STEPS_PER_EPOCH


def test_a_layer_that_moves_before_it_is_opened(tmp_path, tokenizer):
    def contrast(layer: int) -> WeightedObjectives:
        objective = Contrastive(
            anchor="student", strategy="auto", num_negatives=10, projection_dim=8, student_layers=(layer,)
        )
        return WeightedObjectives({"contrastive": objective}, {"contrastive": 1.0})

    objectives = StagedObjectives([Stage(contrast(1), opened_to=contrast)])
    trainer = make_trainer(tmp_path, tokenizer, objectives=objectives, weight_decay=0.0)
    layers = trainer.student.bert.encoder.layer
    probe = Probe(lambda: [layer.output.dense.weight.detach().clone() for layer in layers])
    trainer.add_callback(probe)
    start = [layer.output.dense.weight.detach().clone() for layer in layers]
    trainer.train()
    middle, end = probe.seen[STEPS_PER_EPOCH - 1], probe.seen[-1]
    assert len(objectives.stages) == 2
    assert not torch.equal(middle[0], start[0])
    assert torch.equal(middle[1], start[1])
    assert not torch.equal(end[1], middle[1])


def test_a_users_schedule_that_stages_overrule(tmp_path, tokenizer):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    with pytest.raises(UserError, match="a scheduler"):
        make_trainer(tmp_path, tokenizer, objectives=in_turn(labels(), answers()), optimizers=(optimizer, schedule))


def test_a_recipe_with_stages_that_does_not_run_to_its_report(tmp_path, tokenizer):
    tiny_classifier("bert", num_labels=2, seed=1).save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")
    make_texts(80).to_csv(tmp_path / "rows.csv", index=False)
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "use_cpu": True, "disable_tqdm": True}
    stages = [{"contrastive": {"num_negatives": 5}, "layers": "stacked", "learning_rate": 1e-3}, {"preset": "kd"}]
    recipe = {
        "teacher": {"model": str(tmp_path / "teacher"), "cache_dir": tmp_path / "cache"},
        "data": {"source": str(tmp_path / "rows.csv"), "max_length": 16},
        "student": {"layers": 2},
        "objectives": {"stages": stages},
        "training": {**settings, "logging_steps": 1},
        "output_dir": tmp_path / "student",
    }
    result = distill(Recipe.model_validate(recipe))
    entered = [entry["stage"] for entry in result.log_history if "loss" in entry]
    assert entered == sorted(entered)
    assert set(entered) == {1, 2, 3}
    assert (tmp_path / "student" / "training_curves.png").exists()
    again = read_yaml(tmp_path / "student" / "recipe.yaml")
    with pytest.raises(CompleteError, match="is complete"):
        distill(Recipe.model_validate({**again, "resume": True}))


def test_two_processes_that_differ_in_stages(once_per_suite):
    """Two gloo processes against one with the batch of both: heads that a stage leaves without gradient do no harm."""
    first, second = run_processes(once_per_suite, "stages", processes=2)
    (alone,) = run_processes(once_per_suite, "stages", processes=1)
    assert first == second
    moves = [np.array(report["moves"]) for report in (first, alone)]
    assert np.linalg.norm(moves[0]) > 0.1
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[0])
    assert first["bank"] == pytest.approx(alone["bank"], abs=1e-3)
    assert first["stages"] == [1, 1, 1, 2, 2, 2]
