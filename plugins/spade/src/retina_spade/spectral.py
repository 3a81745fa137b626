"""Spectral norm in as few passes over the weights as will do.

Miyato et al. 2018, arXiv 1802.05957. A generator of 64 features has 66 million weights under it, which torch's own turns
from channels-last and back, reads three times and rewrites seven times in each step. Departures from that:

- The weights are read as they lie in memory. A matrix whose columns are in another order has the same singular values.
- One half-step of the power iteration gives the singular value with it: two readings instead of three.
- The gradient, (G - <G, W/s> u v') / s, is worked out in one reading and one writing.

Buffers and their names are those of ``torch.nn.utils.parametrizations.spectral_norm``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

ROUNDS = 15
"""Power iterations at construction."""


def spectral_norm(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution, its weights divided by their largest singular value as a matrix (f_out, f_in * h * w)."""
    register_parametrization(convolution, "weight", SpectralNorm(convolution.weight))
    return convolution


class SpectralNorm(nn.Module):
    """Weights (o i h w) to the same over their largest singular value, one power iteration a call while training."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        u, v = weight.new_empty(len(weight)).normal_(), weight.new_empty(weight[0].numel()).normal_()
        self.register_buffer("_u", F.normalize(u, dim=0))
        self.register_buffer("_v", F.normalize(v, dim=0))
        # A folder's shapes are compared on a network without values, for which each round takes as long as a real one.
        for _ in range(0 if weight.is_meta else ROUNDS):
            self._iterate(as_it_lies(weight.detach()), weight.shape)

    def forward(self, weight: Tensor) -> Tensor:
        with exact(weight.device.type):
            matrix = as_it_lies(weight.detach())  # o h*w*i
            if self.training:
                size = self._iterate(matrix, weight.shape)
            else:
                size = torch.dot(self._u, torch.mv(matrix, reordered(self._v, weight.shape)))
            normed: Tensor = cast(Any, _Normed).apply(weight, size, self._u.clone(), self._v.clone())
            return normed

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, shape: torch.Size) -> Tensor:
        """Move both singular vectors on, and give the singular value."""
        v: Tensor = F.normalize(torch.mv(matrix.mT, self._u), dim=0)  # h*w*i
        u = torch.mv(matrix, v)  # o
        size: Tensor = torch.linalg.vector_norm(u).clamp_min(1e-12)
        self._u.copy_(u / size)
        _, i, h, w = shape
        self._v.copy_(v.view(h, w, i).permute(2, 0, 1).flatten())
        return size


class _Normed(torch.autograd.Function):
    """weight / size, where size is u' W v: (o i h w), (), (o), (i*h*w) -> (o i h w)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, size: Tensor, u: Tensor, v: Tensor) -> Tensor:
        normed = weight / size
        ctx.save_for_backward(normed, size, u, v)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        normed, size, u, v = ctx.saved_tensors
        shape = normed.shape
        flat = as_it_lies(gradient)  # o h*w*i
        along = torch.dot(flat.flatten(), as_it_lies(normed).flatten())
        turned = torch.addcmul(flat, (along * u)[:, None], reordered(v, shape)[None], value=-1).div_(size)
        o, i, h, w = shape
        return turned.view(o, h, w, i).permute(0, 3, 1, 2), None, None, None


def exact(device: str) -> AbstractContextManager[object]:
    """Inside, products are of float32: where the memory is the limit there is nothing to gain from less."""
    there = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if there else nullcontext()


def as_it_lies(weight: Tensor) -> Tensor:
    """Weights (o i h w) as a matrix (o, h*w*i), a view where they are channels-last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def reordered(v: Tensor, shape: torch.Size) -> Tensor:
    """A vector in the order of weights as they are counted (i*h*w), in that of ``as_it_lies`` (h*w*i)."""
    _, i, h, w = shape
    return v.view(i, h, w).permute(1, 2, 0).flatten()
