"""What a CUDA card is to show, in order of worth and within ten minutes: each result is a file as soon as it is there.

1. Equality: losses and weights on the card as on the CPU, a cached teacher as a live one, the bank on the card, and how
   often a step waits for it.
2. The step: distilling over plain fine-tuning in bf16, by batch size, with the share of the card's own matrix-product
   peak and its memory.
3. Quality: students of a teacher of base size (`benchmarks/comparisons/base-sst2.yaml`), seed by seed.

Started again, it goes on where it was. Results go to `benchmarks/results/gpu/<card>/`, those of the third part to
`benchmarks/results/base-sst2/`.

Run: python benchmarks/gpu/programme.py. Without a card, `--device cpu --small` goes through the first two in small.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import equality
import quality
import steps
import torch
from common import write_json
from setting import FULL, SMALL, Sizes

from codir.errors import UserError
from codir.measure import gather_conditions

PARTS = ("equality", "step", "quality")
MINUTES = 9.0
"""After so many no further part is begun; one that has begun ends."""

Result = dict[str, Any]


def jobs(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, str, Callable[[], Result]]]:
    """Every measurement that is one file: its part, its name, and how it is made."""
    yield "equality", "card-against-cpu", lambda: equality.against_cpu(sizes, device)
    yield "equality", "cached-against-live", lambda: equality.cached_against_live(sizes, device)
    yield "equality", "bank", lambda: equality.place_of_bank(sizes, device)
    yield "equality", "waits", lambda: equality.waits(sizes, device)
    yield "step", "peak", lambda: {"flops_per_second": steps.measure_peak(device, torch.bfloat16, small=sizes is SMALL)}
    for batch in sizes.batches:
        yield "step", f"step-B{batch}", lambda batch=batch: steps.step(sizes, device, batch)  # type: ignore[misc]


def run(folder: Path, sizes: Sizes, device: torch.device, *, parts: tuple[str, ...], until: float) -> list[str]:
    """Make every file of these parts that is not there yet, and give the names of those that were made.

    Args:
        folder: where they are kept.
        sizes: of models and rows.
        device: the card.
        parts: of `PARTS`.
        until: on `time.monotonic`'s clock; nothing is begun later.
    """
    made = []
    for part, name, measure in jobs(sizes, device):
        file = folder / f"{name}.json"
        if part not in parts or file.exists():
            continue
        if time.monotonic() > until:
            print(f"time is up before {name}; start again to go on")
            break
        begun = time.monotonic()
        result = measure()
        conditions = {**gather_conditions(dtype=result.pop("dtype", "fp32"), seed=0), "sizes": sizes.__dict__}
        write_json(
            file, {"part": part, **result, "seconds": round(time.monotonic() - begun, 1), "conditions": conditions}
        )
        print(f"{name}: {json.dumps(result)}")
        made.append(name)
    return made


def card_of(device: torch.device) -> str:
    """A name for a folder.

    Example:
        >>> card_of(torch.device("cpu"))
        'cpu'
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def main() -> None:
    """All parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny models and few steps")
    parser.add_argument("--parts", default=",".join(PARTS), help="such as `equality,step`")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="after which no further measurement begins")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "benchmarks" / "results" / "gpu")
    options = parser.parse_args()
    begun, device, parts = time.monotonic(), torch.device(options.device), tuple(options.parts.split(","))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device",
            expected="a CUDA card and a build of PyTorch for it",
            got=f"none; PyTorch {torch.__version__}",
            do="install the build that fits the card, or try `--device cpu --small`",
        )
    until = begun + 60 * options.minutes
    logging.disable(logging.WARNING)
    run(options.output_dir / card_of(device), SMALL if options.small else FULL, device, parts=parts, until=until)
    if "quality" in parts and not options.small:
        os.chdir(ROOT)  # paths in a recipe are the project's
        quality.run(quality.load(), until=until)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
