"""Where a new head begins: at the scores that it is to learn; one that was trained stays as it is."""

from __future__ import annotations

import pytest
import torch

import codir
from codir.config import Recipe
from codir.measure.runner import TorchRunner
from codir.models import last_layer, load_model_for_task, start_head
from codir.runs.distill import prepare
from conftest import make_texts
from families import FAMILIES, tiny_classifier


def read(model) -> torch.Tensor:
    ids = torch.randint(5, 95, (40, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, 0]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_new_head_that_begins_at_zero(family):
    model = tiny_classifier(family, num_labels=1, layers=2)
    before = read(model)
    start_head(model, 3.2, 1.2)
    mean = 3.2 if last_layer(model).bias is not None else 0.0
    assert torch.allclose(read(model), mean + 1.2 * before, atol=1e-5)


def test_a_trained_head_taken_for_a_new_one(tmp_path, tokenizer):
    def lacks_head(path, outputs: int) -> bool:
        return load_model_for_task(path, tokenizer, head={"num_labels": outputs})[1]

    tiny_classifier("bert", num_labels=1, layers=1).save_pretrained(tmp_path / "trained")
    model = tiny_classifier("bert", num_labels=1, layers=1)
    model.base_model.save_pretrained(tmp_path / "body")
    assert not lacks_head(tmp_path / "trained", 1)
    assert lacks_head(tmp_path / "trained", 3)
    assert lacks_head(tmp_path / "body", 1)


@pytest.mark.training
@pytest.mark.parametrize("is_new", [True, False])
def test_scores_far_from_zero_learned_from_zero(tmp_path, tokenizer, is_new):
    rows = make_texts(96, kind="scores").map(lambda row: {"label": row["label"] + 100})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    model = tiny_classifier("bert", num_labels=1, layers=1)
    (model.base_model if is_new else model).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    training = {"max_steps": 1, "learning_rate": 1e-9, "use_cpu": True, "disable_tqdm": True, "precision": "fp32"}
    codir.finetune(
        codir.FinetuneConfig(
            model=str(tmp_path / "start"),
            data={"source": str(tmp_path / "rows.csv"), "max_length": 16},
            training={**training, "save_strategy": "no", "eval_strategy": "no"},
            output_dir=tmp_path / "out",
        )
    )
    trained = type(model).from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        answers = trained(**tokenizer(list(rows["text"]), padding=True, return_tensors="pt")).logits
    assert (abs(float(answers.mean()) - 102.5) < 1) == is_new


@pytest.mark.parametrize(
    ("student", "is_new"),
    [
        ({"config": {"num_hidden_layers": 1}}, True),
        ({"config": {"model_type": "codir-bilstm", "hidden_size": 8}}, True),
        ({"checkpoint": "body"}, True),
        ({"checkpoint": "classes"}, True),
        ({"checkpoint": "trained"}, False),
        ({"layers": 1}, False),
    ],
)
def test_a_student_whose_new_head_begins_at_zero(tmp_path, tokenizer, student, is_new):
    rows = make_texts(96, kind="scores").map(lambda row: {"label": row["label"] + 100})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    model = tiny_classifier("bert", num_labels=1, layers=2)
    starts = {"trained": model, "body": model.base_model, "classes": tiny_classifier("bert", num_labels=3, layers=1)}
    for name, start in starts.items():
        start.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    if "checkpoint" in student:
        student = {"checkpoint": str(tmp_path / student["checkpoint"])}
    recipe = Recipe(
        teacher={"model": str(tmp_path / "trained")},
        data={"source": str(tmp_path / "rows.csv"), "max_length": 16},
        student=student,
        training={"precision": "fp32", "use_cpu": True},
        output_dir=tmp_path / "out",
    )
    made = prepare(recipe).student.model.eval()
    assert (abs(float(read(made).mean()) - 102.5) < 1.5) == is_new


@pytest.mark.parametrize("family", list(FAMILIES))
def test_scores_that_bf16_makes_equal(family):
    """Autocast rounds a score to 8 bits: 40 rows near one another would share a score, and lose their order."""
    model = tiny_classifier(family, num_labels=1, layers=2)
    start_head(model, 3.2, 0.02)
    runner = TorchRunner(model, dtype=torch.bfloat16)
    ids = torch.randint(5, 95, (40, 6), generator=torch.Generator().manual_seed(0))
    with runner.running():
        scores = runner.logits({"input_ids": ids, "attention_mask": torch.ones_like(ids)})[:, 0]
    assert scores.dtype == torch.float32
    assert len(scores.unique()) > 30
    assert torch.allclose(scores, read(model), atol=0.005)
    assert "forward" not in vars(last_layer(model))


def test_classes_in_another_number_format_than_was_asked_for():
    model = tiny_classifier("bert", num_labels=3, layers=2)
    runner = TorchRunner(model, dtype=torch.bfloat16)
    ids = torch.randint(5, 95, (4, 6), generator=torch.Generator().manual_seed(0))
    with runner.running():
        assert runner.logits({"input_ids": ids}).dtype == torch.bfloat16
