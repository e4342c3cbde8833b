"""Claim (g): a distilled and quantised student against the fp32 PyTorch teacher, as both would be served.

The teacher is exported by each engine in fp32, students in int8 too, behind the gate. All are timed side by side with
PyTorch in fp32 (and bf16 where the processor has it) on the evaluation rows, at their own lengths. A model's engine is
the fastest that was measured in int8: by rows per second in tables, at one row alone where the claim is about that.

Run: python benchmarks/deploy.py NAME TEACHER STUDENT...; NAME is a folder of benchmarks/results/deploy, and each
STUDENT the output folder of `codir distill`, whose recipe names the data. Exports are kept in `--exports`, and made
once. Then `make tables` fills the tables of README and docs.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from common import RESULTS, write_claim

from codir import BenchmarkConfig, ExportConfig, UserError, benchmark, export_model

Engine = Literal["onnx", "openvino"]
ENGINES: dict[Engine, str] = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
DEPLOY = RESULTS.parent / "deploy"
TEACHER = "teacher"
BATCH = "32"
"""As a key of `benchmark.json`."""
WITH_VNNI, WITHOUT_VNNI = (6.0, 6.0), (3.0, 5.0)
"""Times the teacher's rows per second in batches of 32, and its speed at one row alone, to be reached."""
WHATEVER_IT_COSTS = 100.0
"""Points that a teacher in int8 may lose: all of its layers are quantised, and its score stands in the table."""
Numbers = Mapping[str, Any]


def export(
    model: Path, role: str, data: dict[str, Any], folder: Path, max_loss: float, precisions: Sequence[bool]
) -> dict[str, Any]:
    """Every way to run a model that passes the gate, each in a folder named after it; what the gate said of each."""
    said: dict[str, Any] = {}
    for engine in ENGINES:
        for int8 in precisions:
            target = folder / f"{role} {engine}{' int8' if int8 else ''}"
            if not target.is_dir():
                config = ExportConfig(
                    model=str(model), data=data, engine=engine, int8=int8, max_loss=max_loss, output_dir=target
                )
                try:
                    export_model(config)
                except UserError as error:
                    said[target.name] = {"refused": str(error)}
                    print(f"{target.name}: {error}")
                    continue
            said[target.name] = what_the_gate_said(target)
            print(f"{target.name}: {said[target.name]['left_in_fp32'] or 'no layer'} left in fp32")
    return said


def what_the_gate_said(folder: Path) -> dict[str, Any]:
    """The verdict on each candidate, and the layers that the chosen one leaves in fp32."""
    record = json.loads((folder / "export.json").read_text("utf-8"))
    return {key: record[key] for key in ("precision", "left_in_fp32", "gate")}


def plain_copy(model: Path, target: Path) -> Path:
    """A model's own files without what a run left beside them."""
    target.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        if file.is_file():
            shutil.copy(file, target)
    return target


def served(name: str) -> str:
    """How a model of `benchmark.json` runs, in words.

    Example:
        >>> served("6-layers openvino int8"), served("teacher bf16"), served("teacher")
        ('OpenVINO, int8', 'PyTorch, bf16', 'PyTorch, fp32')
    """
    _, *rest = name.split()
    engine = next((words for key, words in ENGINES.items() if key in rest), "PyTorch")
    return f"{engine}, {next((dtype for dtype in ('int8', 'bf16') if dtype in rest), 'fp32')}"


def timings_of(result: Numbers, threads: int) -> dict[str, Numbers]:
    """Timings with so many threads, by model."""
    return {timing["name"]: timing for timing in result["timings"] if timing["threads"] == threads}


def rate(timing: Numbers) -> float:
    """Rows per second in batches of 32."""
    return float(timing["throughput"][BATCH]["sentences_per_second"])


def rate_alone(timing: Numbers) -> float:
    """Rows per second, one row alone: 1 over the median latency."""
    return 1000 / float(timing["latency"]["p50"])


def roles_of(names: Collection[str]) -> list[str]:
    """Teacher and students, in order."""
    return list(dict.fromkeys(name.split()[0] for name in names))


def fastest_in_int8(timings: Mapping[str, Numbers], role: str, speed: Callable[[Numbers], float] = rate) -> str | None:
    """The name of a model's int8 export of the highest speed; `None` where none passed the gate."""
    found = [name for name in timings if name.split()[0] == role and "int8" in name.split()]
    return max(found, key=lambda name: speed(timings[name]), default=None)


def summary_rows(result: Numbers) -> list[dict[str, str]]:
    """Each model in PyTorch, and in int8 on its fastest engine where it was quantised, with all threads."""
    threads = max(timing["threads"] for timing in result["timings"])
    timings, costs = timings_of(result, threads), {cost["name"]: cost for cost in result["costs"]}
    shown = [name for role in roles_of(timings) for name in (role, fastest_in_int8(timings, role)) if name]
    teacher = timings[TEACHER]
    return [
        {
            "model": name.split()[0].replace("-", " "),
            "runs in": served(name),
            result["metric"]: f"{100 * costs[name]['metrics'][result['metric']]:.1f}%",
            "on disk": f"{costs[name]['bytes'] / 1e6:,.0f} MB",
            "one row": f"{timings[name]['latency']['p50']:.1f} ms",
            "faster": f"{teacher['latency']['p50'] / timings[name]['latency']['p50']:.1f}x",
            "rows/s by 32": f"{rate(timings[name]):,.0f}",
            "faster ": f"{rate(timings[name]) / rate(teacher):.1f}x",
        }
        for name in shown
    ]


