"""The command line, with a note of what this process' memories hold after each step, in `$WATCHED/RANK-of-WORLD.json`.

python watched.py distill --teacher ...
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from codir import cli
from codir.trainer.memories import Memories

rank, world = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
after_each_step: list[str] = []
take_up = Memories.take_up


def take_up_and_note(self: Memories) -> None:
    """What the trainer calls when the optimiser has stepped."""
    take_up(self)
    content = hashlib.sha256()
    for name, tensor in sorted(self.state_dict().items()):
        content.update(name.encode() + tensor.contiguous().numpy().tobytes())
    after_each_step.append(content.hexdigest())


Memories.take_up = take_up_and_note  # type: ignore[method-assign]
try:
    cli.main()
finally:
    (Path(os.environ["WATCHED"]) / f"{rank}-of-{world}.json").write_text(json.dumps(after_each_step))
    sys.stdout.flush()
