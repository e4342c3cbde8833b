"""Where to compute and in which number format. Knows torch and nothing of codir's rooms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from codir.config.words import Precision


def default_device() -> torch.device:
    """The accelerator that torch sees, or the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def has_fast_bf16(device: torch.device | None = None) -> bool:
    """Whether the processor multiplies bf16 natively; where it only emulates it, fp32 is the faster format."""
    device = device or default_device()
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return _processor_has_bf16() and _onednn_uses_bf16()
    return False


def _processor_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _onednn_uses_bf16() -> bool:
    """oneDNN multiplies the matrices, and `ONEDNN_MAX_CPU_ISA` may keep it from what the processor has."""
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def resolve_dtype(precision: Precision, device: torch.device | None = None) -> torch.dtype:
    """The dtype of matrix products: `auto` takes bf16 where it is native.

    Example:
        >>> resolve_dtype("fp32")
        torch.float32
    """
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Autocast to `dtype`, or nothing at all where that is fp32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextmanager
def weights_cast_once(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Hold the weights of linear layers in `dtype` for a while, to the same results under `autocast` to `dtype`.

    Autocast casts the weights of a frozen model anew at every call, a share of a small model's forward pass.

    Args:
        model: not trained meanwhile; gets its own weights back, to the bit.
        dtype: of the products.
    """
    layers = [module for module in model.modules() if type(module) is nn.Linear and not module.weight.requires_grad]
    own = [layer.weight for layer in layers]
    for layer in layers:
        layer.weight = nn.Parameter(layer.weight.to(dtype), requires_grad=False)
    try:
        yield
    finally:
        for layer, weight in zip(layers, own, strict=True):
            layer.weight = weight
