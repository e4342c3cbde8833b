"""Exported models as runners: ONNX Runtime and OpenVINO, from a folder that `codir export` wrote or from a file.

Imports neither engine before a file of its own is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from codir.config.words import ONNX, OPENVINO, Engine
from codir.errors import UserError
from codir.measure.runner import TensorBatch
from codir.store import MANIFEST_NAME, find_damage, read_json
from codir.tasks.thresholds import thresholds_of

RECORD_NAME = "export.json"
"""What `codir export` says of a folder: engine, precision, the gate's numbers, sizes."""
CONFIG_NAME = "config.json"
FILE_NAMES: Mapping[Engine, str] = {ONNX: "model.onnx", OPENVINO: "model.xml"}
LOGITS = "logits"
"""What the output of every exported classifier is called."""
PACKAGES: Mapping[Engine, str] = {ONNX: "onnxruntime", OPENVINO: OPENVINO}
TELEMETRY = "openvino_telemetry"
"""What OpenVINO and NNCF tell their maker of their use with; codir does not let them."""
INSTALL: Mapping[Engine, str] = {
    ONNX: "`pip install onnxruntime onnx onnxscript`",
    OPENVINO: "`pip install 'codir[openvino]'`",
}


def engine_package(engine: Engine, package: str | None = None) -> Any:
    """Import an engine, or another package that it needs.

    Raises:
        UserError: it is not installed.
    """
    package = package or PACKAGES[engine]
    if engine == OPENVINO:
        sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]  # it cannot be imported then, and they go without
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(
            f"engine {engine}",
            expected=f"the package {package.partition('.')[0]}",
            got=f"none that can be imported ({error})",
            do=INSTALL[engine],
        ) from error


def exported_file(path: str | Path) -> Path | None:
    """The file of an exported model: the path itself, or the one in this folder; `None` where it is no export."""
    path = Path(path)
    if path.suffix in (".onnx", ".xml"):
        return path
    files = [path / name for name in FILE_NAMES.values()]
    has_weights = any(path.glob("*.safetensors"))
    return None if has_weights else next((file for file in files if file.is_file()), None)


def engine_of(file: Path) -> Engine:
    """By the ending of the file's name."""
    return OPENVINO if file.suffix == ".xml" else ONNX


@dataclass(frozen=True)
class ExportedRunner:
    """An exported model on the CPU. `open_exported` makes one.

    Attributes:
        file: `model.onnx` or `model.xml`.
        tokenizer: what it reads with.
        names: of its inputs.
        ask: from arrays by name to logits.
        thresholds: from which probability on each label is answered.
    """

    file: Path
    tokenizer: PreTrainedTokenizerBase
    names: tuple[str, ...]
    ask: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    thresholds: tuple[float, ...] | None = None

    @property
    def parameters(self) -> int:
        """How many weights it has: as the folder's record says, or else the numbers in the graph."""
        recorded = _object_in(self.file.parent / RECORD_NAME).get("parameters")
        return recorded if isinstance(recorded, int) else _count_numbers(self.file)

    @property
    def bytes(self) -> int:
        """Size of its files on disk: the graph and the weights that lie beside it."""
        beside = [self.file.with_suffix(".bin"), self.file.with_name(f"{self.file.name}.data")]
        return sum(file.stat().st_size for file in (self.file, *beside) if file.is_file())

    def running(self) -> AbstractContextManager[None]:
        """Nothing has to hold."""
        return nullcontext()

    def place(self, batch: TensorBatch) -> TensorBatch:
        """Those that the graph reads, in main memory."""
        return {name: batch[name].cpu().contiguous() for name in self.names}

    def logits(self, placed: TensorBatch) -> Tensor:
        """Answers `[rows, classes]`."""
        return torch.from_numpy(self.ask({name: placed[name].numpy() for name in self.names}))

    def wait(self) -> None:
        """An engine on the CPU answers when it has computed."""


def open_exported(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    threads: int | None = None,
    thresholds: Sequence[float] | None = None,
) -> ExportedRunner:
    """Open an exported model.

    Args:
        path: a folder that `codir export` wrote, whose files are checked against its manifest, or a graph's file.
        tokenizer: what it reads with.
        threads: that it computes with; as many as torch by default.
        thresholds: from which probability on each label is answered; those of the configuration beside it by default.

    Raises:
        UserError: its engine is not installed, or the file is damaged or none.
    """
    file = exported_file(path)
    if file is None or not file.is_file():
        got = f"{path}, which is none" if file is None else f"{file}, which is not there"
        raise UserError("model", expected="model.onnx or model.xml", got=got, do="check the path")
    engine = engine_of(file)
    package = engine_package(engine)
    _check_whole(file)
    threads = threads or torch.get_num_threads()
    try:
        names, ask = _open_onnx(package, file, threads) if engine == ONNX else _open_openvino(package, file, threads)
    except Exception as error:  # engines raise their own errors, of no common class
        raise _damaged(file, str(error).strip().partition("\n")[0]) from error
    unknown = sorted({*names} - {*tokenizer.model_input_names})
    if unknown:
        raise _damaged(file, f"it reads {', '.join(unknown)}, which the tokenizer beside it does not give")
    if thresholds is None:
        thresholds = thresholds_of(_object_in(file.parent / CONFIG_NAME))
    return ExportedRunner(file, tokenizer, names, ask, None if thresholds is None else tuple(thresholds))


def _open_onnx(onnxruntime: Any, file: Path, threads: int) -> tuple[tuple[str, ...], Callable[..., np.ndarray]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    answers = [one.name for one in session.get_outputs()]
    if LOGITS not in answers:
        raise ValueError(f"it has no output `{LOGITS}`, but {', '.join(answers)}")
    return tuple(one.name for one in session.get_inputs()), lambda feed: session.run([LOGITS], dict(feed))[0]


def _open_openvino(openvino: Any, file: Path, threads: int) -> tuple[tuple[str, ...], Callable[..., np.ndarray]]:
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    request, answer = compiled.create_infer_request(), compiled.output(LOGITS)
    names = tuple(one.get_any_name() for one in compiled.inputs)
    return names, lambda feed: request.infer(dict(feed))[answer].copy()


def _check_whole(file: Path) -> None:
    """A folder of codir's has a manifest; of other files the engine says whether it can read them."""
    if not (file.parent / MANIFEST_NAME).is_file():
        return
    damage = find_damage(file.parent)
    if damage is not None:
        raise _damaged(file, str(damage))


def _damaged(file: Path, fault: str) -> UserError:
    return UserError(
        "model", expected="an exported model that is whole", got=f"{file} ({fault})", do="export or download it again"
    )


def _count_numbers(file: Path) -> int:
    if engine_of(file) == ONNX:
        graph = engine_package(ONNX, "onnx").load(file, load_external_data=False).graph
        return int(sum(np.prod(weights.dims) for weights in graph.initializer))
    operations = engine_package(OPENVINO).Core().read_model(file).get_ops()
    return int(sum(np.prod(one.shape) for one in operations if one.get_type_name() == "Constant"))


def _object_in(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    content = read_json(file)
    return content if isinstance(content, dict) else {}
