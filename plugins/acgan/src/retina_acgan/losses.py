"""The game about real and fake, the one about grades, a penalty, and what a batch lacks of variety."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE_PX = 16
"""Size at which maps are compared: finer, two eyes differ nearly as much where one is the other, shifted a little."""
UNKNOWN = -100
"""What ``cross_entropy`` leaves out."""


def smoothed_d_loss(real_logits: Tensor, fake_logits: Tensor, smoothing: float) -> Tensor:
    """-(1 - s) log D(x) - s log(1 - D(x)) - log(1 - D(G(z))), means (Salimans et al. 2016, arXiv 1606.03498, sec. 3.4)."""
    real = (1 - smoothing) * F.softplus(-real_logits) + smoothing * F.softplus(real_logits)
    return real.mean() + F.softplus(fake_logits).mean()


def logistic_g_loss(fake_logits: Tensor) -> Tensor:
    """Mean of -log D(G(z)), the non-saturating form (Goodfellow et al. 2014, arXiv 1406.2661, section 3)."""
    return F.softplus(-fake_logits).mean()


def grade_loss(logits: Tensor, grades: Tensor) -> Tensor:
    """Mean of -log P(C = c | x) over maps whose grade c (b) is known, not -1 (Odena et al. 2017, equation 3).

    0, with a slope of 0, where none is.
    """
    known = torch.where(grades >= 0, grades, UNKNOWN)
    total = F.cross_entropy(logits, known, ignore_index=UNKNOWN, reduction="sum")
    return total / (grades >= 0).sum().clamp_min(1)


def r1_penalty(logits: Tensor, maps: Tensor) -> Tensor:
    """Mean over b of ||grad_x D(x)||^2 / 2 at real maps x (Mescheder et al. 2018, arXiv 1801.04406, equation 9)."""
    (slope,) = torch.autograd.grad(logits.sum(), maps, create_graph=True)  # b k h w
    return slope.float().square().sum(dim=(1, 2, 3)).mean() / 2.0


def variety(maps: Tensor) -> Tensor:
    """Mean distance (k) between two maps of a batch (b k h w), channel by channel: mean |x_i - x_j|, coarse."""
    coarse = F.adaptive_avg_pool2d(maps.float(), min(COARSE_PX, maps.shape[-1]))  # b k c c
    apart = (coarse[:, None] - coarse[None]).abs().mean((3, 4))  # b b k
    return apart.sum((0, 1)) / max(len(maps) * (len(maps) - 1), 1)


def variety_gap(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over channels of max(0, 1 - V(fake) / V(real)): 0 where drawn maps (b k h w) differ as much as real ones.

    Channels in which the real maps of the batch are all the same ask for nothing. Not in the papers: without it a
    generator that has learnt one vessel tree is slow to learn others.
    """
    wanted = variety(real).detach()
    lacking = torch.relu(1 - variety(fake) / wanted.clamp_min(1e-6))
    return (lacking * (wanted > 1e-6)).mean()
