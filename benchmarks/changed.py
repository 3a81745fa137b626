"""What a discriminator's maps cost to be changed, beside the scheme of the paper."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
import usual
from contest import Contest
from torch import Tensor

from retina_core.config import AdaptiveConfig
from retina_core.randomness import sample_rngs
from retina_core.training.adaptive import AdaptiveAugmentation
from retina_core.training.adaptive_geometry import draw_changes

BATCH, CHANNELS, SIDE, STRENGTH = 16, 2, 64, 0.6

# The low-pass filter of the least asymmetric wavelet of six vanishing moments (Daubechies 1992, table 6.3).
SYM6 = (
    *(-0.0078007083, 0.0017677119, 0.0447249018, -0.0210602925, -0.0726375228, 0.3379294217),
    *(0.7876411410, 0.4910559419, -0.0483117426, -0.1179901111, 0.0034907121, 0.0154041093),
)


def adaptive_augmentation() -> Contest:
    """Forward and backward; StyleGAN2-ADA's own took 320 ms where the goal was set."""
    ada = AdaptiveAugmentation(AdaptiveConfig(ada="fixed", ada_strength=STRENGTH), background=-1.0)
    return Contest(
        f"adaptive augmentation, {SIDE} px, batch {BATCH}, {CHANNELS} channels, forward and backward",
        {"ours": _both_ways(ada), "plain": _both_ways(papers_scheme)},
        "as in the paper's appendix B: resolution doubled by a wavelet filter, read, and filtered down",
        goal_ms=100.0,
    )


def _both_ways(change: Callable[[Tensor, list[torch.Generator]], Tensor]) -> usual.Step:
    maps = torch.rand(BATCH, CHANNELS, SIDE, SIDE).mul_(2).sub_(1).requires_grad_(True)
    seen = 0

    def step() -> None:
        nonlocal seen
        maps.grad = None
        change(maps, sample_rngs(0, BATCH, start=seen)).sum().backward()  # type: ignore[no-untyped-call]
        seen += BATCH

    return step


def papers_scheme(maps: Tensor, rngs: list[torch.Generator]) -> Tensor:
    """(b k h w) mirrored at its edges, doubled, read through the drawn changes, halved."""
    margin = SIDE // 2
    wide = F.pad(maps, [margin] * 4, mode="reflect")
    taps = torch.tensor(SYM6)
    kernel = (taps / taps.sum()).repeat(CHANNELS, 1)
    for across in (kernel[:, None, None], kernel[:, None, :, None]):  # columns, rows
        stride = (1, 2) if across.shape[2] == 1 else (2, 1)
        padding = tuple((size - 1) // 2 for size in across.shape[2:])
        wide = F.conv_transpose2d(wide, across * 2, stride=stride, padding=padding, groups=CHANNELS)
    matrices = draw_changes(rngs, STRENGTH, SIDE, SIDE)
    side, whole = SIDE + 2 * 6, wide.shape[-1]  # the filter reaches six pixels beyond the frame
    theta = matrices[:, :2].float() * (side * 2 / whole)
    theta[:, :, 2] = matrices[:, :2, 2] * 4 / whole
    grid = F.affine_grid(theta, [BATCH, 1, 2 * side, 2 * side], align_corners=False)
    # A pixel less at each edge, so that the filter stands in the middle of the two readings of a pixel.
    read = F.grid_sample(wide, grid, align_corners=False)[:, :, 1:-1, 1:-1]
    for across in (kernel[:, None, None], kernel[:, None, :, None]):
        stride = (1, 2) if across.shape[2] == 1 else (2, 1)
        read = F.conv2d(read, across, stride=stride, groups=CHANNELS)
    cut = (read.shape[-1] - SIDE) // 2
    return read[:, :, cut : cut + SIDE, cut : cut + SIDE]
