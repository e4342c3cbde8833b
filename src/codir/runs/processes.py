"""What a run does before anything is loaded, alone or as one of several processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from codir.config import AnyRun, PretrainRecipe
from codir.config.words import TASK
from codir.errors import UserError
from codir.runs.build import check_training
from codir.runs.hub import check_push
from codir.system import check_sharding, default_device, is_main_process, join_processes, on_main
from codir.tasks import kind_named

logger = logging.getLogger(__name__)


def begin(config: AnyRun) -> None:
    """Refuse what cannot work with any model or data, and meet the other processes where there are some."""
    training = config.training
    check_sharding(training.fsdp, training.deepspeed)
    use_cpu = bool(training.use_cpu) or default_device().type == "cpu"
    join_processes(use_cpu=use_cpu, backend=training.ddp_backend, timeout_s=training.ddp_timeout)
    check_training(training)
    if config.push_to_hub:
        on_main(check_push, config.push_to_hub)
    if not isinstance(config, PretrainRecipe) and config.data.task != TASK:
        kind_named(config.data.task)


def refuse_processes(command: str, do: str) -> None:
    """Refuse to run in several processes what would do all its work in each of them."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(command, expected="one process", got=f"{os.environ['WORLD_SIZE']}", do=do)


def say(notes: Iterable[str]) -> None:
    """Notes for the user, once, however many processes there are."""
    if is_main_process():
        for note in notes:
            logger.warning(note)


def said(notes: Iterable[str]) -> list[str]:
    """Say notes when they are found, and keep them for the report."""
    kept = list(notes)
    say(kept)
    return kept


@contextmanager
def quiet_rooms(*rooms: str) -> Iterator[None]:
    """Keep back what rooms say while the block lasts: of a part that would be taken for the whole, or a second time."""
    with ExitStack() as ends:
        for room in rooms:
            logger = logging.getLogger(f"codir.{room}")
            ends.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield
