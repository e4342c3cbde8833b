"""`examples/serve.py` must answer many clients at once as the exported model does."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from codir import runs
from exported import MAX_LENGTH, ask, export_config, make_world, sentences, sharp_classifier

pytestmark = pytest.mark.training

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "serve.py"
PYTHON = os.environ.get("CODIR_SERVE_PYTHON", sys.executable)
"""Runs the server, on fastapi, uvicorn, onnxruntime and tokenizers: `pip install "codir[examples]"`."""
CLIENTS, REQUESTS = 8, 160


def has_packages() -> bool:
    if sys.executable != PYTHON:
        return True
    return all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn"))


@pytest.fixture(scope="module")
def shipped(once_per_suite, tokenizer) -> Path:
    def fill(folder: Path) -> None:
        make_world(folder, sharp_classifier(), tokenizer)
        runs.export_model(export_config(folder, folder / "onnx"))

    return once_per_suite("serve", fill) / "onnx"


@pytest.fixture
def server(shipped, tmp_path):
    if not has_packages():
        pytest.skip("no fastapi and uvicorn: pip install 'codir[examples]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen([PYTHON, EXAMPLE, shipped, "--port", str(port)], stdout=log, stderr=log, cwd=tmp_path)
    for _ in range(300):
        assert process.poll() is None, (tmp_path / "log").read_text()
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/classify", process
    process.terminate()
    process.wait(timeout=30)
    log.close()


def post(url: str, content: object) -> tuple[int, object]:
    import json
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(url, json.dumps(content).encode(), {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_answers_that_are_mixed_up_between_clients(server, tokenizer):
    """Batches of different sizes and lengths at once; each answer is the model's own to that very text."""
    url, process = server
    rng = np.random.default_rng(0)
    batches = [sentences(rng.integers(1, 40, size=rng.integers(1, 9)).tolist(), seed) for seed in range(REQUESTS)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda texts: post(url, {"texts": texts}), batches))
    assert [status for status, _ in answers] == [200] * REQUESTS
    logits = ask(sharp_classifier(), tokenizer, [text for texts in batches for text in texts])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = [one for _, rows in answers for one in rows]
    assert [one["label"] for one in found] == [f"LABEL_{row.argmax()}" for row in shares]
    assert np.allclose([one["score"] for one in found], shares.max(1), atol=1e-4)
    assert MAX_LENGTH < 40, "some texts are cut"
    assert process.poll() is None


@pytest.mark.parametrize("content", [{"texts": []}, {}, {"texts": "w1"}, {"texts": [1]}, {"texts": ["w1"] * 65}])
def test_a_request_that_stops_the_server(content, server):
    url, process = server
    assert post(url, content)[0] == 422
    status, answer = post(url, {"texts": ["w1 w2", ""]})
    assert (status, len(answer)) == (200, 2)
    assert process.poll() is None
