"""Random changes of training samples, in batches on the device: one geometry for labels, fov and photographs.

Every sample draws its numbers from its own generator, and always the same count of them, so that switching one
kind of change on leaves the others as they were. Flips and quarter turns move pixels exactly; everything else is
composed into one grid and sampled once, because each resampling blurs vessels that are a pixel wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from kornia.geometry.conversions import normalize_homography
from kornia.geometry.transform import get_affine_matrix2d
from torch import Tensor

from retina_core.config import LearningConfig
from retina_core.randomness import normal, uniform

_NUMBERS = 16
_ELASTIC_CELLS = 6
"""Nodes per side of the random displacement field: waves of a sixth of the side, smooth at every resolution."""


@dataclass(frozen=True)
class Augmentation:
    """Which changes, and how strong; see ``LearningConfig`` for units."""

    flips: Literal["none", "horizontal", "both"] = "none"
    quarter_turns: bool = False
    rotation_degrees: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    colour: float = 0.0

    @classmethod
    def of(cls, config: LearningConfig) -> Self:
        """What a stage's config asks for."""
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})

    def __call__(
        self, labels: Tensor, fov: Tensor, photos: Tensor, rngs: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(b k h w), (b 1 h w), (b c h w) -> the same shapes, changed alike; fov stays 0 or 1."""
        numbers = uniform(rngs, _NUMBERS)  # b n
        stack = self._move(torch.cat([labels, fov, photos], 1), numbers, rngs)  # b k+1+c h w
        channels = labels.shape[1]
        labels, fov = stack[:, :channels], (stack[:, channels : channels + 1] > 0.5).float()
        photos = self._recolour(stack[:, channels + 1 :], fov, numbers)
        return labels * fov, fov, photos

    def _move(self, stack: Tensor, numbers: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        if self.flips != "none":
            stack = _where(numbers[:, 0] < 0.5, stack.flip(-1), stack)
        if self.flips == "both":
            stack = _where(numbers[:, 1] < 0.5, stack.flip(-2), stack)
        if self.quarter_turns:
            turns = (numbers[:, 2] * 4).long()
            stack = torch.stack([torch.rot90(x, int(t), (-2, -1)) for x, t in zip(stack, turns, strict=True)])
        if self.rotation_degrees or self.scale or self.shift or self.elastic:
            grid = self._grid(stack, numbers, rngs)
            stack = F.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return stack.contiguous(memory_format=torch.channels_last)

    def _grid(self, stack: Tensor, numbers: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """Where each pixel is read from (b h w 2), in [-1, 1]."""
        b, _, h, w = stack.shape
        signed = numbers * 2 - 1
        zoom = (1 + self.scale) ** signed[:, 3]
        size = torch.tensor([w, h], dtype=torch.float32)
        matrix = get_affine_matrix2d(
            translations=signed[:, 4:6] * self.shift * size,
            center=(size - 1).div(2).expand(b, 2),
            scale=zoom[:, None].expand(b, 2),
            angle=signed[:, 6] * self.rotation_degrees,
        )  # b 3 3, in pixels
        inverse = torch.linalg.inv(normalize_homography(matrix, (h, w), (h, w)))
        grid = F.affine_grid(inverse[:, :2], [b, 1, h, w], align_corners=False)
        if self.elastic:
            nodes = normal(rngs, 2, _ELASTIC_CELLS, _ELASTIC_CELLS) * (self.elastic * 2 / max(h, w))
            waves = F.interpolate(nodes, (h, w), mode="bicubic", align_corners=True)  # b 2 h w
            grid = grid + waves.permute(0, 2, 3, 1)
        return grid.to(stack.device)

    def _recolour(self, photos: Tensor, fov: Tensor, numbers: Tensor) -> Tensor:
        if not self.colour or photos.shape[1] == 0:
            return photos * fov
        signed = (numbers[:, 7:14].to(photos.device) * 2 - 1) * self.colour
        gamma = torch.exp2(signed[:, 0]).view(-1, 1, 1, 1)
        gain, offset = 1 + signed[:, 1:4, None, None], signed[:, 4:7, None, None] / 2
        if photos.shape[1] != 3:
            gain, offset = gain[:, :1], offset[:, :1]
        return (photos.clamp_min(0).pow(gamma) * gain + offset).clamp(0, 1) * fov


def _where(chosen: Tensor, changed: Tensor, kept: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, 1, 1, 1).to(kept.device), changed, kept)
