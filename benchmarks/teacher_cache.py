"""Claim (e): building the teacher's cache costs what reading the rows with the teacher costs, and it may be halved.

Plain inference is the same model in the same autocast over the same length-sorted batches, padded by the collator of
transformers, for its logits alone. The cache's time holds everything: fingerprints, tokenising, pooling six layers,
writing.

Run: python benchmarks/teacher_cache.py; it writes benchmarks/results/performance/teacher-cache*.json.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Spread, paired_ratio, write_claim
from numpy.typing import NDArray
from training import SETTING, Setting
from transformers import DataCollatorWithPadding

from codir.config.words import StoredDtype
from codir.data import prepare
from codir.signals import Representation
from codir.system import autocast
from codir.teacher import LiveTeacher, TeacherView, open_or_build_cache

DTYPES: tuple[StoredDtype, ...] = ("float32", "float16")
INFERENCE_BATCH = 64
MAX_LENGTH = 128


def live_teacher(setting: Setting) -> LiveTeacher:
    """The teacher as `codir distill` asks it: six pooled layers and logits, bf16."""
    view = TeacherView(frozenset({Representation()}), dtype=torch.bfloat16)
    return LiveTeacher(setting.teacher, setting.rows, setting.tokenizer, view, max_length=MAX_LENGTH)


def infer(setting: Setting) -> None:
    """Plain inference over all rows, longest first, as one would write it by hand."""
    encoded = prepare(setting.rows, setting.tokenizer, max_length=MAX_LENGTH)
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in encoded["input_ids"]]
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]["input_ids"]))
    pad = DataCollatorWithPadding(setting.tokenizer)
    logits = np.empty((len(rows), 2), np.float32)
    device = setting.teacher.device
    with torch.no_grad(), autocast(device, torch.bfloat16):
        for start in range(0, len(order), INFERENCE_BATCH):
            batch = order[start : start + INFERENCE_BATCH]
            inputs = pad([rows[row] for row in batch]).to(device)
            logits[batch] = setting.teacher(**inputs).logits.float().cpu().numpy()


def build(setting: Setting, folder: Path) -> None:
    """Build the cache from nothing."""
    open_or_build_cache(live_teacher(setting), folder)


def largest_differences(setting: Setting, steps: int) -> dict[str, float]:
    """The largest difference of any loss term of any step, between an fp32 and an fp16 cache.

    `of one step`: both are read at every step of one training, by the same weights with the same dropout, so that the
    difference is the cache's own. `of two trainings`: each trains by its own cache; their weights drift apart, too.
    """
    trainers = {dtype: setting.trainer("codir-fresh", steps=steps, dtype="fp32", cache_dtype=dtype) for dtype in DTYPES}
    trained, beside = _record(trainers["float32"], beside=trainers["float16"].teacher)
    drifted, _ = _record(trainers["float16"])
    return {
        "of one step": float(np.abs(trained - beside).max()),
        "of two trainings": float(np.abs(trained - drifted).max()),
    }


def _record(trainer: Any, *, beside: Any = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train, and give every step's losses, and those that another teacher would have given at the same step."""
    own: list[list[float]] = []
    others: list[list[float]] = []
    compute, teacher = trainer.compute_loss, trainer.teacher

    def losses(*args: Any) -> tuple[torch.Tensor, list[float]]:
        total, breakdown = compute(*args, return_outputs=True)
        return total, [float(term) for term in (breakdown.total, *breakdown.terms.values())]

    def compute_both(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if beside is not None:
            with torch.random.fork_rng(), torch.no_grad():
                trainer.teacher = beside
                others.append(losses(model, inputs)[1])
                trainer.teacher = teacher
        total, terms = losses(model, inputs)
        own.append(terms)
        return total

    trainer.compute_loss = compute_both
    trainer.train()
    return np.array(own), np.array(others)


def main() -> None:
    """Build and infer in turns; then train with both dtypes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--smoke", action="store_true", help="once over a few rows, and nothing is written")
    options = parser.parse_args()
    setting = Setting()
    if options.smoke:
        setting.rows = setting.rows.shuffle(seed=0).select(range(640))
    folder = Path(tempfile.mkdtemp())
    seconds: dict[str, list[float]] = {"plain inference": [], "building the cache": []}
    for number in range(1 if options.smoke else options.rounds):
        for name in sorted(seconds, reverse=number % 2 == 0):  # in turns, and each as often first as the other
            setting.teacher.eval()
            setting.rows = setting.rows.with_format(None)  # a new fingerprint: nothing tokenised is found again
            if name == "building the cache":
                shutil.rmtree(folder, ignore_errors=True)
            start = time.perf_counter()
            if name == "plain inference":
                infer(setting)
            else:
                build(setting, folder)
            seconds[name].append(time.perf_counter() - start)
    count = len(setting.rows)
    rate = paired_ratio(seconds["plain inference"], seconds["building the cache"])
    size = {
        name: sum(path.stat().st_size for path in folder.rglob(f"{name}*.npy")) / count for name in ("logits", "pooled")
    }
    rows: list[dict[str, Any]] = [
        {"what": name, "rows per second": count / Spread.of(found).median, "repeats": len(found)}
        for name, found in seconds.items()
    ]
    differences = largest_differences(setting, 4 if options.smoke else options.steps)
    if options.smoke:
        print(rows, rate, size, differences)
        return
    conditions = {
        **SETTING,
        "max_length": MAX_LENGTH,
        "inference_batch": INFERENCE_BATCH,
        "dtype": "bf16",
        "rounds": options.rounds,
    }
    write_claim(
        "teacher-cache",
        "rows per second of building the teacher's cache over plain inference of the teacher on length-sorted batches",
        value=rate.median,
        bound=0.97,
        direction="at least",
        rows=rows,
        bytes_per_row={
            "float32": round(sum(size.values())),
            "float16": round(size["logits"] + size["pooled"] / 2),
        },
        quartiles=[rate.lower_quartile, rate.upper_quartile],
        conditions=conditions,
    )
    write_claim(
        "teacher-cache-float16",
        "largest change of any loss term of any step by a half-precision teacher cache, same weights and dropout",
        value=differences["of one step"],
        bound=1e-3,
        direction="at most",
        rows=[
            {"cache": name, "bytes per row": size["logits"] + size["pooled"] / share}
            for name, share in (("float32", 1), ("float16", 2))
        ],
        largest_difference=differences,
        conditions={**SETTING, "dtype": "fp32", "preset": "codir-fresh", "steps": options.steps},
    )


if __name__ == "__main__":
    main()
