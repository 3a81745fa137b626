"""The encoder-decoder of MI-GAN: label maps to a photograph, or turned around, a photograph to label maps.

Iqbal and Ali 2018, J. Med. Syst. 42:231, "Generator and discriminator architecture" and "Parameters of proposed model":
4 x 4 convolutions of stride 2 without pooling, batch norm, leaky ReLU, tanh; 64 features at 256 x 256, 512 at 16 x 16; a
noise code of 400 numbers, fully connected, reshaped to 8 x 8 x 256 and joined to the 8 x 8 x 512 in the middle (which makes
768; the paper prints 786). Its figures are not in the text that we have; the rest is ours:

- Features depend on a map's size in pixels alone, ``max_width`` at 16 px and half as many at each size further out, ``width``
  at least: 64, 64, 128, 256, 512, 512 at 256 to 8 px. It is the one doubling that holds both of the paper's numbers, and
  weights learnt at one resolution fit another. The middle lies at 8 px at every resolution.
- ``skips="even"`` is how the paper reads: "odd numbered layers are skipped and the center coding is considered as origin",
  so that maps of 32, 128, 512 px are joined. ``"all"`` joins the others too: at half resolution, a vessel of one pixel has
  no other way through.
- No batch norm after the noise code: it would blow the 0.001 of the training up to 1, and what is drawn with 1 when
  generating to a thousand.
- No norm and no activation but the caller's after the last convolution, as in DCGAN, from which the paper has its layers.
- A decoder step may be scaled and shifted by a manner (``modulated``), after its batch norm: MI-GAN has one network for one
  style, and this lets one network paint in the style of any photograph (Dumoulin et al. 2017, arXiv 1610.07629).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_migan.segmenter_config import MIDDLE_PX
from retina_migan.styles import StyleReader

Skips = Literal["even", "all"]

WIDEST_PX = 16
"""Side of the outermost maps that have ``max_width`` features."""
SMALLEST_PX = 2 * MIDDLE_PX
SLOPE = 0.2


class EncoderDecoder(nn.Module):
    """Maps (b f_in h w) to maps (b f_out h w), without a last activation; h and w multiples of ``size_multiple``.

    ``code``: how many numbers (b code) are joined in the middle, as ``code_width`` features; 0: none, and then h and w need
    not be ``resolution``. ``manner``: how many numbers (b manner) scale and shift each decoder step; 0: none.
    """

    def __init__(
        self,
        *,
        f_in: int,
        f_out: int,
        resolution: int,
        width: int,
        max_width: int,
        skips: Skips = "all",
        code: int = 0,
        code_width: int = 0,
        manner: int = 0,
    ) -> None:
        super().__init__()
        sizes = inner_sizes(resolution)  # h/2, h/4, ... 8
        self.size_multiple = resolution // MIDDLE_PX
        self.joined = tuple(joined_sizes(sizes, skips))
        features = {px: features_at(px, width, max_width) for px in sizes}
        widths = [f_in, *features.values()]
        self.encoder = nn.ModuleDict(
            {str(px): Down(a, b) for px, (a, b) in zip(sizes, pairwise(widths), strict=True)}
        )
        self.code = nn.Linear(code, code_width * MIDDLE_PX**2) if code else None
        self.decoder = nn.ModuleDict()
        f = features[MIDDLE_PX] + (code_width if code else 0)
        for px in sizes[-2::-1]:  # 16, 32, ... h/2
            self.decoder[str(px)] = Up(f, features[px], manner)
            f = features[px] * (2 if px in self.joined else 1)
        self.head = nn.ConvTranspose2d(f, f_out, 4, stride=2, padding=1)
        self.apply(init_weights)

    def forward(self, x: Tensor, code: Tensor | None = None, manner: Tensor | None = None) -> Tensor:
        *outer, x = self.encode(x)  # b f 8 8
        if self.code is not None and code is not None:
            noise = F.leaky_relu(self.code(code), SLOPE).to(x.dtype)
            x = torch.cat([x, noise.view(len(x), -1, MIDDLE_PX, MIDDLE_PX)], dim=1)  # b f+n 8 8
        return self.decode(x, outer, manner)

    def encode(self, x: Tensor) -> list[Tensor]:
        """The encoder's maps (b f h/2 w/2), (b f h/4 w/4), ... down to the middle."""
        found: list[Tensor] = []
        for down in self.encoder.values():
            x = down(x)  # b f h/2 w/2, halved at each step
            found.append(x)
        return found

    def decode(self, x: Tensor, outer: Sequence[Tensor], manner: Tensor | None = None) -> Tensor:
        """The middle (b f h' w') and the encoder's maps outside of it to what the head gives."""
        for (px, up), skip in zip(self.decoder.items(), reversed(outer), strict=True):
            x = up(x, manner)  # b f 2h' 2w', doubled at each step
            if int(px) in self.joined:
                x = torch.cat([x, skip], dim=1)  # b 2f 2h' 2w'
        found: Tensor = self.head(x)  # b f_out h w
        return found


