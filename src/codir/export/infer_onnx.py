"""Run this model: `python infer.py "a text" "another"`; if it ranks: `python infer.py "a query" "candidate" "another"`.

Needs `onnxruntime` and `tokenizers` alone.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

here = Path(__file__).parent
record = json.loads((here / "export.json").read_text("utf-8"))
tokenizer = Tokenizer.from_file(str(here / "tokenizer.json"))
tokenizer.enable_truncation(**record["truncation"])
tokenizer.enable_padding(**record["padding"])
session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])
texts = sys.argv[1:] or sys.exit(__doc__)
if record["ranks"]:  # a query, then its candidates
    query, *candidates = texts
    texts = [text for candidate in candidates for text in (query, candidate)] or sys.exit(__doc__)
read = tokenizer.encode_batch(list(zip(texts[::2], texts[1::2], strict=True)) if record["pairs"] else texts)
columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
feed = {one.name: np.array([getattr(row, columns[one.name]) for row in read]) for one in session.get_inputs()}
answers = session.run(["logits"], feed)[0]

# ---- Answers ----
if record["ranks"]:
    for place in np.argsort(-answers[:, 0], kind="stable"):
        print(f"{answers[place, 0]:.4f}", candidates[place])
    sys.exit()
for logits in answers:
    if "thresholds" in record:  # any of several labels
        every = zip(record["labels"], 1 / (1 + np.exp(-logits)), record["thresholds"], strict=True)
        print(", ".join(f"{label} {share:.4f}" for label, share, least in every if share >= least) or "(none)")
        continue
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    print(record["labels"][shares.argmax()], f"{shares.max():.4f}") if len(logits) > 1 else print(f"{logits[0]:.4f}")
