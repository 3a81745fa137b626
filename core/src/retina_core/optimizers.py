"""Adam in one pass over the weights, whatever order they lie in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """Kingma and Ba 2015, arXiv 1412.6980; its arithmetic gets every tensor as it lies in memory.

    torch's fused CPU kernel copies channels-last gradients to channels-first and back, which takes three quarters
    of its time, and it reads a weight and its moments side by side in memory, so that moments in another layout
    than their weight's would be mixed up without an error. Adam works element by element: handed over in memory
    order, neither happens. (The method overridden is torch's own and private; a test holds it to its promise.)
    """

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        gradients: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        *others: list[Tensor],
    ) -> bool:
        base: Any = super()
        complex_: bool = base._init_group(group, params, gradients, first, second, *others)
        for place, weight in enumerate(params):
            state = self.state[weight]
            state["exp_avg"] = first[place] = _laid_like(first[place], weight)
            state["exp_avg_sq"] = second[place] = _laid_like(second[place], weight)
            gradients[place] = _laid_like(gradients[place], weight)
            order = sorted(range(weight.ndim), key=weight.stride, reverse=True)
            for tensors in (params, gradients, first, second):
                tensors[place] = tensors[place].permute(order)
        return complex_


def fused_adam(
    network: nn.Module, learning_rate: float, betas: tuple[float, float], weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Adam (AdamW, arXiv 1711.05101, where there is weight decay), fused: one pass over the weights, not seven."""
    device = next(network.parameters()).device.type
    return Adam(
        network.parameters(),
        lr=learning_rate,
        betas=betas,
        weight_decay=weight_decay,
        decoupled_weight_decay=bool(weight_decay),
        fused=device in {"cpu", "cuda", "mps"},
    )


def _laid_like(tensor: Tensor, weight: Tensor) -> Tensor:
    """The tensor itself where it lies as the weight does, else a copy that does."""
    if tensor.stride() == weight.stride():
        return tensor
    return torch.empty_like(weight, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
