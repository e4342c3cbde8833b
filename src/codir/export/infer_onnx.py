"""Run this model: `python infer.py "a text" "another"`; if it ranks: `python infer.py "a query" "candidate" "another"`;
if it answers questions: `python infer.py "a question" "a context"`.

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
elif record["reads_windows"] and len(texts) != 2:
    sys.exit(__doc__)
read = tokenizer.encode_batch(list(zip(texts[::2], texts[1::2], strict=True)) if record["pairs"] else texts)
if record["reads_windows"]:
    read = [read[0], *read[0].overflowing]
columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
feed = {one.name: np.array([getattr(row, columns[one.name]) for row in read]) for one in session.get_inputs()}
answers = session.run(["logits"], feed)[0]

# ---- Answers ----
if record["ranks"]:
    for place in np.argsort(-answers[:, 0], kind="stable"):
        print(f"{answers[place, 0]:.4f}", candidates[place])
    sys.exit()
if record["reads_windows"]:
    spans = [
        (float(logits[first, 0] + logits[last, 1]), window.offsets[first][0], window.offsets[last][1])
        for window, logits in zip(read, answers, strict=True)
        for inside in [[at for at, part in enumerate(window.sequence_ids) if part == 1]]
        for first in sorted(inside, key=lambda at: -logits[at, 0])[:20]
        for last in sorted(inside, key=lambda at: -logits[at, 1])[:20]
        if first <= last < first + record["longest_answer"]
    ]
    score, start, end = max(spans, default=(-np.inf, 0, 0))
    is_none = record["may_be_none"] and min(float(logits[0].sum()) for logits in answers) - record["no_answer"] > score
    found = {"answer": "" if is_none else texts[1][start:end], "start": start, "end": end, "score": round(score, 4)}
    print(json.dumps(found, ensure_ascii=False))
    sys.exit()
for logits in answers:
    if "thresholds" in record:  # any of several labels
        every = zip(record["labels"], 1 / (1 + np.exp(-logits)), record["thresholds"], strict=True)
        print(", ".join(f"{label} {share:.4f}" for label, share, least in every if share >= least) or "(none)")
        continue
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    print(record["labels"][shares.argmax()], f"{shares.max():.4f}") if len(logits) > 1 else print(f"{logits[0]:.4f}")
