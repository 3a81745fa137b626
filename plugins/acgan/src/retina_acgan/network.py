"""Generator of label maps of an asked grade, and a discriminator that tells the grade too.

Odena et al. 2017, arXiv 1610.09585, "Conditional Image Synthesis With Auxiliary Classifier GANs", section 3: the class
goes into the generator with the noise, and comes out of the discriminator beside real or fake. One channel for each
structure, and 256 px, as Son et al. 2021 ("Synthesis of Diabetic Retina Fundus Images Using Semantic Label Generation",
section 2), who do not print their layers. Departures, ours where no paper is named:

- Equalised learning rate, pixelwise normalisation in place of batch normalisation, minibatch deviation
  (``layers.py``): a sample then depends on no other of its batch.
- What a block draws is added to what the coarser ones drew, and the discriminator sees the map at each size (Karras et
  al. 2020, arXiv 1912.04958, section 4.1 and figure 7). So the weights of a stage at 128 px draw at 256 px from the first
  step on, and the networks can be trained at coarser sizes first.
- The grade is a code of four steps, none of them for 0 and all for 4, because grades have an order; it enters each
  block too, as a bias: lesions are drawn in the last ones. All its weights begin at 0: a grade that was never seen draws
  as the nearest lower one that was, not at random.
- The output is a tanh, as theirs, of which the bias begins where nearly nothing is marked: real maps are exactly that
  nearly everywhere, and a discriminator that sees seven channels of it told a linear output from them at once.
- Noise for each pixel from 16 px on (Karras et al. 2019, arXiv 1812.04948, section 3.2): where a lesion
  lies is chance, and need not be told by the noise that shapes the eye.
- The discriminator counts maps from their background, and scales its first layers as for the starter's channels whatever
  their number (``FromMaps``).
- The classifier reads features before the minibatch deviation, pooled by their mean: each eye's grade is its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from retina_acgan.layers import (
    HE_GAIN,
    DoublingConv2d,
    EqualConv2d,
    EqualLinear,
    HalvingConv2d,
    MinibatchDeviation,
    leaky,
    pixel_norm,
)
from retina_core.grades import GRADES
from retina_core.randomness import normal

STEM_PX: Final = 4
REFERENCE_PX: Final = 128
LEAST_WIDTH: Final = 4
BACKGROUND: Final = -1.0
"""Of maps, to the networks."""
USUAL_CHANNELS: Final = 6
"""As many as the starter has."""
CHANCE_PX: Final = 16
"""The coarsest maps with noise of their own at each pixel."""
BACKGROUND_LOGIT: Final = -1.5
"""What a fresh generator draws everywhere, before the tanh: nearly nothing is marked, as in most of every map."""


def sizes(resolution: int) -> list[int]:
    """Sides of the maps on the way to ``resolution``, a power of two from 8 px on: 4, 8, 16, ..."""
    return [STEM_PX << step for step in range((resolution // STEM_PX).bit_length())]


def features_at(px: int, width: int, max_width: int) -> int:
    """Features of the layers that work on maps of ``px``."""
    return max(min(width * REFERENCE_PX // px, max_width), LEAST_WIDTH)


def steps_of(grades: Tensor) -> Tensor:
    """The code of grades (b) from 0 to 4: (b 4), as many ones as the grade says, then zeros."""
    return (torch.arange(len(GRADES) - 1, device=grades.device) < grades[:, None]).float()


def chance(rngs: Sequence[torch.Generator], px: int) -> list[Tensor]:
    """Noise for each pixel of each size that has it, coarse first: (b 1 16 16), ..., (b 1 p p)."""
    return [normal(rngs, 1, side, side) for side in sizes(px) if side >= CHANCE_PX]


class Generator(nn.Module):
    """Noise and grades to maps: (b z), (b) -> (b k p p) in [-1, 1], where p is the size that it works at."""

    grown_px: Tensor

    def __init__(self, *, latent: int, channels: int, resolution: int, width: int, max_width: int) -> None:
        super().__init__()
        widths = {px: features_at(px, width, max_width) for px in sizes(resolution)}
        self.stem = GeneratorStem(latent, widths[STEM_PX])
        self.blocks = nn.ModuleDict(
            {
                str(px): GeneratorBlock(widths[px // 2], f, noisy=px >= CHANCE_PX)
                for px, f in widths.items()
                if px > STEM_PX
            }
        )
        self.to_maps = nn.ModuleDict(
            {str(px): EqualConv2d(f, channels, 1, gain=1.0) for px, f in widths.items()}
        )
        nn.init.constant_(self.to_maps[str(STEM_PX)].get_parameter("bias"), BACKGROUND_LOGIT)
        # A buffer, so that weights on disk know how to draw with themselves, at whatever moment they were written.
        self.register_buffer("grown_px", torch.tensor(resolution))

    def forward(self, z: Tensor, grades: Tensor, noises: Sequence[Tensor]) -> Tensor:
        code, waiting = steps_of(grades).to(z.dtype), iter(noises)
        x = self.stem(z, code)  # b f 4 4
        maps: Tensor = self.to_maps[str(STEM_PX)](x).float()  # b k 4 4
        for px in sizes(int(self.grown_px))[1:]:
            x = self.blocks[str(px)](x, code, next(waiting) if px >= CHANCE_PX else None)  # b f p p
            maps = doubled(maps) + self.to_maps[str(px)](x).float()  # b k p p
        return maps.tanh()


class GeneratorStem(nn.Module):
    """Noise, on the unit sphere, and the grade's code to the first features: (b z), (b 4) -> (b f 4 4)."""

    def __init__(self, latent: int, f: int) -> None:
        super().__init__()
        self.dense = EqualLinear(latent, f * STEM_PX**2)
        self.grade = GradeBias(f)
        self.conv = EqualConv2d(f, f, 3, padding=1)

    def forward(self, z: Tensor, code: Tensor) -> Tensor:
        x = self.dense(pixel_norm(z))
        x = rearrange(x, "b (h w f) -> b f h w", h=STEM_PX, w=STEM_PX)  # b f 4 4
        x = pixel_norm(leaky(x + self.grade(code)))
        return pixel_norm(leaky(self.conv(x)))


