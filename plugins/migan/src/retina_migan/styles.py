"""The manner of a photograph in a few numbers, and which manners there are: how one network paints in any style.

MI-GAN trains one network for one style. Here the generator is told of the photograph whose style its losses ask for, so
that ``--style PHOTO`` works when generating (Dumoulin et al. 2017, arXiv 1610.07629; Huang and Belongie 2017, arXiv
1703.06868: a style is scale and shift of the norms). Some dozens of photographs are too few to learn what a style is
from, so the numbers are fixed ones: mean, deviation and correlation of the colours, and their deviation in four octaves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.randomness import normal

OCTAVES = 4
STATISTICS = 9 + 3 * OCTAVES
"""Numbers that tell of a photograph."""
STATISTICS_PX = 128
"""Side that photographs are brought down to for it: one style is the same numbers at every resolution."""
MANNER = 64
"""Numbers that the generator's steps are told."""
FARTHEST = 3.0
"""Deviations from the mean of the styles met, beyond which no number goes: the generator has seen nothing there."""


class StyleReader(nn.Module):
    """Statistics of photographs to what scales and shifts the generator's features, (b 21) -> (b m)."""

    def __init__(self) -> None:
        super().__init__()
        self.met = StylesMet()
        self.layers = nn.Sequential(
            nn.Linear(STATISTICS, MANNER), nn.LeakyReLU(0.2), nn.Linear(MANNER, MANNER), nn.LeakyReLU(0.2)
        )

    def forward(self, statistics: Tensor) -> Tensor:
        manner: Tensor = self.layers(self.met.standardised(statistics))  # b m
        return manner.float()


class StylesMet(nn.Module):
    """Mean and covariance of the statistics (b n) of all style photographs drawn in training.

    They tell of the set as a whole; the style of no single photograph is stored, unless there is one only.
    """

    mean: Tensor
    covariance: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(STATISTICS))
        self.register_buffer("covariance", torch.zeros(STATISTICS, STATISTICS))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def observe(self, statistics: Tensor) -> None:
        """Take in the statistics (n) of one photograph (Welford 1962)."""
        self.count += 1
        away = statistics - self.mean  # n
        self.mean += away / self.count
        added = away[:, None] * (statistics - self.mean)[None]  # n n
        self.covariance += (added - self.covariance) / self.count

    def standardised(self, statistics: Tensor) -> Tensor:
        """In deviations from the mean (b n), as far as styles were met."""
        deviation = (self.covariance.diagonal() + 1e-4).sqrt()
        return ((statistics - self.mean) / deviation).clamp(-FARTHEST, FARTHEST)

    def sample(self, rngs: Sequence[torch.Generator]) -> Tensor:
        """Statistics (b n) of made-up styles like those met, one per generator, float32 on the CPU."""
        noise = normal(rngs, STATISTICS)  # b n
        # The symmetric root: of few styles there is no Cholesky, and eigenvectors alone have no sign.
        values, vectors = torch.linalg.eigh(self.covariance.cpu().double())  # MPS has no double
        root = ((vectors * values.clamp_min(0).sqrt()) @ vectors.mT).float()  # n n
        drawn: Tensor = self.mean.float().cpu() + (noise[:, None] * root).sum(2)
        return drawn


@torch.no_grad()
def style_statistics(photos: Tensor) -> Tensor:
    """Of photos (b 3 h w) in [0, 1], where they are not black: (b 21) float32.

    Mean, deviation and correlation of the colours (3 each), and each colour's deviation within octaves of 2 to 16 of 128 px.
    """
    lit = (photos.amax(1, keepdim=True) > 0).float()  # b 1 h w
    side = min(STATISTICS_PX, photos.shape[-1])
    inside = F.adaptive_avg_pool2d(lit, side)  # b 1 s s
    x = F.adaptive_avg_pool2d(photos.float() * lit, side) / inside.clamp_min(1e-6)  # b 3 s s
    mean = _mean(x, inside)  # b 3
    away = x - mean[:, :, None, None]
    deviation = (_mean(away.square(), inside) + 1e-6).sqrt()  # b 3
    shared = _mean(away * away.roll(1, dims=1), inside) / (deviation * deviation.roll(1, dims=1))  # b 3
    return torch.cat([mean, deviation, shared, *_octaves(x, inside)], dim=1)


def _octaves(x: Tensor, inside: Tensor) -> list[Tensor]:
    """Each colour's deviation (b 3) from its mean over 2, 4, ... px, less than the one before."""
    found = []
    for _ in range(OCTAVES):
        weight = F.avg_pool2d(inside, 2)  # b 1 s/2 s/2
        coarse = F.avg_pool2d(x * inside, 2) / weight.clamp_min(1e-6)  # b 3 s/2 s/2
        rest = x - F.interpolate(coarse, scale_factor=2, mode="nearest")
        found.append((_mean(rest.square(), inside) + 1e-8).sqrt())
        x, inside = coarse, weight
    return found


def _mean(x: Tensor, inside: Tensor) -> Tensor:
    """Mean of (b c s s) where the weights (b 1 s s) are: (b c)."""
    return (x * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1e-6)
