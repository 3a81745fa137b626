"""What judges SPADE's photographs: patch discriminators of several sizes (figure 13).

Park et al. 2019, arXiv 1903.07291, appendix A, after pix2pixHD (Wang et al. 2018, arXiv 1711.11585, section 3.2).
Departures, each with its reason:

- An image pyramid of 2 x 2 means. The released code pools 3 x 3 windows in steps of 2, which moves the picture by half
  a pixel at each halving; vessels are a pixel wide.
- Judges are named by the size of the picture that they see, so that those learnt at 128 px go on at 256 px.
- No bias before a norm that would take it away again. Spectral norm where there is instance norm, as in the released
  code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.norms import InstanceNorm2d
from retina_spade.building import SLOPE, init_layer
from retina_spade.spectral import spectral_norm

STRIDES = (2, 2, 2, 1)
"""Of the convolutions before the last (figure 13): 70 px of the picture are behind a logit."""


class MultiScaleDiscriminator(nn.Module):
    """Label maps (b k h w), fov (b 1 h w) and photos (b c h w) in [-1, 1] to what each judge finds."""

    def __init__(
        self, *, channels: int, resolution: int, scales: int, width: int, max_width: int, colours: int = 3
    ) -> None:
        super().__init__()
        sizes = [resolution // 2**step for step in range(scales)]
        f_in = channels + 1 + colours
        self.judges = nn.ModuleDict({str(px): PatchJudge(f_in, width, max_width) for px in sizes})
        self.apply(init_layer)

    def forward(self, labels: Tensor, fov: Tensor, photos: Tensor) -> list[list[Tensor]]:
        """For each judge, the one of the full size first: its features, and last a logit per patch."""
        x = torch.cat([labels, fov, photos], dim=1)  # b k+1+c h w
        found = []
        for px, judge in self.judges.items():
            if x.shape[-1] > int(px):
                x = F.avg_pool2d(x, 2)  # b k+1+c h/2 w/2
            found.append(judge(x))
        return found

    def compare(
        self, labels: Tensor, fov: Tensor, real: Tensor, fake: Tensor
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """What the judges find in real photos, and in fake ones of the same maps, in one pass over both."""
        found = self(torch.cat([labels, labels]), torch.cat([fov, fov]), torch.cat([real, fake]))
        halves = [[layer.chunk(2) for layer in judge] for judge in found]
        return [[r for r, _ in judge] for judge in halves], [[f for _, f in judge] for judge in halves]


class PatchJudge(nn.Module):
    """Condition and photo (b k+1+c h w) to the features of each layer, and last a logit per patch (b 1 h/8 w/8)."""

    def __init__(self, f_in: int, width: int, max_width: int) -> None:
        super().__init__()
        widths = [min(width * 2**step, max_width) for step in range(len(STRIDES))]
        front = nn.Conv2d(f_in, widths[0], 4, stride=STRIDES[0], padding=2)
        self.layers = nn.ModuleList([nn.Sequential(front, nn.LeakyReLU(SLOPE))])
        for step in range(1, len(STRIDES)):
            self.layers.append(judge_layer(widths[step - 1], widths[step], STRIDES[step]))
        self.layers.append(nn.Conv2d(widths[-1], 1, 4, padding=2))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.layers:
            x = layer(x)  # b f h/2 w/2, and 1 px more
            found.append(x.float())
        return found


def judge_layer(f_in: int, f_out: int, stride: int) -> nn.Sequential:
    """A 4 x 4 convolution under spectral and instance norm."""
    convolution = spectral_norm(nn.Conv2d(f_in, f_out, 4, stride=stride, padding=2, bias=False))
    return nn.Sequential(convolution, InstanceNorm2d(f_out), nn.LeakyReLU(SLOPE))
