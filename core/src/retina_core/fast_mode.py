"""Networks made ready for painting thousands of photographs: weights kept in bf16, compiled where that repays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn.utils import parametrize

from retina_core.config import Precision
from retina_core.devices import autocast, resolve_precision
from retina_core.stages import Stage

Mode = Literal["fp32", "bf16", "compiled"]

PRODUCTS = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers that autocast multiplies in bf16."""
COMPILED_PICTURES = 1000
"""Photographs of 256 px from which on compiling repays: it takes 6 to 21 s, and saves some 40 ms a photograph."""


def choose_mode(precision: Precision, device: torch.device, pictures: int, image_px: int) -> Mode:
    """The mode for a run of so many photographs in all, the same for each of the machines that share it."""
    if resolve_precision(precision, device) == "fp32":
        return "fp32"
    enough = pictures * image_px**2 >= COMPILED_PICTURES * 256**2
    return "compiled" if enough and _compiling_helps(device) else "bf16"


def make_ready(stage: Stage, mode: Mode) -> None:
    """Bring a stage that is only used, and no longer trained, into a mode.

    Spectral norms are worked out once, and the weights of convolutions and linear layers are cast once: autocast
    casts them to the same bits, but anew at each call. Norms stay float32.
    """
    if mode == "fp32":
        return
    for network in stage.networks().values():
        for module in network.modules():
            for name in list(getattr(module, "parametrizations", ())):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            if isinstance(module, PRODUCTS):
                module.to(torch.bfloat16)
        if mode == "compiled":
            network.compile(dynamic=False)


@contextmanager
def fast(stage: Stage, mode: Mode) -> Iterator[None]:
    """Inside, a stage that was made ready works in its mode, and without gradients."""
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(autocast(stage.device, "fp32" if mode == "fp32" else "bf16"))
        if mode == "compiled":
            from torch._dynamo import config

            # A network that cannot be compiled runs as it is; torch logs why.
            patch = cast(Callable[..., Any], config.patch)
            stack.enter_context(patch(suppress_errors=True))
        yield


def _compiling_helps(device: torch.device) -> bool:
    """Whether there is a compiler, and arithmetic fast enough for the rest to matter.

    Measured with ``pix2pix`` at 256 px and AVX-512 bf16 without AMX: 372 ms for 8 photographs compiled, 336 as it is.
    """
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return bool(has_triton())
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16")) and has_cpp_compiler()


def has_cpp_compiler() -> bool:
    """Whether torch finds a C++ compiler; without one a compiled network fails at its first call."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception:  # whatever torch raises where it finds none
        return False
    return True
