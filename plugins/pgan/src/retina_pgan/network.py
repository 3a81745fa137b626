"""Progressively grown generator and discriminator for label maps.

Karras et al. 2018, arXiv 1710.10196, "Progressive Growing of GANs": section 2 and figure 2 (growing and fading in),
table 2 (blocks). Layers and their departures: ``layers.py``. Departures here:

- All weights exist from construction on; what has not been reached yet gets no gradient. Blocks are named by the
  size of their maps in pixels and have as many features at any final resolution, so that a stage can go on from a
  coarser one's weights.
- Widths: as many features as ``width`` says at 128 px, twice at each coarser size up to ``max_width``, half at each
  finer one. ``width`` 128 and ``max_width`` 512 are the paper's.
- The discriminator counts maps from their background, and scales its first layers as for the starter's channels whatever
  their number (``FromMaps``).
- Where the paper has photographs, these are planes over [-1, 1] that stand for label maps (``targets.py``). As in the
  paper, no activation bounds what the generator draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from retina_pgan.layers import (
    HE_GAIN,
    DoublingConv2d,
    EqualConv2d,
    EqualLinear,
    HalvingConv2d,
    MinibatchDeviation,
    leaky,
    leaky_pixel_norm,
    pixel_norm,
)

STEM_PX = 4
REFERENCE_PX = 128
LEAST_WIDTH = 4
BACKGROUND = -1.0
"""Of maps, to the networks."""
USUAL_CHANNELS = 2
"""As many as the starter has."""


class Growth(NamedTuple):
    """How far a network has grown."""

    px: int
    """Side of the maps that it works at."""
    alpha: float = 1.0
    """How far the layers of this size are faded in, from 0 (not at all) to 1."""


def sizes(resolution: int) -> list[int]:
    """Sides of the maps on the way to ``resolution``, a power of two from 8 px on: 4, 8, 16, ..."""
    return [STEM_PX << step for step in range((resolution // STEM_PX).bit_length())]


def features_at(px: int, width: int, max_width: int) -> int:
    """Features of the layers that work on maps of ``px``."""
    return max(min(width * REFERENCE_PX // px, max_width), LEAST_WIDTH)


class Generator(nn.Module):
    """Noise to maps: (b z) -> (b k p p) in about [-1, 1], where p is the size it has grown to."""

    grown_px: Tensor
    alpha: Tensor

    def __init__(self, *, latent: int, planes: int, resolution: int, width: int, max_width: int) -> None:
        super().__init__()
        widths = {px: features_at(px, width, max_width) for px in sizes(resolution)}
        self.stem = GeneratorStem(latent, widths[STEM_PX])
        self.blocks = nn.ModuleDict(
            {str(px): GeneratorBlock(widths[px // 2], f) for px, f in widths.items() if px > STEM_PX}
        )
        self.to_maps = nn.ModuleDict(
            {str(px): EqualConv2d(f, planes, 1, gain=1.0) for px, f in widths.items()}
        )
        # Buffers, so that weights on disk know how to draw with themselves, at whatever moment they were written.
        self.register_buffer("grown_px", torch.tensor(resolution))
        self.register_buffer("alpha", torch.tensor(1.0))

    @property
    def growth(self) -> Growth:
        """How far it has grown."""
        return Growth(int(self.grown_px), float(self.alpha))

    def grow(self, growth: Growth) -> None:
        """Take down how far it has grown."""
        self.grown_px.fill_(growth.px)
        self.alpha.fill_(growth.alpha)

    def forward(self, z: Tensor, growth: Growth) -> Tensor:
        x = before = self.stem(z)  # b f 4 4
        for px in sizes(growth.px)[1:]:
            before, x = x, self.blocks[str(px)](x)  # b f p/2 p/2, b f p p
        maps: Tensor = self.to_maps[str(growth.px)](x).float()  # b k p p
        if growth.alpha < 1:
            coarse = self.to_maps[str(growth.px // 2)](before).float()  # b k p/2 p/2
            maps = torch.lerp(doubled(coarse), maps, growth.alpha)
        return maps


class GeneratorStem(nn.Module):
    """Noise, on the unit sphere, to the first features: (b z) -> (b f 4 4)."""

    def __init__(self, latent: int, f: int) -> None:
        super().__init__()
        self.dense = EqualLinear(latent, f * STEM_PX**2)
        self.conv = EqualConv2d(f, f, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(pixel_norm(z))
        x = leaky_pixel_norm(rearrange(x, "b (h w f) -> b f h w", h=STEM_PX, w=STEM_PX))  # b f 4 4
        return leaky_pixel_norm(self.conv(x))


class GeneratorBlock(nn.Module):
    """One doubling: (b f_in p/2 p/2) -> (b f_out p p)."""

    def __init__(self, f_in: int, f_out: int) -> None:
        super().__init__()
        self.up = DoublingConv2d(f_in, f_out)
        self.conv = EqualConv2d(f_out, f_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_pixel_norm(self.up(x))  # b f_out p p
        return leaky_pixel_norm(self.conv(x))


class Discriminator(nn.Module):
    """Maps to logits, high for real: (b k p p) in about [-1, 1] -> (b)."""

    def __init__(self, *, planes: int, resolution: int, width: int, max_width: int, group: int) -> None:
        super().__init__()
        widths = {px: features_at(px, width, max_width) for px in sizes(resolution)}
        self.from_maps = nn.ModuleDict({str(px): FromMaps(planes, f) for px, f in widths.items()})
        self.blocks = nn.ModuleDict(
            {str(px): DiscriminatorBlock(f, widths[px // 2]) for px, f in widths.items() if px > STEM_PX}
        )
        self.head = DiscriminatorHead(widths[STEM_PX], group)

    def forward(self, maps: Tensor, growth: Growth) -> Tensor:
        x = self.from_maps[str(growth.px)](maps)  # b f p p
        for px in reversed(sizes(growth.px)[1:]):
            x = self.blocks[str(px)](x)  # b f p/2 p/2
            if px == growth.px and growth.alpha < 1:
                coarse = self.from_maps[str(px // 2)](halved(maps))
                x = torch.lerp(coarse.float(), x.float(), growth.alpha).to(x.dtype)
        logits: Tensor = self.head(x)
        return logits


class FromMaps(EqualConv2d):
    """What the discriminator makes of the maps of one size first: (b k p p) in about [-1, 1] -> (b f p p).

    Maps are counted from the background, and weights scaled as for ``USUAL_CHANNELS``, whatever their number. So a
    channel in which nothing is marked counts nothing, and weights that learnt from other channels judge as they did.
    """

    def __init__(self, planes: int, f: int) -> None:
        super().__init__(planes, f, 1)
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
    """The last features to a logit: (b f 4 4) -> (b)."""

    def __init__(self, f: int, group: int) -> None:
        super().__init__()
        self.deviation = MinibatchDeviation(group)
        self.conv = EqualConv2d(f + 1, f, 3, padding=1)
        self.dense = EqualConv2d(f, f, STEM_PX)
        self.judge = EqualLinear(f, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.deviation(x)  # b f+1 4 4
        x = leaky(self.conv(x))  # b f 4 4
        x = leaky(self.dense(x))  # b f 1 1
        logits: Tensor = self.judge(rearrange(x, "b f 1 1 -> b f"))  # b 1
        return rearrange(logits, "b 1 -> b").float()


def faded(maps: Tensor, growth: Growth) -> Tensor:
    """Real maps (b k p p) as they are while layers fade in: as coarse as what the generator then draws (figure 2)."""
    if growth.alpha >= 1:
        return maps
    return torch.lerp(doubled(halved(maps)), maps, growth.alpha)


def doubled(maps: Tensor) -> Tensor:
    """Each pixel four times: (b k h w) -> (b k 2h 2w)."""
    return F.interpolate(maps, scale_factor=2, mode="nearest")


def halved(maps: Tensor) -> Tensor:
    """Means of 2 x 2 pixels: (b k h w) -> (b k h/2 w/2)."""
    return F.avg_pool2d(maps, 2)
