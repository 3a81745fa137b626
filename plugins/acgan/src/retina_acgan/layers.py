"""Layers whose speed of learning does not depend on the size of their weights, and what looks at a whole batch.

Karras et al. 2018, arXiv 1710.10196, sections 3 and 4: equalised learning rate, pixelwise normalisation, minibatch
standard deviation. Not in Odena et al. 2017, whose plain layers drew nothing from a few thousand label maps. Departures:

- Doubling and a convolution are one transposed convolution with a 4 x 4 kernel, a convolution and halving one strided
  convolution: the same sums in about half the time.
- The minibatch deviation takes the largest group that divides the batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

SLOPE = 0.2
HE_GAIN = math.sqrt(2.0)
TINY = 1e-8


class EqualConv2d(nn.Conv2d):
    """Convolution of equalised learning rate: weights from N(0, 1), scaled by He's constant when they are used."""

    def __init__(
        self, f_in: int, f_out: int, kernel: int, *, padding: int = 0, gain: float = HE_GAIN
    ) -> None:
        super().__init__(f_in, f_out, kernel, padding=padding)
        self.scale = gain / math.sqrt(f_in * kernel**2)

    def reset_parameters(self) -> None:
        """Weights from N(0, 1), biases 0."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class DoublingConv2d(EqualConv2d):
    """Nearest doubling, then a 3 x 3 convolution: (b f_in h w) -> (b f_out 2h 2w)."""

    def __init__(self, f_in: int, f_out: int) -> None:
        super().__init__(f_in, f_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kernel = spread(self.weight * self.scale).flip(2, 3).transpose(0, 1)  # f_in f_out 4 4
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class HalvingConv2d(EqualConv2d):
    """A 3 x 3 convolution, then means of 2 x 2 pixels: (b f_in h w) -> (b f_out h/2 w/2)."""

    def __init__(self, f_in: int, f_out: int) -> None:
        super().__init__(f_in, f_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, spread(self.weight * (self.scale / 4)), self.bias, stride=2, padding=1)


class EqualLinear(nn.Linear):
    """Linear layer of equalised learning rate: (b f_in) -> (b f_out)."""

    def __init__(self, f_in: int, f_out: int, *, gain: float = HE_GAIN) -> None:
        super().__init__(f_in, f_out)
        self.scale = gain / math.sqrt(f_in)

    def reset_parameters(self) -> None:
        """Weights from N(0, 1), biases 0."""
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class MinibatchDeviation(nn.Module):
    """Appends one channel, the mean standard deviation over a group of samples: (b f h w) -> (b f+1 h w)."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        size = next(size for size in range(min(len(x), self.group), 0, -1) if len(x) % size == 0)
        groups = rearrange(x.float(), "(g n) f h w -> g n f h w", g=size)
        deviation = (groups.var(dim=0, correction=0) + TINY).sqrt()  # n f h w
        means = reduce(deviation, "n f h w -> n", "mean").to(x.dtype)
        plane = repeat(means, "n -> (g n) 1 h w", g=size, h=x.shape[2], w=x.shape[3])
        return torch.cat([x, plane], dim=1)  # b f+1 h w


def pixel_norm(x: Tensor) -> Tensor:
    """Each pixel's features (b f ...) scaled to a root mean square of 1, worked out in float32."""
    square = x.float().square().mean(dim=1, keepdim=True)
    return x * torch.rsqrt(square + TINY).to(x.dtype)


def leaky(x: Tensor) -> Tensor:
    """Leaky rectifier of slope 0.2 (Odena et al. 2017, appendix A)."""
    return F.leaky_relu(x, SLOPE)


def spread(kernel: Tensor) -> Tensor:
    """Kernels (o i 3 3) of a convolution whose input doubles pixels, or whose output sums four: (o i 4 4)."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    return padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]
