"""pix2pix: a label map and its field of view to a retinal photograph.

Isola, Zhu, Zhou and Efros 2017, arXiv 1611.07004 (sections 3.2 and 6.1), in the vessel-to-retina form of Costa et
al. 2017, arXiv 1701.08974, which SynthMed borrows as its stage II. Departures, each with its reason:

- The condition is every label channel and the field of view, and outside of it the photograph is black by
  construction: the camera's rim is given, and neither network spends anything on it.
- Dropout, the paper's only noise, draws its masks from one generator per sample, so that no photograph depends on
  the batch that it was painted in.
- Instance norm everywhere: it is what the paper's batch norm is at the paper's batch of 1, and it keeps the members
  of a larger batch independent. At 1 px, where it would leave nothing, there is none.
- A decoder step may resize and convolve (``upsampling="resize"``) instead of the paper's transposed convolution
  (``"transposed"``), which leaves a checkerboard that a segmenter could learn to look for.
- Any power of two from 32 px, one halving per step down to 1 px, and any width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Generator as Randomness
from torch import Tensor, nn

from retina_core.norms import InstanceNorm2d
from retina_core.randomness import dropout_mask

Upsampling = Literal["resize", "transposed"]

SMALLEST_PX = 32
SLOPE = 0.2
DROPOUT_STEPS = 3
"""The innermost decoder steps that drop features (paper, section 6.1.1: CD512 three times)."""


class Generator(nn.Module):
    """Label maps (b k h w) and fov (b 1 h w) in {0, 1} to photos (b c h w) in [-1, 1]: a U-Net down to 1 px."""

    def __init__(
        self,
        *,
        channels: int,
        resolution: int,
        width: int,
        max_width: int,
        dropout: float,
        upsampling: Upsampling = "resize",
        colours: int = 3,
    ) -> None:
        super().__init__()
        depth = halvings(resolution)
        widths = [min(width * 2**step, max_width) for step in range(depth)]  # f at h/2, h/4, ... 1 px
        self.encoder = nn.ModuleList([downsample(channels + 1, widths[0])])
        for step, (f_in, f_out) in enumerate(pairwise(widths), start=2):
            self.encoder.append(Down(f_in, f_out, norm=step < depth))
        self.decoder = nn.ModuleList()
        for step, (f_skip, f_deep) in enumerate(zip(widths[-2::-1], widths[:0:-1], strict=True)):
            f_in = f_deep if step == 0 else 2 * f_deep
            self.decoder.append(Up(f_in, f_skip, upsampling))
        self.dropout = dropout
        dropping = widths[-2::-1][:DROPOUT_STEPS]
        self.mask_shapes = [(f, 2**step, 2**step) for step, f in enumerate(dropping, start=1)]
        self.head = nn.Sequential(nn.ReLU(), upsample(2 * widths[0], colours, upsampling))
        self.apply(init_weights)

    def forward(self, labels: Tensor, fov: Tensor, rngs: Sequence[Randomness] | None = None) -> Tensor:
        """Paint; ``rngs``, one generator per sample, draw the dropout: without them nothing is dropped."""
        # All of them first, so that the rest is arithmetic alone and can be compiled in one piece.
        masks = self.masks(rngs)
        x = condition(labels, fov)  # b k+1 h w
        skips: list[Tensor] = []
        for down in self.encoder:
            x = down(x)  # b f h/2 w/2, halved at each step
            skips.append(x)
        x = skips.pop()  # b f 1 1
        for step, up in enumerate(self.decoder):
            x = up(x)  # b f 2 2, doubled at each step
            if step < len(masks):
                x = x * masks[step].to(x.device, x.dtype)
            x = torch.cat([x, skips.pop()], dim=1)  # b 2f 2 2
        photo = torch.tanh(self.head(x).float())  # b c h w
        return photo * fov + (fov - 1.0)

    def masks(self, rngs: Sequence[Randomness] | None) -> list[Tensor]:
        """What drops features of the innermost decoder steps (b f 2 2), (b f 4 4), (b f 8 8)."""
        if rngs is None or self.dropout == 0:
            return []
        return [dropout_mask(self.dropout, rngs, *shape) for shape in self.mask_shapes]


class PatchDiscriminator(nn.Module):
    """Condition (b k+1 h w) and photo (b c h w) to one logit per patch (b 1 h w), high for real.

    ``receptive_field`` is the patch in px: 1 (the paper's PixelGAN), 16, 70, or None for the whole image (ImageGAN);
    others are rounded up to the next that 4 x 4 convolutions reach (16, 34, 70, 142, 286, ...).
    """

    def __init__(
        self,
        *,
        channels: int,
        resolution: int,
        receptive_field: int | None,
        width: int,
        max_width: int,
        colours: int = 3,
    ) -> None:
        super().__init__()
        f_in = channels + 1 + colours
        strided = strided_layers(receptive_field or resolution)
        self.judge = patch_layers(f_in, strided, width, max_width) if strided else pixel_layers(f_in, width)
        self.apply(init_weights)

    def forward(self, labels: Tensor, fov: Tensor, photo: Tensor) -> Tensor:
        x = torch.cat([condition(labels, fov), photo], dim=1)  # b k+1+c h w
        logits: Tensor = self.judge(x)  # b 1 h/2^n w/2^n, less 2
        return logits.float()


class Down(nn.Module):
    """One halving: (b f_in h w) -> (b f_out h/2 w/2), before its nonlinearity."""

    def __init__(self, f_in: int, f_out: int, norm: bool) -> None:
        super().__init__()
        self.convolution = downsample(f_in, f_out, bias=not norm)
        self.norm = InstanceNorm2d(f_out, affine=True) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(nn.functional.leaky_relu(x, SLOPE))  # b f_out h/2 w/2
        normed: Tensor = self.norm(x)
        return normed


class Up(nn.Module):
    """One doubling: (b f_in h w) -> (b f_out 2h 2w), before its nonlinearity."""

    def __init__(self, f_in: int, f_out: int, upsampling: Upsampling) -> None:
        super().__init__()
        self.convolution = upsample(f_in, f_out, upsampling, bias=False)
        self.norm = InstanceNorm2d(f_out, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.convolution(torch.relu(x)))  # b f_out 2h 2w
        return normed


def condition(labels: Tensor, fov: Tensor) -> Tensor:
    """What both networks are told: label maps and fov, (b k+1 h w) in [-1, 1]."""
    return torch.cat([labels, fov], dim=1) * 2.0 - 1.0


def halvings(resolution: int) -> int:
    """How often ``resolution``, a power of two from 32 px, halves to 1 px."""
    if resolution < SMALLEST_PX or resolution & (resolution - 1):
        raise ValueError(f"resolution is a power of two from {SMALLEST_PX} px, not {resolution}")
    return int(math.log2(resolution))


def strided_layers(receptive_field: int) -> int:
    """How many of stride 2, before the two of stride 1, see at least ``receptive_field`` px: 9 x 2^n - 2; 0 for 1 px."""
    if receptive_field == 1:
        return 0
    return max(1, math.ceil(math.log2((receptive_field + 2) / 9)))


def patch_layers(f_in: int, strided: int, width: int, max_width: int) -> nn.Sequential:
    """Convolutions of 4 px: ``strided`` of stride 2, then two of stride 1 (paper, section 6.1.2)."""
    layers: list[nn.Module] = [downsample(f_in, width), nn.LeakyReLU(SLOPE)]
    for step in range(1, strided + 1):
        f_in, f_out = min(width * 2 ** (step - 1), max_width), min(width * 2**step, max_width)
        stride = 2 if step < strided else 1
        layers += [nn.Conv2d(f_in, f_out, 4, stride=stride, padding=1, bias=False)]
        layers += [InstanceNorm2d(f_out, affine=True), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(f_out, 1, 4, padding=1))


def pixel_layers(f_in: int, width: int) -> nn.Sequential:
    """Convolutions of 1 px, which judge colours alone (paper, section 6.1.2, PixelGAN)."""
    return nn.Sequential(
        nn.Conv2d(f_in, width, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, 2 * width, 1, bias=False),
        InstanceNorm2d(2 * width, affine=True),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(2 * width, 1, 1),
    )


def downsample(f_in: int, f_out: int, bias: bool = True) -> nn.Conv2d:
    """A 4 x 4 convolution of stride 2: (b f_in h w) -> (b f_out h/2 w/2)."""
    return nn.Conv2d(f_in, f_out, 4, stride=2, padding=1, bias=bias)


def upsample(f_in: int, f_out: int, upsampling: Upsampling, bias: bool = True) -> nn.Module:
    """Doubles: (b f_in h w) -> (b f_out 2h 2w), by transposed convolution or by resizing and a 3 x 3 convolution."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(f_in, f_out, 4, stride=2, padding=1, bias=bias)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(f_in, f_out, 3, padding=1, bias=bias)
    )


def init_weights(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) and norm scales from N(1, 0.02) (paper, section 6.2)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.InstanceNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
