"""Pictures of what a stage makes while it learns, always from the same noise."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from retina_core.formats.atomic import replacing

PALETTE = (
    (1.00, 1.00, 1.00),
    (1.00, 0.85, 0.30),
    (0.35, 0.70, 1.00),
    (1.00, 0.45, 0.45),
    (0.55, 0.90, 0.50),
    (0.85, 0.55, 1.00),
    (1.00, 0.65, 0.20),
    (0.40, 0.90, 0.85),
)
"""Colours of label channels on black, in order: bright enough to tell apart where they overlap."""


def label_picture(labels: Tensor) -> Tensor:
    """Label maps (b k h w) in [0, 1] -> pictures (b 3 h w): each channel in its colour, the brightest on top."""
    colours = torch.tensor([PALETTE[i % len(PALETTE)] for i in range(labels.shape[1])], device=labels.device)
    return (labels[:, :, None] * colours[None, :, :, None, None]).amax(1)


def side_by_side(*pictures: Tensor) -> Tensor:
    """Pictures (b 1|3 h w) of equal size -> one row each (b 3 h n*w)."""
    return torch.cat([p.expand(-1, 3, -1, -1) for p in pictures], -1)


def write_grid(pictures: Tensor, path: Path, columns: int | None = None) -> None:
    """Write pictures (b 3 h w) in [0, 1] as one PNG, row by row; without ``columns`` about as wide as high."""
    b, _, h, w = pictures.shape
    columns = columns or max(1, round(math.sqrt(b * h / w)))
    rows = math.ceil(b / columns)
    sheet = torch.zeros(3, rows * (h + 2), columns * (w + 2))
    for i, picture in enumerate(pictures.detach().float().cpu().clamp(0, 1)):
        top, left = (i // columns) * (h + 2), (i % columns) * (w + 2)
        sheet[:, top : top + h, left : left + w] = picture
    array = (sheet * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    with replacing(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")