class GeneratorBlock(nn.Module):
    """One doubling: (b f_in p/2 p/2), (b 4) -> (b f_out p p)."""

    def __init__(self, f_in: int, f_out: int, *, noisy: bool) -> None:
        super().__init__()
        self.up = DoublingConv2d(f_in, f_out)
        self.conv = EqualConv2d(f_out, f_out, 3, padding=1)
        self.grade = GradeBias(f_out)
        self.loudness = nn.Parameter(torch.zeros(1, f_out, 1, 1)) if noisy else None

    def forward(self, x: Tensor, code: Tensor, noise: Tensor | None) -> Tensor:
        x = self.up(x)  # b f_out p p
        if self.loudness is not None and noise is not None:
            x = x + self.loudness * noise.to(x.device, x.dtype)
        x = pixel_norm(leaky(x + self.grade(code)))
        return pixel_norm(leaky(self.conv(x)))


class GradeBias(nn.Module):
    """A grade's code to a bias of each feature: (b 4) -> (b f 1 1); nothing before it has learnt."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(f, len(GRADES) - 1))

    def forward(self, code: Tensor) -> Tensor:
        return rearrange(F.linear(code, self.weight.to(code.dtype)), "b f -> b f 1 1")


class Discriminator(nn.Module):
    """Maps to logits, high for real, and to those of each grade: (b k p p) in about [-1, 1] -> (b), (b 5)."""

    def __init__(self, *, channels: int, resolution: int, width: int, max_width: int, group: int) -> None:
        super().__init__()
        widths = {px: features_at(px, width, max_width) for px in sizes(resolution)}
        self.from_maps = nn.ModuleDict({str(px): FromMaps(channels, f) for px, f in widths.items()})
        self.blocks = nn.ModuleDict(
            {str(px): DiscriminatorBlock(f, widths[px // 2]) for px, f in widths.items() if px > STEM_PX}
        )
        self.head = DiscriminatorHead(widths[STEM_PX], group)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        side = maps.shape[-1]
        x = self.from_maps[str(side)](maps)  # b f p p
        for px in reversed(sizes(side)[1:]):
            maps = F.avg_pool2d(maps, 2)  # b k p/2 p/2
            x = (self.blocks[str(px)](x) + self.from_maps[str(px // 2)](maps)) * 0.5**0.5  # b f p/2 p/2
        real, grades = self.head(x)
        return real, grades


class FromMaps(EqualConv2d):
    """What the discriminator makes of the maps of one size first: (b k p p) in about [-1, 1] -> (b f p p).

    Maps are counted from the background, and weights scaled as for ``USUAL_CHANNELS``, whatever their number. So a
    channel in which nothing is marked counts nothing, and weights that learnt from other channels judge as they did.
    """

    def __init__(self, channels: int, f: int) -> None:
        super().__init__(channels, f, 1)
        self.scale = HE_GAIN / math.sqrt(USUAL_CHANNELS)

    def forward(self, maps: Tensor) -> Tensor:
        return leaky(super().forward(maps - BACKGROUND))


class DiscriminatorBlock(nn.Module):
    """One halving: (b f_in p p) -> (b f_out p/2 p/2)."""

    def __init__(self, f_in: int, f_out: int) -> None:
        super().__init__()
        self.conv = EqualConv2d(f_in, f_in, 3, padding=1)
        self.down = HalvingConv2d(f_in, f_out)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky(self.conv(x))
        return leaky(self.down(x))  # b f_out p/2 p/2


class DiscriminatorHead(nn.Module):
    """The last features to both kinds of logits: (b f 4 4) -> (b), (b 5)."""

    def __init__(self, f: int, group: int) -> None:
        super().__init__()
        self.deviation = MinibatchDeviation(group)
        self.conv = EqualConv2d(f + 1, f, 3, padding=1)
        self.dense = EqualConv2d(f, f, STEM_PX)
        self.judge = EqualLinear(f, 1, gain=1.0)
        self.classify = EqualLinear(f, len(GRADES), gain=1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grades: Tensor = self.classify(reduce(x, "b f h w -> b f", "mean"))  # b 5
        x = self.deviation(x)  # b f+1 4 4
        x = leaky(self.conv(x))  # b f 4 4
        x = leaky(self.dense(x))  # b f 1 1
        real: Tensor = self.judge(rearrange(x, "b f 1 1 -> b f"))  # b 1
        return rearrange(real, "b 1 -> b").float(), grades.float()


def doubled(maps: Tensor) -> Tensor:
    """Maps (b k h w) at twice the size, interpolated: (b k 2h 2w)."""
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
