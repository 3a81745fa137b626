"""DCGAN: deep convolutional generative adversarial networks for label maps.

Radford, Metz and Chintala 2016, arXiv 1511.06434 (figure 1 and section 3), as stage I of SynthMed uses it
(Guibas, Virdi and Li 2017, arXiv 1709.01872). Departures, each with its reason:

- Any power of two from 32 to 512 px instead of 64: one strided convolution per doubling, features halved at each
  and capped by ``max_width``, so that the coarse layers of large maps stay affordable.
- Kernels of 4 px instead of 5: an even kernel at stride 2 covers every output pixel equally often, which keeps
  the checkerboard out of thin vessels.
- The discriminator may go without batch norm (``norm="none"``; its weights are then drawn by fan-in) or scale its
  weights instead (``"spectral"``), and may see how much a batch varies (``minibatch_deviation``): 20 maps are few.
  Trials on CHASE_DB1 at 64 px, one seed each: batch norm and no deviation gave clouds of dots with half the real
  variety after 45,000 seen maps; ``"none"`` with deviation, R1 penalty and a rate of 1e-3, changed together,
  gave branching strokes with the real variety after 23,000. Which of these changes it takes was not separated.
- SynthMed describes its discriminator as two 5 x 5 convolutions and fully connected layers, without their widths,
  strides or norms: :class:`SynthMedDiscriminator` fills those in as DCGAN would.

As SynthMed's single GAN (section "Data", figure 7), which the paper says nothing more of, the same networks draw the
photograph as further channels of the picture: k label channels, then its colours.

Inside these networks a map runs over [-1, 1] (paper, section 3: tanh); :func:`to_unit` and :func:`from_unit` cross.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

Norm = Literal["batch", "spectral", "none"]

SMALLEST_PX = 32
LARGEST_PX = 512
STEM_PX = 4
SLOPE = 0.2


def doublings(resolution: int) -> int:
    """How often the 4 px stem doubles to ``resolution``, a power of two from 32 to 512 px."""
    if not (SMALLEST_PX <= resolution <= LARGEST_PX and resolution & (resolution - 1) == 0):
        raise ValueError(
            f"resolution is a power of two from {SMALLEST_PX} to {LARGEST_PX} px, not {resolution}"
        )
    return int(math.log2(resolution // STEM_PX))


def feature_widths(resolution: int, width: int, max_width: int) -> list[int]:
    """Features at 4, 8, ... ``resolution / 2`` px: ``width`` at the finest, doubled at each coarser, capped."""
    return [min(width * 2**step, max_width) for step in reversed(range(doublings(resolution)))]


def to_unit(maps: Tensor) -> Tensor:
    """Maps from the networks' [-1, 1] to the stage border's [0, 1]."""
    return (maps + 1.0) / 2.0


def from_unit(labels: Tensor) -> Tensor:
    """Label maps from the stage border's [0, 1] to the networks' [-1, 1]."""
    return labels * 2.0 - 1.0


def masked(pictures: Tensor, fov: Tensor) -> Tensor:
    """Pictures (b k h w) in [-1, 1] that are empty, and black, outside the fov (b 1 h w) in {0, 1}."""
    return (pictures + 1.0) * fov - 1.0


class Generator(nn.Module):
    """Noise to label maps: (b z) -> (b k h w) in [-1, 1]."""

    def __init__(self, *, latent: int, channels: int, resolution: int, width: int, max_width: int) -> None:
        super().__init__()
        widths = feature_widths(resolution, width, max_width)
        self.stem = nn.Sequential(
            nn.ConvTranspose2d(latent, widths[0], STEM_PX, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.body = nn.Sequential(*(up(f_in, f_out) for f_in, f_out in pairwise(widths)))
        self.head = nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)
        self.apply(init_weights)

    def forward(self, z: Tensor) -> Tensor:
        x = self.stem(rearrange(z, "b z -> b z 1 1"))  # b f 4 4
        x = self.body(x)  # b f h/2 w/2
        return torch.tanh(self.head(x).float())  # b k h w


class Discriminator(nn.Module):
    """Label maps to logits, high for real: (b k h w) in [-1, 1] -> (b)."""

    def __init__(
        self,
        *,
        channels: int,
        resolution: int,
        width: int,
        max_width: int,
        norm: Norm = "batch",
        minibatch_deviation: bool = False,
    ) -> None:
        super().__init__()
        widths = feature_widths(resolution, width, max_width)[::-1]
        self.stem = nn.Sequential(  # section 3: no batch norm on the discriminator's input layer
            strided(channels, widths[0], "spectral" if norm == "spectral" else "none"), nn.LeakyReLU(SLOPE)
        )
        self.body = nn.Sequential(*(down(f_in, f_out, norm) for f_in, f_out in pairwise(widths)))
        self.deviation = MinibatchDeviation() if minibatch_deviation else nn.Identity()
        self.head = by_fan_in(nn.Conv2d(widths[-1] + int(minibatch_deviation), 1, STEM_PX))
        if norm == "batch":
            self.apply(init_weights)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.stem(maps)  # b f h/2 w/2
        x = self.body(x)  # b f 4 4
        x = self.deviation(x)  # b f(+1) 4 4
        logits: Tensor = self.head(x)  # b 1 1 1
        return rearrange(logits, "b 1 1 1 -> b").float()


class SynthMedDiscriminator(nn.Module):
    """SynthMed's discriminator, two 5 x 5 convolutions and two linear layers: (b k h w) in [-1, 1] -> (b)."""

    def __init__(self, *, channels: int, resolution: int, width: int, hidden: int) -> None:
        super().__init__()
        doublings(resolution)
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(SLOPE),
        )
        self.judge = nn.Sequential(
            nn.Linear(2 * width * (resolution // 4) ** 2, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 1)
        )
        self.apply(init_weights)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.features(maps)  # b 2f h/4 w/4
        x = self.judge(rearrange(x, "b f h w -> b (f h w)"))  # b 1
        logits: Tensor = x.float()
        return rearrange(logits, "b 1 -> b")


class MinibatchDeviation(nn.Module):
    """Appends one channel, the mean standard deviation over the batch: (b f h w) -> (b f+1 h w).

    Karras et al. 2018, arXiv 1710.10196, section 3: it shows the discriminator a generator that repeats itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        deviation = (x.float().var(dim=0, correction=0) + 1e-8).sqrt().mean().to(x.dtype)
        plane = repeat(deviation, " -> b 1 h w", b=x.shape[0], h=x.shape[2], w=x.shape[3])
        return torch.cat([x, plane], dim=1)  # b f+1 h w


def up(f_in: int, f_out: int) -> nn.Sequential:
    """One doubling: (b f_in h w) -> (b f_out 2h 2w)."""
    return nn.Sequential(
        nn.ConvTranspose2d(f_in, f_out, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(f_out), nn.ReLU()
    )


def down(f_in: int, f_out: int, norm: Norm) -> nn.Sequential:
    """One halving: (b f_in h w) -> (b f_out h/2 w/2)."""
    layers: list[nn.Module] = [strided(f_in, f_out, norm)]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(f_out))
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE))


def strided(f_in: int, f_out: int, norm: Norm) -> nn.Module:
    """A 4 x 4 convolution of stride 2, biased where no batch norm follows, scaled where the norm is spectral."""
    convolution = by_fan_in(nn.Conv2d(f_in, f_out, 4, stride=2, padding=1, bias=norm != "batch"))
    return nn.utils.parametrizations.spectral_norm(convolution) if norm == "spectral" else convolution


def by_fan_in(convolution: nn.Conv2d) -> nn.Conv2d:
    """Draws weights that keep the variance of the input (He et al. 2015, arXiv 1502.01852, section 2.2)."""
    nn.init.kaiming_normal_(convolution.weight, SLOPE)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def init_weights(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) and batch-norm scales from N(1, 0.02) (paper, section 4)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