class Generator(nn.Module):
    """Label maps (b k h w) and fov (b 1 h w) in {0, 1} to photos (b c h w) in [-1, 1], -1 outside the fov."""

    def __init__(self, body: EncoderDecoder, styles: StyleReader | None = None) -> None:
        super().__init__()
        self.body, self.styles = body, styles

    def forward(self, labels: Tensor, fov: Tensor, code: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Paint; ``code`` (b z) is the noise, ``statistics`` (b n) those of the style where there are styles."""
        manner = self.styles(statistics) if self.styles is not None and statistics is not None else None
        photos = torch.tanh(self.body(condition(labels, fov), code, manner).float())  # b c h w
        return photos * fov + (fov - 1.0)


class Down(nn.Module):
    """One halving: (b f_in h w) -> (b f_out h/2 w/2)."""

    def __init__(self, f_in: int, f_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(f_in, f_out, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(f_out)

    def forward(self, x: Tensor) -> Tensor:
        # In place: batch norm keeps its input for the way back, not what it gives.
        return F.leaky_relu(self.norm(self.convolution(x)), SLOPE, inplace=True)


class Up(nn.Module):
    """One doubling: (b f_in h w) -> (b f_out 2h 2w), scaled and shifted as a manner (b m) says."""

    def __init__(self, f_in: int, f_out: int, manner: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(f_in, f_out, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(f_out)
        self.modulated = nn.Linear(manner, 2 * f_out) if manner else None

    def forward(self, x: Tensor, manner: Tensor | None = None) -> Tensor:
        x = self.norm(self.convolution(x))  # b f_out 2h 2w
        if self.modulated is not None and manner is not None:
            scale, shift = self.modulated(manner).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
            x = x * (1 + scale) + shift
        return F.leaky_relu(x, SLOPE, inplace=True)


def condition(labels: Tensor, fov: Tensor) -> Tensor:
    """What both networks are told: label maps and fov, (b k+1 h w) in [-1, 1]."""
    return torch.cat([labels, fov], dim=1) * 2.0 - 1.0


def inner_sizes(resolution: int, smallest_px: int = MIDDLE_PX) -> list[int]:
    """Sides of the maps inside ``resolution``, a power of two: h/2, h/4, ... ``smallest_px``."""
    if resolution < SMALLEST_PX or resolution & (resolution - 1):
        raise ValueError(f"resolution is a power of two from {SMALLEST_PX} px, not {resolution}")
    return [resolution >> step for step in range(1, (resolution // smallest_px).bit_length())]


def features_at(px: int, width: int, max_width: int) -> int:
    """Features of maps of a side: ``max_width`` up to 16 px, halved with each doubling of it, ``width`` at least."""
    return min(max(max_width * WIDEST_PX // px, min(width, max_width)), max_width)


def joined_sizes(sizes: Sequence[int], skips: Skips) -> list[int]:
    """Sides at which the encoder's maps are joined to the decoder's, coarse ones first; the middle counts as 0."""
    outward = list(sizes[-2::-1])  # 16, 32, ... h/2
    return outward if skips == "all" else outward[1::2]


def init_weights(module: nn.Module) -> None:
    """Weights from N(0, 0.02), as in DCGAN, from which the paper has its layers; norms begin as identity."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
