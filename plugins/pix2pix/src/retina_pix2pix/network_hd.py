"""pix2pixHD: a label map and its field of view to a large retinal photograph.

Wang, Liu, Zhu, Tao, Kautz and Catanzaro 2018, arXiv 1711.11585 (sections 3.2 and 3.3, layers as in the appendix), on
which the two-stage paper of Andreini et al. 2019, arXiv 1907.12296, builds its second stage. Departures, each with its
reason:

- The condition is every label channel and the field of view; there is no map of instance boundaries and no encoder of
  instance features (sections 3.4 and 3.5), because the labels have no instances. Outside of the field of view the
  photograph is black by construction.
- The perceptual (VGG) loss, an option of the paper, is one here too (``perceptual``), and off unless it is asked for: by
  default nothing here is trained on other people's photographs.
- An image pyramid of 2 x 2 means. The released code pools 3 x 3 windows in steps of 2, which moves the picture by
  half a pixel at each halving; vessels are a pixel wide.
- A step up may resize and convolve (``upsampling="resize"``) instead of the paper's transposed convolution
  (``"transposed"``), which leaves a checkerboard that a segmenter could learn to look for.
- No bias before a norm that would take it away again.
- Any power of two that the global generator's halvings leave 2 px of, and any width. Dropout in the residual blocks,
  where it is asked for: the paper's photographs, like these without it, are a function of the map alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator as Randomness
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.norms import InstanceNorm2d
from retina_core.randomness import SampleDropout
from retina_pix2pix.network import SLOPE, Upsampling, condition, init_weights, strided_layers

DISCRIMINATOR_WIDTH_STEPS = 3
"""After so many doublings the discriminator's features grow no more (released code: 64 to 512)."""


class HDGenerator(nn.Module):
    """Label maps (b k h w) and fov (b 1 h w) to photos (b c h w) in [-1, 1], by two generators, one inside the other.

    The global one works at half of the size; what it knows before it paints is added to the features of the local
    enhancer, which paints at full size (paper, figure 3). Both exist from the beginning, whichever is being trained.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        max_width: int,
        downsamplings: int,
        blocks: int,
        local_blocks: int,
        dropout: float = 0.0,
        upsampling: Upsampling = "resize",
        colours: int = 3,
    ) -> None:
        super().__init__()
        widths = [min(width * 2**step, max_width) for step in range(downsamplings + 1)]
        self.overall = GlobalGenerator(channels + 1, widths, blocks, dropout, upsampling, colours)
        self.local = LocalEnhancer(channels + 1, widths[0], local_blocks, upsampling, colours)
        self.apply(init_weights)

    def forward(
        self,
        labels: Tensor,
        fov: Tensor,
        rngs: Sequence[Randomness] | None = None,
        *,
        overall_learns: bool = True,
    ) -> Tensor:
        """Paint at full size; without ``overall_learns`` nothing of the global generator is kept for gradients."""
        x = condition(labels, fov)  # b k+1 h w
        with torch.set_grad_enabled(overall_learns and torch.is_grad_enabled()):
            known = self.overall.features(halved(x), rngs)  # b f h/2 w/2
        return inside(self.local(x, known), fov)  # b c h w

    def paint_small(self, labels: Tensor, fov: Tensor, rngs: Sequence[Randomness] | None = None) -> Tensor:
        """Paint with the global generator alone, maps of half of the size: (b k h/2 w/2) -> (b c h/2 w/2)."""
        return inside(self.overall(condition(labels, fov), rngs), fov)

    def paint_enlarged(self, labels: Tensor, fov: Tensor, rngs: Sequence[Randomness] | None = None) -> Tensor:
        """What the global generator alone makes of maps of full size, enlarged to it (b c h w)."""
        photo = self.paint_small(halved(labels), halved(fov), rngs)  # b c h/2 w/2
        large = F.interpolate(photo, scale_factor=2.0, mode="bilinear", align_corners=False)  # b c h w
        return large * fov + (fov - 1.0)


class GlobalGenerator(nn.Module):
    """Condition (b k+1 h w) to colours (b c h w) before tanh: down, residual blocks, up (Johnson et al. 2016)."""

    def __init__(
        self,
        f_in: int,
        widths: Sequence[int],
        blocks: int,
        dropout: float,
        upsampling: Upsampling,
        colours: int,
    ) -> None:
        super().__init__()
        self.front = wide_layers(f_in, widths[0])
        self.down = nn.Sequential(*(down_layers(a, b) for a, b in pairwise(widths)))
        self.blocks = nn.ModuleList([Residual(widths[-1], dropout) for _ in range(blocks)])
        self.up = nn.Sequential(
            *(up_layers(b, a, upsampling) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True))
        )
        self.head = wide(widths[0], colours)

    def features(self, x: Tensor, rngs: Sequence[Randomness] | None = None) -> Tensor:
        """The last feature map (b f h w), which the local enhancer takes."""
        x = self.down(self.front(x))  # b f h/2^n w/2^n
        for block in self.blocks:
            x = block(x, rngs)
        risen: Tensor = self.up(x)  # b f h w
        return risen

    def forward(self, x: Tensor, rngs: Sequence[Randomness] | None = None) -> Tensor:
        colours: Tensor = self.head(self.features(x, rngs))  # b c h w
        return colours


class LocalEnhancer(nn.Module):
    """Condition (b k+1 h w) and the global generator's features (b f h/2 w/2) to colours (b c h w) before tanh."""

    def __init__(self, f_in: int, f_known: int, blocks: int, upsampling: Upsampling, colours: int) -> None:
        super().__init__()
        width = f_known // 2
        self.down = nn.Sequential(*wide_layers(f_in, width), *down_layers(width, f_known))
        self.blocks = nn.ModuleList([Residual(f_known, 0.0) for _ in range(blocks)])
        self.up = up_layers(f_known, width, upsampling)
        self.head = wide(width, colours)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        x = self.down(x) + known  # b f h/2 w/2
        for block in self.blocks:
            x = block(x, None)
        colours: Tensor = self.head(self.up(x))  # b c h w
        return colours


