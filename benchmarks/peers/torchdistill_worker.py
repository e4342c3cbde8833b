"""torchdistill as a worker: a `DistillationBox` from a configuration, driven by the loop that its examples show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from worker import (
    CE_WEIGHT,
    KD_WEIGHT,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    TEMPERATURE,
    Baton,
    Plan,
    WaitingLoader,
    autocast_forward,
    batches_of,
    load_models,
    load_rows,
    without_dropout,
)

# PyPI has torchvision for CUDA only. Beside a torch for CPUs its operators cannot load, which it minds nowhere but at
# import, where it registers shape rules for two of them that are then unknown. So these two are named first.
for operator in ("nms", "qnms"):
    torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchdistill.core.distillation import get_distillation_box  # type: ignore[import-not-found]  # noqa: E402
from torchdistill.core.interfaces.registry import (  # type: ignore[import-not-found]  # noqa: E402
    register_forward_proc_func,
)
from torchdistill.misc.log import MetricLogger  # type: ignore[import-not-found]  # noqa: E402


@register_forward_proc_func  # type: ignore[untyped-decorator]
def forward_logits(model: Any, sample_batch: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """How torchdistill is told to call a model of transformers."""
    logits: Tensor = model(**{name: values for name, values in sample_batch.items() if name != "labels"}).logits
    return logits


def hidden_term(layer: int, teacher_layer: int) -> dict[str, Any]:
    """Squared error between the outputs of a student layer and a teacher layer, counted from 1."""
    path = "bert.encoder.layer.{}"
    wrapper = {
        "input": {"is_from_teacher": False, "module_path": path.format(layer - 1), "io": "output"},
        "target": {"is_from_teacher": True, "module_path": path.format(teacher_layer - 1), "io": "output"},
    }
    return {
        "criterion": {"key": "MSELoss", "kwargs": {}},
        "criterion_wrapper": {"key": "SimpleLossWrapper", "kwargs": wrapper},
        "weight": 1.0,
    }


def train_config(plan: Plan) -> dict[str, Any]:
    """What a YAML file of torchdistill's would say.

    With `alpha` set, its `KDLoss` adds the cross-entropy and multiplies KD by the squared temperature by itself.
    """
    path = {"student_module_path": ".", "student_module_io": "output"}
    path |= {"teacher_module_path": ".", "teacher_module_io": "output"}
    kd = {"temperature": TEMPERATURE, "alpha": CE_WEIGHT, "beta": KD_WEIGHT, "reduction": "batchmean"}
    terms = {"kd": {"criterion": {"key": "KDLoss", "kwargs": {**path, **kd}}, "weight": 1.0}}
    teacher: dict[str, Any] = {"forward_proc": "forward_logits", "requires_grad": False}
    student: dict[str, Any] = {"forward_proc": "forward_logits"}
    optimizer: dict[str, Any] = {"key": "AdamW", "kwargs": {"lr": LEARNING_RATE}}
    if plan.is_equal:
        optimizer["kwargs"] |= {"weight_decay": 0.0, "fused": True}
        optimizer["max_grad_norm"] = MAX_GRAD_NORM
    else:
        pairs = list(enumerate(plan.layer_map, start=1))
        terms |= {f"hidden{layer}": hidden_term(layer, teacher_layer) for layer, teacher_layer in pairs}
        student["forward_hook"] = {"output": [f"bert.encoder.layer.{layer - 1}" for layer, _ in pairs]}
        teacher["forward_hook"] = {"output": [f"bert.encoder.layer.{layer - 1}" for _, layer in pairs]}
    return {
        "num_epochs": 1,
        "teacher": teacher,
        "student": student,
        "optimizer": optimizer,
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms}},
    }


def main() -> None:
    """Load, build the box, train when told to."""
    baton = Baton("torchdistill", "torchvision")
    plan = baton.plan
    rows, collate = load_rows(plan)
    teacher, student = load_models(plan)
    if plan.check:
        without_dropout(student)
    if plan.is_equal:
        teacher, student = autocast_forward(teacher), autocast_forward(student)
    box = get_distillation_box(
        teacher, student, {}, train_config(plan), torch.device("cpu"), None, False, 1.0, accelerator=None
    )
    box.train_data_loader = WaitingLoader(batches_of(plan, rows, collate), baton)
    box.pre_epoch_process(epoch=0)
    meters = MetricLogger(delimiter="  ")
    for batch in meters.log_every(box.train_data_loader, 1000, "epoch 0"):
        box.pre_forward_process()
        loss = box.forward_process(batch, batch["labels"], None)
        baton.note_loss(loss)
        box.post_forward_process(loss)
        meters.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])


if __name__ == "__main__":
    main()
