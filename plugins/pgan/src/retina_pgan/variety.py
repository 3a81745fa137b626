"""How much the maps of a batch differ, and a loss where drawn ones differ less from one another than real ones.

A generator that has learnt one tree soon moves it about and is slow to learn others: after 44,000 seen phantoms at
128 px two drawn maps differed half as much as two real ones (.039 of .078, each pixel a mean over an eighth of the
side). The minibatch deviation shows the discriminator what lacks, late; this tells the generator at once. It asks for
as much variety as the real batch has and not for more, unlike mode seeking (Mao et al. 2019, arXiv 1903.05628), which
inspired it. Not in Karras et al. 2018.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE_PX = 16
"""Size at which maps are compared: finer, two trees differ nearly as much where one is the other, shifted a little."""


def variety(maps: Tensor) -> Tensor:
    """Mean distance (p) between two maps of a batch (b p h w), plane by plane: mean |x_i - x_j|, coarse."""
    coarse = F.adaptive_avg_pool2d(maps.float(), min(COARSE_PX, maps.shape[-1]))  # b p c c
    apart = (coarse[:, None] - coarse[None]).abs().mean((3, 4))  # b b p
    pairs = len(maps) * (len(maps) - 1)
    return apart.sum((0, 1)) / max(pairs, 1)


def variety_gap(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over planes of max(0, 1 - V(fake) / V(real)): 0 where drawn maps (b p h w) differ as much as real ones.

    Planes in which the real maps of the batch are all the same ask for nothing.
    """
    wanted = variety(real).detach()
    lacking = torch.relu(1 - variety(fake) / wanted.clamp_min(1e-6))
    return (lacking * (wanted > 1e-6)).mean()
