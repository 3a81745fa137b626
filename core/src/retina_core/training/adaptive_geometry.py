"""Random changes of label maps that a discriminator sees: one affine map a sample, one reading of the pixels.

Karras et al. 2020, arXiv 2006.06676, appendix B, the pixel and geometric operations; colour is left out, a label map
has none. Departures, each with its reason:

- What comes in from outside the frame is background instead of a reflection: a mirrored vessel tree is no eye's.
- Normal numbers are cut at three deviations, so that no map shrinks without bound.
- The paper doubles the resolution by a wavelet filter before it turns a map, and filters again after. Here each pixel is
  the mean of 2 x 2 bilinear readings, which lie as far apart as the map is shrunk along each axis: enough that vessels
  a pixel wide do not break into dashes, and nothing is blurred that is not shrunk.

Flips, quarter turns and whole-pixel shifts are exact at sides that are a power of two, within rounding at others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from retina_core.randomness import uniform

_GATES, _VALUES = 8, 10
WHOLE_SHIFT = 0.125
"""Share of the side up to which maps shift by whole pixels."""
SCALE_DEVIATION = 0.2
"""In powers of two, of both scales."""
SHIFT_DEVIATION = 0.125
"""Share of the side, of the fractional shift."""
_CUT = 3.0
"""Deviations at which normal numbers end."""
_TAPS = 2


def draw_changes(rngs: Sequence[torch.Generator], strength: float, height: int, width: int) -> Tensor:
    """One random change a sample: (b 3 3) float64 on the CPU, where in a map each pixel of the changed one is read.

    Coordinates are pixels from the centre, x to the right and y down. Each generator gives the same count of numbers
    whatever the strength, so that what is drawn after does not depend on it.
    """
    numbers = uniform(rngs, _GATES + _VALUES).double()  # b n
    each = torch.full((_GATES,), strength, dtype=torch.float64)
    each[[5, 7]] = 1 - math.sqrt(1 - strength)  # two rotations, of which one is there with the strength
    on = (numbers[:, :_GATES] < each).double()
    value = numbers[:, _GATES:]
    side = torch.tensor([width, height], dtype=torch.float64)

    flip = 1 - 2 * on[:, 0] * (value[:, 0] < 0.5)
    turns = (on[:, 1] * (value[:, 1] * 4).floor()).long()
    whole = (on[:, 2:3] * (value[:, 2:4] * 2 - 1) * WHOLE_SHIFT * side).round()
    scale = torch.exp2(on[:, 3] * SCALE_DEVIATION * _normal(value[:, 4]))
    before = on[:, 5] * (value[:, 5] * 2 - 1) * math.pi
    stretch = torch.exp2(on[:, 4] * SCALE_DEVIATION * _normal(value[:, 6]))
    after = on[:, 7] * (value[:, 7] * 2 - 1) * math.pi
    fraction = on[:, 6:7] * SHIFT_DEVIATION * _normal(value[:, 8:10]) * side

    # The inverse of each change, the first one leftmost.
    steps = [
        _scaled(flip, torch.ones_like(flip)),
        _quarter(-turns),
        _shifted(-whole),
        _scaled(1 / scale, 1 / scale),
        _rotated(-before),
        _scaled(1 / stretch, stretch),
        _rotated(-after),
        _shifted(-fraction),
    ]
    matrix = steps[0]
    for step in steps[1:]:
        matrix = matrix @ step
    return matrix


def change_maps(maps: Tensor, matrices: Tensor, background: float = 0.0) -> Tensor:
    """(b k h w) read through (b 3 3) of ``draw_changes`` -> (b k h w), ``background`` outside; differentiable."""
    along_x, along_y = _readings(matrices, *maps.shape[2:])
    # On the device, exact by hand: a product of matrices might round to ten bits there.
    grid = (
        along_x.to(maps.dtype).to(maps.device)[:, None] + along_y.to(maps.dtype).to(maps.device)[:, :, None]
    )
    # Zeros lie outside, so that zero has to mean background.
    read = F.grid_sample(maps - background, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(read, _TAPS) + background  # b k h w


def _readings(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(b 3 3) -> two parts (b 2w 2) and (b 2h 2) whose sums are the places that are read, in [-1, 1] as x, y."""
    x = _taps(matrices[:, :2, 0], width)  # b 2w
    y = _taps(matrices[:, :2, 1], height)  # b 2h
    half = torch.tensor([width, height], dtype=torch.float64) / 2
    scaled = matrices[:, :2] / half[:, None]  # b 2 3
    along_x = x[:, :, None] * scaled[:, None, :, 0] + scaled[:, None, :, 2]
    return along_x, y[:, :, None] * scaled[:, None, :, 1]


def _taps(step: Tensor, count: int) -> Tensor:
    """Where (b 2n) along one axis of the changed map readings lie, in pixels from the centre.

    One pixel there is ``step`` (b 2) here, of length s. Readings s/4 to each side of a pixel's centre stand in an even
    row, s/2 apart, so that nothing thinner than that is missed; below s = 4/3 less will do, and at s <= 1 nothing.
    A line a pixel wide then varies by an eighth at most along its length up to s = 2; with one reading a pixel, by half
    at s = 1.5.
    """
    length = step.norm(dim=1)
    spread = (1 - 1 / length).clamp(0, 0.25)  # b, in pixels of the changed map
    centres = torch.arange(count, dtype=torch.float64) - (count - 1) / 2  # n
    return rearrange(
        torch.stack([centres - spread[:, None], centres + spread[:, None]], -1), "b n taps -> b (n taps)"
    )


def _normal(uniform_numbers: Tensor) -> Tensor:
    """Standard normal numbers within three deviations, from uniform ones in [0, 1)."""
    within = math.erf(_CUT / math.sqrt(2))
    return math.sqrt(2) * torch.erfinv((uniform_numbers * 2 - 1) * within)


def _scaled(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], -1))  # b 3 3


def _shifted(by: Tensor) -> Tensor:
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(by), 1, 1)
    matrix[:, :2, 2] = by
    return matrix


def _quarter(turns: Tensor) -> Tensor:
    """Rotations by 90 degrees, free of rounding."""
    cos = torch.tensor([1.0, 0.0, -1.0, 0.0], dtype=torch.float64)[turns % 4]
    sin = torch.tensor([0.0, 1.0, 0.0, -1.0], dtype=torch.float64)[turns % 4]
    return _rotation(cos, sin)


def _rotated(angle: Tensor) -> Tensor:
    return _rotation(angle.cos(), angle.sin())


def _rotation(cos: Tensor, sin: Tensor) -> Tensor:
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return rearrange(
        torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], -1), "b (row col) -> b row col", row=3
    )
