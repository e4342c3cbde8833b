"""Trains a few steps, alone or under torchrun, and writes down the weights and the bank of this process."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from test_training import PLAIN_DESCENT, codir, flat_weights, make_balanced_texts, make_trainer
from transformers import BertTokenizer

from conftest import SPECIAL, WORDS

folder, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
rank = int(os.environ.get("RANK", "0"))
trainer = make_trainer(
    folder / f"world-{world}",
    BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)}),
    dropout=False,
    objectives=codir("both", num_negatives=30),
    train=make_balanced_texts(30),  # 60 rows: the last batch of an epoch is smaller
    per_device_train_batch_size=8 // world,
    max_steps=6,
    **PLAIN_DESCENT,
    ddp_backend="gloo" if world > 1 else None,
)
before = flat_weights(trainer)
trainer.train()
report = {
    "steps": trainer.state.global_step,
    "moves": (flat_weights(trainer) - before).tolist(),
    "bank": trainer.bank.vectors[:, 0].tolist(),
}
(folder / f"rank-{rank}-of-{world}.json").write_text(json.dumps(report))
