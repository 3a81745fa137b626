"""What judges MI-GAN's photographs: convolutions down to 16 px, and one logit for the whole of them.

Iqbal and Ali 2018, J. Med. Syst. 42:231: 4 x 4 convolutions of stride 2, batch norm, leaky ReLU, each halving the map; 32 to
512 features, doubled from 256 to 16 px; sigmoid, which the loss holds. Departures, each with its reason:

- One logit from all of the 16 x 16 x 512, by a linear layer: the paper's figure is not in our text, and its table finds the
  judge of the whole image the best.
- Features depend on the size of a map alone, so that at 256 px the first layer has 64, and weights fit other resolutions.
- Real and painted photographs are judged in batches of their own, as in DCGAN: batch norm over both would tell them apart.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from retina_migan.network import WIDEST_PX, Down, condition, features_at, init_weights, inner_sizes


class ImageDiscriminator(nn.Module):
    """Label maps (b k h w), fov (b 1 h w) and photos (b c h w) in [-1, 1] to a logit each (b), high for real."""

    def __init__(
        self, *, channels: int, resolution: int, width: int, max_width: int, colours: int = 3
    ) -> None:
        super().__init__()
        sizes = inner_sizes(resolution, WIDEST_PX)  # h/2, h/4, ... 16
        widths = [channels + 1 + colours, *(features_at(px, width, max_width) for px in sizes)]
        self.layers = nn.ModuleDict(
            {str(px): Down(a, b) for px, (a, b) in zip(sizes, pairwise(widths), strict=True)}
        )
        self.verdict = nn.Linear(widths[-1] * WIDEST_PX**2, 1)
        self.apply(init_weights)

    def forward(self, labels: Tensor, fov: Tensor, photos: Tensor) -> Tensor:
        x = torch.cat([condition(labels, fov), photos], dim=1)  # b k+1+c h w
        for layer in self.layers.values():
            x = layer(x)  # b f h/2 w/2, halved at each step
        logits: Tensor = self.verdict(x.flatten(1))  # b 1
        return logits[:, 0].float()
