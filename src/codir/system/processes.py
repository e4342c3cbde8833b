"""The processes of one training: whether there are several, what one does for all, and how each sees the rows of all.

Knows torch and accelerate, and nothing of codir's rooms.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from codir.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others, one of which may be building the teacher's cache.

A process that died needs no such limit: its connections close, and the launcher ends the others.
"""
_TRUE = ("1", "true", "yes", "on", "y", "t")
SPOKEN_KEY, SECONDS_TO_SPEAK = "codir/spoken", 5.0


def join_processes(*, use_cpu: bool, backend: str | None = None, timeout_s: int | None = None) -> None:
    """Meet the other processes that `torchrun` or `accelerate launch` started; alone, do nothing.

    `Trainer` would do so too, but only once models and data are loaded.

    Args:
        use_cpu: whether training is on the CPU.
        backend: of `torch.distributed`; by default the one that fits the device.
        timeout_s: how long to wait for the others at most; a day by default.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        return
    from accelerate import PartialState

    timeout = PATIENCE if timeout_s is None else timedelta(seconds=timeout_s)
    PartialState(cpu=use_cpu, timeout=timeout, **({"backend": backend} if backend else {}))


def leave_processes() -> None:
    """Part from the others in good order, once all is done."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_distributed() -> bool:
    """Whether there are other processes to share with."""
    return count_processes() > 1


def count_processes() -> int:
    """How many processes train together; alone, one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this is the process that writes and speaks for all; alone, it is."""
    return not is_distributed() or dist.get_rank() == 0


def on_main(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` in the main process while the others wait, and give all of them its result, or its error.

    Example:
        >>> on_main(max, 2, 3)  # alone
        3
    """
    if not is_distributed():
        return work(*args, **kwargs)
    own: Exception | None = None
    outcome: list[Any] = [None]
    if is_main_process():
        try:
            outcome = [(work(*args, **kwargs), None)]
        except Exception as failure:
            own, outcome = failure, [(None, _portable(failure))]
    dist.broadcast_object_list(outcome, src=0, group=_waiting_room())
    result, error = outcome[0]
    if own is not None:
        raise own
    if error is not None:
        raise error
    return result


def speaks_for_all() -> bool:
    """Whether this process is to say what went wrong: the main one, or another that failed alone."""
    if not is_distributed():
        return int(os.environ.get("RANK", "0")) == 0
    try:
        store = dist.distributed_c10d._get_default_store()
        if is_main_process():
            store.set(SPOKEN_KEY, "1")
            return True
        return not _is_there(store, SPOKEN_KEY)
    except RuntimeError:  # the store went with the process that held it
        return True


def _is_there(store: Any, key: str) -> bool:
    deadline = time.monotonic() + SECONDS_TO_SPEAK
    while time.monotonic() < deadline:
        if store.check([key]):
            return True
        time.sleep(0.05)
    return False


_room: Any = None


def _waiting_room() -> Any:
    """Where processes wait without keeping an accelerator busy."""
    global _room
    if dist.get_backend() == "gloo":
        return None
    if _room is None:
        _room = dist.new_group(backend="gloo", timeout=PATIENCE)
    return _room


def _portable(error: Exception) -> Exception:
    """The error, or its words where it does not survive the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def check_sharding(fsdp: object, deepspeed: object) -> None:
    """Refuse to share out a model's weights; every process holds the whole of both models.

    Args:
        fsdp: as in `TrainingArguments`.
        deepspeed: as in `TrainingArguments`.

    Raises:
        UserError: FSDP or DeepSpeed were asked for, there or by `accelerate launch`.
    """
    asked = {
        "FSDP": fsdp or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in _TRUE,
        "DeepSpeed": deepspeed or os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() in _TRUE,
    }
    for name, is_asked_for in asked.items():
        if is_asked_for:
            raise UserError(
                "training",
                expected="data parallelism, or one process",
                got=name,
                otherwise="it would have been ignored, or heads and memories left out of it",
                do="leave it out, and launch with `torchrun` or a plain `accelerate launch`",
            )


def gather(tensor: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks: the same tensor everywhere, without gradient."""
    if not is_distributed():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(count_processes())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def gather_with_gradient(rows: Float[Tensor, "batch dim"]) -> Float[Tensor, "gathered dim"]:
    """`gather` through which every process' loss reaches the rows of every other.

    The gradient of a row is the sum over all processes. Where each has the mean over its own anchors as its loss, and
    data parallelism takes the mean of their gradients, that is the gradient of the mean over the anchors of all: what
    one process with the whole batch would have had.

    Example:
        >>> rows = torch.ones(2, 3, requires_grad=True)
        >>> gather_with_gradient(rows) is rows  # alone
        True
    """
    return _Gather.apply(rows) if is_distributed() else rows  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return gather(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(count_processes())[dist.get_rank()]
