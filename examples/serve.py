"""Serve an exported model over HTTP: each request is a batch of texts, which the engine reads at once.

Needs `pip install fastapi uvicorn onnxruntime tokenizers` and a folder that `codir export` wrote; no PyTorch:

    python examples/serve.py student-onnx --port 8000
    curl localhost:8000/classify -H 'content-type: application/json' -d '{"texts": ["so good", "so bad"]}'
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field
from tokenizers import Tokenizer

COLUMNS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class Request(BaseModel):
    """What a client sends."""

    texts: list[str] = Field(min_length=1, max_length=64)


def make_app(folder: Path) -> FastAPI:
    record = json.loads((folder / "export.json").read_text("utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(**record["truncation"])
    tokenizer.enable_padding(**record["padding"])
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    app = FastAPI(title=folder.name)

    def classify(request: Request) -> list[dict[str, str | float]]:  # a plain function: FastAPI runs it in a thread
        rows = tokenizer.encode_batch(request.texts)
        feed = {one.name: np.array([getattr(row, COLUMNS[one.name]) for row in rows]) for one in session.get_inputs()}
        logits = session.run(["logits"], feed)[0]
        if "thresholds" in record:  # any of several labels
            every = [zip(record["labels"], row, record["thresholds"], strict=True) for row in 1 / (1 + np.exp(-logits))]
            return [{label: float(share) for label, share, least in row if share >= least} for row in every]
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return [{"label": record["labels"][row.argmax()], "score": float(row.max())} for row in shares]

    app.add_api_route("/classify", classify, methods=["POST"])
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    words = parser.parse_args()
    uvicorn.run(make_app(words.folder), port=words.port, log_level="warning")
