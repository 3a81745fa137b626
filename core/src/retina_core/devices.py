"""Where networks run and how precisely they multiply."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast

import torch

from retina_core.config import Precision
from retina_core.errors import InvalidValueError


def resolve_device(name: str = "auto") -> torch.device:
    """``auto`` is CUDA, else MPS, else the CPU; anything else is taken at its word.

    Raises:
        InvalidValueError: the device is unknown, or not to be had here.
    """
    have = available_devices()
    if name == "auto":
        return torch.device(have[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValueError("retina", "device", name, f"choose one of auto, {', '.join(have)}") from None
    if device.type not in have:
        raise InvalidValueError("retina", "device", name, f"not to be had here (have: {', '.join(have)})")
    return device


def available_devices() -> list[str]:
    """Kinds of devices on this machine, the fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve_precision(requested: Precision, device: torch.device) -> Literal["bf16", "fp32"]:
    """``auto`` is bf16 where the processor or GPU multiplies it natively, else fp32."""
    if requested != "auto":
        return requested
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        # AVX-512 BF16 or AMX; elsewhere oneDNN emulates bf16, several times slower than fp32.
        capability = torch.cpu.get_capabilities()
        native = capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16")
        return "bf16" if native else "fp32"
    return "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Convolutions and matrix products in bf16 inside, weights stay float32.

    Without its cache of cast weights: that outlives an optimizer step and would hand the old weights to the next
    forward pass, and a cast made without gradients would cut the graph of the next one with them.
    """
    if precision == "fp32":
        return nullcontext()
    return cast(
        AbstractContextManager[object],
        torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False),
    )
