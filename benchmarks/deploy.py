"""Claim (g): a distilled and quantised student against the fp32 PyTorch teacher, as both would be served.

Teacher and student are exported by each engine in fp32 and in int8, behind the gate, and timed side by side with
PyTorch in fp32 (and bf16 where the processor has it) on the evaluation rows, at their own lengths.

Run: python benchmarks/deploy.py NAME TEACHER STUDENT; NAME is a folder of benchmarks/results/deploy, and STUDENT the
output folder of `codir distill`, whose recipe names the data.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import yaml
from common import RESULTS

from codir import BenchmarkConfig, ExportConfig, UserError, benchmark, export_model

Engine = Literal["onnx", "openvino"]
ENGINES: tuple[Engine, ...] = ("onnx", "openvino")


def export(model: Path, role: str, data: dict[str, Any], folder: Path, max_loss: float) -> list[Path]:
    """Every way to run a model that passes the gate, each in a folder named after it."""
    made = []
    for engine in ENGINES:
        for int8 in (False, True):
            target = folder / f"{role} {engine}{' int8' if int8 else ''}"
            config = ExportConfig(
                model=str(model), data=data, engine=engine, int8=int8, max_loss=max_loss, output_dir=target
            )
            try:
                found = export_model(config)
            except UserError as error:
                print(f"{target.name}: {error}")
                continue
            print(f"{target.name}: {found.chosen.name}, loss {found.chosen.verdict.loss}, fp32: {found.chosen.left}")
            made.append(target)
    return made


def main() -> None:
    """Export, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("teacher", type=Path)
    parser.add_argument("student", type=Path)
    parser.add_argument("--max-loss", type=float, default=0.5, help="points that int8 may cost")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=256)
    options = parser.parse_args()
    data = yaml.safe_load((options.student / "recipe.yaml").read_text())["data"]
    with tempfile.TemporaryDirectory(prefix="codir-deploy-") as scratch:
        models = []
        for role, model in (("teacher", options.teacher), ("student", options.student)):
            plain = Path(scratch) / role
            plain.mkdir()
            for file in model.iterdir():
                if file.is_file():
                    shutil.copy(file, plain)
            models += [plain, *export(plain, role, data, Path(scratch), options.max_loss)]
        config = BenchmarkConfig(
            models=models,
            data=data,
            rounds=options.rounds,
            rows=options.rows,
            bf16=True,
            output_dir=RESULTS.parent / "deploy" / options.name,
        )
        benchmark(config, as_in_training=True)


if __name__ == "__main__":
    main()
