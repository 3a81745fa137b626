"""SPADE: a label map and its field of view to a retinal photograph, in a manner of its own or of another photograph.

Park, Liu, Wang and Zhu 2019, arXiv 1903.07291 (section 3, figures 2 to 4, appendix A), as Son et al. 2021 use it at
512 px. Departures, each with its reason:

- The condition is every label channel and the field of view, brought to each block's size by means of areas: nearest
  neighbours, as in the released code, would lose vessels that are a pixel wide. Outside of the field of view the
  photograph is black by construction.
- Blocks stand at 4, 8, 16, ... px, the first one at 4 px whatever the resolution, and are named by their size. Features
  depend on the size alone (``width`` at ``width_px`` and finer, doubled at each coarser one), so that weights learnt at
  128 px go on at 256 px, where one more block follows. With ``width_px`` at the resolution they are the paper's.
- Instance norm by default: the paper's batch norm, for which there is ``norm="batch"``, needs batches of dozens.
- An instance norm takes away the mean of every feature, and with it whatever the paper's linear stem knows of a style.
  So a style also sets scale and shift of every norm (as in Huang and Belongie 2017, arXiv 1703.06868), besides the label
  map: without, one label map gives one colour.
- ``grain``: one number of noise per pixel, weighed per feature, in each block (Karras et al. 2019, arXiv 1812.04948,
  figure 1): the texture of a background is in no label map, and blotches are what a network without noise makes of it.
- A block's first and its shortcut's norm, which are the same, are computed once, before the doubling, which leaves means
  and deviations as they are. The same arithmetic in fewer passes.
- Spectral norm on the convolutions of the residual blocks, as in the released code, not on those that make scales and
  shifts from label maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Generator as Randomness
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.norms import InstanceNorm2d
from retina_core.randomness import normal
from retina_spade.building import SLOPE, STEM_PX, block_sizes, init_layer
from retina_spade.spectral import spectral_norm
from retina_spade.styles import StyleEncoder

NormKind = Literal["instance", "batch"]


class Generator(nn.Module):
    """Label maps (b k h w), fov (b 1 h w) and styles (b z) to photos (b c h w) in [-1, 1]."""

    def __init__(
        self,
        *,
        channels: int,
        resolution: int,
        width: int,
        width_px: int,
        max_width: int,
        hidden: int,
        norm: NormKind = "instance",
        grain: bool = False,
        encoder: StyleEncoder | None = None,
        colours: int = 3,
    ) -> None:
        super().__init__()
        latent = encoder.latent if encoder is not None else 0
        sizes = block_sizes(resolution)
        widths = [features_at(px, width, width_px, max_width) for px in sizes]
        f_label = channels + 1
        self.grain = grain
        self.stem = nn.Conv2d(f_label, widths[0], 3, padding=1)
        self.style_stem = nn.Linear(latent, widths[0] * STEM_PX**2) if latent else None
        pairs = [(widths[0], widths[0]), *pairwise(widths)]
        self.blocks = nn.ModuleDict(
            {
                str(px): Block(f_in, f_out, f_label, hidden, latent, norm, grain)
                for px, (f_in, f_out) in zip(sizes, pairs, strict=True)
            }
        )
        self.head = nn.Conv2d(widths[-1], colours, 3, padding=1)
        self.apply(init_weights)
        # Inside, because it learns by the same loss and is averaged alike.
        self.encoder = encoder

    def forward(
        self,
        labels: Tensor,
        fov: Tensor,
        style: Tensor | None = None,
        rngs: Sequence[Randomness] | None = None,
    ) -> Tensor:
        """Paint; ``rngs``, one generator per sample, draw the grain: without them there is none."""
        # All of it first, so that the rest is arithmetic alone and can be compiled in one piece.
        grain = self.draw_grain(rngs, labels)
        maps = pyramid(torch.cat([labels, fov], dim=1))  # b k+1 4 4, b k+1 8 8, ... b k+1 h w
        x = self.stem(maps[STEM_PX])  # b f 4 4
        if self.style_stem is not None and style is not None:
            x = x + self.style_stem(style).view_as(x)
        for px, block in self.blocks.items():
            x = block(x, maps[int(px)], style, grain.get(int(px)))  # b f 4 4, b f 8 8, ... b f h w
        return inside(self.head(F.leaky_relu(x, SLOPE)), fov)  # b c h w

    def draw_grain(self, rngs: Sequence[Randomness] | None, like: Tensor) -> dict[int, Tensor]:
        """Noise (b 1 px px) for each block."""
        if rngs is None or not self.grain:
            return {}
        sizes = [int(px) for px in self.blocks]
        numbers = normal(rngs, sum(px * px for px in sizes)).to(like.device)  # b n
        parts = torch.split(numbers, [px * px for px in sizes], dim=1)
        return {px: part.view(-1, 1, px, px) for px, part in zip(sizes, parts, strict=True)}


class Block(nn.Module):
    """(b f_in h w) -> (b f_out 2h 2w), or of the same size where ``maps`` are: the SPADE residual block (figure 3).

    ``maps`` (b k+1 2h 2w) are the condition, ``style`` (b z), ``grain`` (b 1 2h 2w) noise.
    """

    def __init__(
        self, f_in: int, f_out: int, f_label: int, hidden: int, latent: int, norm: NormKind, grain: bool
    ) -> None:
        super().__init__()
        f_mid = min(f_in, f_out)
        self.norm_in, self.norm_mid = plain_norm(norm, f_in), plain_norm(norm, f_mid)
        features = [f_in, f_mid] if f_in == f_out else [f_in, f_mid, f_in]
        self.modulations = nn.ModuleList([Modulation(f, f_label, hidden, latent) for f in features])
        self.conv_in = spectral_norm(nn.Conv2d(f_in, f_mid, 3, padding=1))
        self.conv_mid = spectral_norm(nn.Conv2d(f_mid, f_out, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(f_in, f_out, 1, bias=False)) if f_in != f_out else None
        self.grain = nn.Parameter(torch.zeros(f_mid, 1, 1)) if grain else None

    def forward(self, x: Tensor, maps: Tensor, style: Tensor | None, grain: Tensor | None) -> Tensor:
        told = self.modulations
        normed = doubled(self.norm_in(x), maps)  # b f_in 2h 2w
        y: Tensor = self.conv_in(lifted(told[0](normed, maps, style)))  # b f_mid 2h 2w
        if self.grain is not None and grain is not None:
            y = torch.addcmul(y, self.grain.to(y.dtype), grain.to(y.dtype))
        y = self.conv_mid(lifted(told[1](self.norm_mid(y), maps, style)))  # b f_out 2h 2w
        if self.shortcut is not None:
            kept: Tensor = self.shortcut(told[2](normed, maps, style))  # b f_out 2h 2w
        else:
            kept = doubled(x, maps)  # b f_out 2h 2w
        return kept + y


class Modulation(nn.Module):
    """Normed features (b f h w) scaled and shifted pixel by pixel as maps (b k+1 h w) say, and all over as a style does.

    Figure 2.
    """

    def __init__(self, f: int, f_label: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(f_label, hidden, 3, padding=1)
        self.scale = nn.Conv2d(hidden, f, 3, padding=1)
        self.shift = nn.Conv2d(hidden, f, 3, padding=1)
        self.style = nn.Linear(latent, 2 * f) if latent else None

    def forward(self, normed: Tensor, maps: Tensor, style: Tensor | None) -> Tensor:
        told = F.relu(self.hidden(maps), inplace=True)  # b f_hidden h w
        if self.style is None or style is None:
            scale, shift = biased(self.scale, told, 1.0), self.shift(told)  # b f h w
        else:
            more, up = self.style(style).chunk(2, dim=1)  # b f
            scale, shift = biased(self.scale, told, more + 1), biased(self.shift, told, up)  # b f h w
        return torch.addcmul(shift, normed, scale)


def biased(convolution: nn.Conv2d, x: Tensor, more: Tensor | float) -> Tensor:
    """The convolution, its bias raised by a number or by one for each sample and feature (b f_out): (b f_out h w).

    A bias costs nothing, an addition as much as reading and writing a large map.
    """
    weight, bias = convolution.weight, cast(Tensor, convolution.bias)
    if isinstance(more, Tensor) and len(more) > 1:
        found = F.conv2d(x, weight, bias, padding="same")  # b f_out h w
        return found.add_(more.to(found.dtype)[:, :, None, None])
    return F.conv2d(x, weight, bias + (more[0] if isinstance(more, Tensor) else more), padding="same")


def lifted(x: Tensor) -> Tensor:
    """Leaky ReLU in place: it overwrites what nothing else needs."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def features_at(px: int, width: int, width_px: int, max_width: int) -> int:
    """Features of the block at ``px``: ``width`` at ``width_px`` and finer, twice as many at each coarser size."""
    return min(width * max(width_px // px, 1), max_width)


def pyramid(maps: Tensor) -> Mapping[int, Tensor]:
    """Maps (b k h w) at each block's size, by means of areas: side -> (b k side side)."""
    found = {maps.shape[-1]: maps}
    while maps.shape[-1] > STEM_PX:
        maps = F.avg_pool2d(maps, 2)  # b k h/2 w/2
        found[maps.shape[-1]] = maps
    return found


def doubled(x: Tensor, like: Tensor) -> Tensor:
    """(b f h w) at the size of ``like``, the same or twice its own, each pixel repeated."""
    return x if x.shape[-1] == like.shape[-1] else F.interpolate(x, scale_factor=2.0, mode="nearest")


def inside(colours: Tensor, fov: Tensor) -> Tensor:
    """Colours before tanh (b c h w) to a photograph in [-1, 1] that is black outside the fov."""
    return torch.tanh(colours.float()) * fov + (fov - 1.0)


def plain_norm(kind: NormKind, f: int) -> nn.Module:
    """A norm without weights of its own (section 3: parameter-free)."""
    return InstanceNorm2d(f) if kind == "instance" else nn.BatchNorm2d(f, affine=False)


def init_weights(module: nn.Module) -> None:
    """Scales and shifts begin small, and styles without effect."""
    init_layer(module)
    if isinstance(module, Modulation):
        for convolution in (module.scale, module.shift):
            nn.init.xavier_normal_(convolution.weight, gain=0.1)
        if module.style is not None:
            nn.init.zeros_(module.style.weight)
