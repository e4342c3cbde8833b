"""What every test stands on: no network, shapes checked while the tests run, and tiny real models."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # tests side by side share the cores, with all they launch
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

from jaxtyping import install_import_hook

SHAPES_CHECKED_IN = [
    "codir.signals",
    "codir.models.attention",
    "codir.models.language",
    "codir.models.forward",
    "codir.objectives",
    "codir.memory",
    "codir.system.processes",
    "codir.teacher",
    "codir.trainer.distiller",
]
install_import_hook(SHAPES_CHECKED_IN, "beartype.beartype")

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import datasets
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from transformers import BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from families import tiny_classifier

datasets.disable_progress_bars()
settings.register_profile("codir", deadline=None)  # tests share their cores: the time of one says nothing
settings.load_profile("codir")

WORDS = [f"w{i}" for i in range(90)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def pytest_collection_finish() -> None:
    """Leave the libraries' heap out of what is searched for garbage; a trainer has it searched at every training."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def log_levels_as_they_were() -> Iterator[None]:
    """A command that is run within a test quiets codir's loggers for its process, which here is all tests'."""
    before = {name: logger.level for name, logger in codir_loggers().items()}
    yield
    for name, logger in codir_loggers().items():
        logger.setLevel(before.get(name, logging.NOTSET))


def codir_loggers() -> dict[str, logging.Logger]:
    """Those that exist by now."""
    return {name: logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("codir")}


@pytest.fixture(scope="session")
def once_per_suite(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once_per_suite(name, fill)`: a folder that `fill` has filled, in the first process that asked for it.

    Tests that run side by side do so in several processes, each with its own session fixtures. Read it only.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder_of(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer of 95 whole words; fits the vocabulary of `families`."""
    return BertTokenizer(vocab={word: i for i, word in enumerate(SPECIAL + WORDS)})


@pytest.fixture
def teacher() -> PreTrainedModel:
    """A 4-layer BERT with two classes and random weights."""
    return tiny_classifier("bert", num_labels=2, seed=1)


@pytest.fixture
def student() -> PreTrainedModel:
    """A 2-layer BERT with two classes and other random weights."""
    return tiny_classifier("bert", num_labels=2, layers=2, seed=2)


def make_texts(
    rows: int, *, seed: int = 0, kind: str = "classes", shortest: int = 3, longest: int = 12
) -> datasets.Dataset:
    """Sentences of random words whose label can be read off their words."""
    rng = np.random.default_rng(seed)
    numbers = [rng.integers(0, len(WORDS), size=rng.integers(shortest, longest + 1)) for _ in range(rows)]
    texts = [" ".join(WORDS[i] for i in row) for row in numbers]
    scores = [float(row.mean()) / len(WORDS) * 5 for row in numbers]
    labels = {"classes": [int(score > 2.5) for score in scores], "scores": scores}
    content = {"text": texts, **({"label": labels[kind]} if kind in labels else {})}
    return datasets.Dataset.from_dict(content)


@pytest.fixture
def texts() -> datasets.Dataset:
    """64 rows of two classes."""
    return make_texts(64)


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import a benchmark's module as `python benchmarks/<name>.py` would."""
    folder = str(Path(__file__).resolve().parents[1] / "benchmarks")
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """The real GLUE folder, where there is one."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "glue"
    folder = Path(os.environ.get("CODIR_GLUE_DIR", beside))
    if not folder.is_dir():
        pytest.skip("no GLUE folder: set CODIR_GLUE_DIR to one in GLUE's download layout")
    return folder