def caption(result: Numbers) -> str:
    """Under what the numbers of `summary_rows` were measured, in a sentence."""
    conditions, threads = result["conditions"], max(timing["threads"] for timing in result["timings"])
    units = ", ".join(conditions["instruction_sets"])
    return (
        f"Quality on {result['scored_rows']:,} rows, speed on {result['rows']:,} of them, the models in turns, the "
        f"median of one row alone; {conditions['device']} ({units}), {threads} threads."
    )


def read_results(folder: Path = DEPLOY) -> dict[str, Numbers]:
    """What was measured, by the name of its folder."""
    return {file.parent.name: json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*/benchmark.json"))}


def write_claims(name: str, result: Numbers) -> None:
    """Of the first student, against the teacher: throughput, latency, and what int8 lost."""
    has_vnni = any("VNNI" in unit for unit in result["conditions"]["instruction_sets"])
    bounds = WITH_VNNI if has_vnni else WITHOUT_VNNI
    threads = max(timing["threads"] for timing in result["timings"])
    timings, scores = timings_of(result, threads), {one["name"]: one["metrics"] for one in result["costs"]}
    role, metric = roles_of(timings)[1], result["metric"]
    fastest, first_alone = fastest_in_int8(timings, role), fastest_in_int8(timings, role, rate_alone)
    if fastest is None or first_alone is None:
        raise SystemExit(f"no int8 export of {role} passed the gate")
    conditions = {
        **result["conditions"],
        "pair": name,
        "threads": threads,
        "rows": result["rows"],
        "scored_rows": result["scored_rows"],
    }
    faster = rate(timings[fastest]) / rate(timings[TEACHER])
    faster_alone = rate_alone(timings[first_alone]) / rate_alone(timings[TEACHER])
    lost = {one: 100 * (scores[role][metric] - scores[one][metric]) for one in (fastest, first_alone)}
    dearest = max(lost, key=lambda one: lost[one])
    measured: dict[str, tuple[str, float, float, Literal["at most", "at least"], str]] = {
        "throughput": (fastest, faster, bounds[0], "at least", "rows per second in batches of 32"),
        "latency": (first_alone, faster_alone, bounds[1], "at least", "speed at one row"),
        "loss": (dearest, lost[dearest], 0.5, "at most", f"points of {metric} lost"),
    }
    for what, (one, value, bound, direction, words) in measured.items():
        whose = f"{name}: the int8 student ({served(one)})"
        claim = f"{whose}, {words}" if what == "loss" else f"{whose} over the fp32 PyTorch teacher, {words}"
        write_claim(
            f"deploy-{name}-{what}",
            claim,
            value=value,
            bound=bound,
            direction=direction,
            rows=summary_rows(result),
            conditions=conditions,
        )


def main() -> None:
    """Export, time, and write the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("teacher", type=Path)
    parser.add_argument("students", type=Path, nargs="+", help="the one with half the layers first")
    parser.add_argument("--exports", type=Path, required=True, help="folder that keeps the exported models")
    parser.add_argument("--only-export", action="store_true", help="export, and leave the timing to another call")
    parser.add_argument("--max-loss", type=float, default=0.5, help="points that int8 may cost")
    parser.add_argument("--int8-teacher", action="store_true", help="quantise the teacher too, whatever it loses")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=256)
    options = parser.parse_args()
    data = yaml.safe_load((options.students[0] / "recipe.yaml").read_text())["data"]
    roles = {TEACHER: options.teacher}
    for student in options.students:
        layers = json.loads((student / "config.json").read_text())["num_hidden_layers"]
        roles[f"{layers}-layers"] = student
    models: list[Path] = []
    said: dict[str, Any] = {}
    for role, model in roles.items():
        plain = plain_copy(model, options.exports / role)
        precisions = (False, True) if role != TEACHER or options.int8_teacher else (False,)
        max_loss = options.max_loss if role != TEACHER else WHATEVER_IT_COSTS
        exported = export(plain, role, data, options.exports, max_loss, precisions)
        said |= exported
        models += [plain, *(options.exports / name for name in exported if (options.exports / name).is_dir())]
    if options.only_export:
        return
    target = DEPLOY / options.name
    config = BenchmarkConfig(
        models=models, data=data, rounds=options.rounds, rows=options.rows, bf16=True, output_dir=target
    )
    benchmark(config, of_run=options.students[0])
    (target / "gate.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    write_claims(options.name, json.loads((target / "benchmark.json").read_text("utf-8")))


if __name__ == "__main__":
    main()
