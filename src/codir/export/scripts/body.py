"""Run this model: `python infer.py USAGE`.

Needs `ENGINE` and `tokenizers` alone.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from codir.export.scripts.classes import say  # the kind's own
from codir.export.scripts.onnx import load  # the engine's own

here = Path(__file__).parent
record = json.loads((here / "export.json").read_text("utf-8"))
texts = sys.argv[1:]
if record["ranks"]:  # a query, then its candidates
    texts = [text for candidate in texts[1:] for text in (texts[0], candidate)]
if not texts or (record["pairs"] and len(texts) % 2) or (record["reads_windows"] and len(texts) > 2):
    sys.exit(__doc__)
rows = list(zip(texts[::2], texts[1::2], strict=True)) if record["pairs"] else texts

tokenizer, truncation = Tokenizer.from_file(str(here / "tokenizer.json")), record["truncation"]
if record["reads_windows"]:  # a long question leaves them less to share
    used = len(tokenizer.encode(texts[0], add_special_tokens=False)) + tokenizer.num_special_tokens_to_add(is_pair=True)
    room = truncation["max_length"] - used
    if room < 1:
        sys.exit(f"The question has {used} tokens, with the special ones: no room is left for an answer")
    truncation["stride"] = max(0, min(truncation["stride"], room - 1))
tokenizer.enable_truncation(**truncation)
tokenizer.enable_padding(**record["padding"])
read = tokenizer.encode_batch(rows)
if record["reads_windows"]:
    read = [read[0], *read[0].overflowing]

names, ask = load(here)
columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
answers = ask({name: np.array([getattr(row, columns[name]) for row in read]) for name in names})
for line in say(rows, read, answers, record):
    print(line)