class Residual(nn.Module):
    """(b f h w) -> (b f h w), the same and what two convolutions add to it."""

    def __init__(self, f: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(reflecting(f, f, 3), InstanceNorm2d(f), nn.ReLU(inplace=True))
        self.dropout = SampleDropout(dropout)
        self.second = nn.Sequential(reflecting(f, f, 3), InstanceNorm2d(f))

    def forward(self, x: Tensor, rngs: Sequence[Randomness] | None) -> Tensor:
        added: Tensor = self.second(self.dropout(self.first(x), rngs))
        return x + added


class MultiScaleDiscriminator(nn.Module):
    """Judges of one build, each for pictures of half the size of the one before (paper, section 3.2).

    Each keeps its size through the training, as in the released code: while the global generator learns alone at half
    of the size, the judge of the full size waits.
    """

    def __init__(
        self,
        *,
        channels: int,
        resolution: int,
        scales: int,
        receptive_field: int,
        width: int,
        colours: int = 3,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        f_in, strided = channels + 1 + colours, strided_layers(receptive_field)
        self.judges = nn.ModuleList([PatchJudge(f_in, strided, width) for _ in range(scales)])
        self.apply(init_weights)

    def forward(self, labels: Tensor, fov: Tensor, photo: Tensor) -> list[list[Tensor]]:
        """What each judge of the photograph's size or less finds: its features, and last a logit per patch."""
        x = torch.cat([condition(labels, fov), photo], dim=1)  # b k+1+c h w
        waiting = int(math.log2(self.resolution // x.shape[-1]))
        found = []
        for i, judge in enumerate(self.judges):
            if i > waiting:
                x = halved(x)  # b k+1+c h/2 w/2
            if i >= waiting:
                found.append(judge(x))
        return found


class PatchJudge(nn.Module):
    """Condition and photograph (b k+1+c h w) to features, and last to logits (b 1 h' w'), high for real."""

    def __init__(self, f_in: int, strided: int, width: int) -> None:
        super().__init__()
        widths = [width * 2 ** min(step, DISCRIMINATOR_WIDTH_STEPS) for step in range(strided + 1)]
        first = nn.Sequential(
            nn.Conv2d(f_in, width, 4, stride=2, padding=2), nn.LeakyReLU(SLOPE, inplace=True)
        )
        self.layers = nn.ModuleList([first])
        for step in range(1, strided + 1):
            stride = 2 if step < strided else 1
            self.layers.append(patch_layer(widths[step - 1], widths[step], stride))
        self.layers.append(nn.Conv2d(widths[-1], 1, 4, padding=2))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.layers:
            x = layer(x)  # b f h/2 w/2, and 1 px more
            found.append(x.float())
        return found


def halved(x: Tensor) -> Tensor:
    """Half of the size, by means of areas: (b f h w) -> (b f h/2 w/2)."""
    return F.avg_pool2d(x, 2)


def inside(colours: Tensor, fov: Tensor) -> Tensor:
    """Colours before tanh (b c h w) to a photograph in [-1, 1] that is black outside the fov."""
    return torch.tanh(colours.float()) * fov + (fov - 1.0)


def reflecting(f_in: int, f_out: int, side: int, bias: bool = False) -> nn.Conv2d:
    """A convolution that reflects the picture at its rim."""
    return nn.Conv2d(f_in, f_out, side, padding=side // 2, padding_mode="reflect", bias=bias)


def wide(f_in: int, f_out: int) -> nn.Conv2d:
    """The 7 x 7 convolution that paints."""
    return reflecting(f_in, f_out, 7, bias=True)


def wide_layers(f_in: int, f_out: int) -> nn.Sequential:
    """The 7 x 7 front (paper: c7s1-k)."""
    return nn.Sequential(reflecting(f_in, f_out, 7), InstanceNorm2d(f_out), nn.ReLU(inplace=True))


def down_layers(f_in: int, f_out: int) -> nn.Sequential:
    """One halving (paper: dk)."""
    convolution = nn.Conv2d(f_in, f_out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, InstanceNorm2d(f_out), nn.ReLU(inplace=True))


def up_layers(f_in: int, f_out: int, upsampling: Upsampling) -> nn.Sequential:
    """One doubling (paper: uk)."""
    layers: list[nn.Module]
    if upsampling == "transposed":
        layers = [nn.ConvTranspose2d(f_in, f_out, 3, stride=2, padding=1, output_padding=1, bias=False)]
    else:
        layers = [
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(f_in, f_out, 3, padding=1, bias=False),
        ]
    return nn.Sequential(*layers, InstanceNorm2d(f_out), nn.ReLU(inplace=True))


def patch_layer(f_in: int, f_out: int, stride: int) -> nn.Sequential:
    """A 4 x 4 convolution of a judge (paper: Ck)."""
    convolution = nn.Conv2d(f_in, f_out, 4, stride=stride, padding=2, bias=False)
    return nn.Sequential(convolution, InstanceNorm2d(f_out), nn.LeakyReLU(SLOPE, inplace=True))
