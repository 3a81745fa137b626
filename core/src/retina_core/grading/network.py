"""A residual network that tells grades apart.

He et al. 2016, arXiv 1512.03385, at a fraction of its size, with these departures:

- Group instead of batch normalisation (Wu and He 2018, arXiv 1803.08494): an answer does not depend on its batch.
- Beside the picture it is shown how each pixel differs from its surroundings, as Graham's first place in the Kaggle
  competition on diabetic retinopathy (2015) had it: lesions stand out of a background that varies from eye to eye.
- Each feature's mean and its maximum go into the head: a microaneurysm is a pixel or two of a whole photograph, and
  a mean over the frame loses it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_core.grades import GRADES

LEVELS = 4
DROPPED = 0.3
SURROUNDINGS_PX = 8
CONTRAST = 4.0
_GROUPS = 4


class Block(nn.Module):
    """Two convolutions and a short cut: (b f h w) -> (b g h/s w/s)."""

    def __init__(self, features: int, wanted: int, stride: int) -> None:
        super().__init__()
        last = nn.GroupNorm(_GROUPS, wanted)
        nn.init.zeros_(last.weight)  # a block begins as its short cut alone (arXiv 1706.02677, section 5.1)
        self.body = nn.Sequential(
            nn.Conv2d(features, wanted, 3, stride, 1, bias=False),
            nn.GroupNorm(_GROUPS, wanted),
            nn.ReLU(inplace=True),
            nn.Conv2d(wanted, wanted, 3, 1, 1, bias=False),
            last,
        )
        self.short = nn.Sequential()
        if stride > 1:
            # The mean of a patch rather than one of its pixels: nothing small falls between the pixels that are kept.
            self.short = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(features, wanted, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.short(x))


class GradeNetwork(nn.Module):
    """Pictures to logits of the grades: (b c h w) in [0, 1] -> (b 5)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        features = [width * 2**level for level in range(LEVELS)]
        self.stem = nn.Sequential(
            nn.Conv2d(2 * channels, width, 5, 2, 2, bias=False),
            nn.GroupNorm(_GROUPS, width),
            nn.ReLU(inplace=True),
        )
        blocks = [Block(width, width, 2)]
        blocks += [Block(few, many, 2) for few, many in pairwise(features)]
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(2 * features[-1], len(GRADES))

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """``kept`` (b 2f) is the dropout's mask, drawn from each sample's own generator; None: nothing is dropped."""
        # Means of patches, drawn smooth: a mean around each pixel took two thirds of a step's time on the CPU.
        patches = F.avg_pool2d(x, SURROUNDINGS_PX)
        around = F.interpolate(patches, x.shape[-2:], mode="bilinear", align_corners=False)
        x = self.stem(torch.cat([x, CONTRAST * (x - around)], 1))  # b f h/2 w/2
        x = self.body(x)  # b 8f h/32 w/32
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)  # b 16f
        found: Tensor = self.head(pooled if kept is None else pooled * kept)
        return found

    @property
    def pooled_features(self) -> int:
        """What goes into the head, and may be dropped."""
        return self.head.in_features
