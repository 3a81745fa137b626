"""Large photographs in overlapping tiles, and averages over flips and turns, for segmenters."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Segment = Callable[[Tensor], Tensor]
"""(b c h w) -> (b k h w)."""

OVERLAP = 0.25
"""Share of a tile that it has in common with its neighbour."""


def in_tiles(segment: Segment, photos: Tensor, tile_px: int, multiple: int) -> Tensor:
    """(b c h w) of any size -> (b k h w), in tiles of at most ``tile_px`` whose sides are multiples of ``multiple``.

    Tiles overlap and are blended with weights that fall towards their borders, where a network sees least.
    """
    b, _, h, w = photos.shape
    tile_h, tile_w = (_tile_side(side, tile_px, multiple) for side in (h, w))
    padded = F.pad(photos, (0, max(0, tile_w - w), 0, max(0, tile_h - h)))
    if padded.shape[-2:] == (tile_h, tile_w):
        return segment(padded)[..., :h, :w]
    weight = _hill(tile_h, photos)[:, None] * _hill(tile_w, photos)[None]  # h w
    windows = [
        (..., slice(top, top + tile_h), slice(left, left + tile_w))
        for top in _starts(padded.shape[-2], tile_h)
        for left in _starts(padded.shape[-1], tile_w)
    ]
    found = [segment(padded[window]) for window in windows]  # b k tile_h tile_w each
    total = found[0].new_zeros(b, found[0].shape[1], *padded.shape[-2:])
    weights = photos.new_zeros(padded.shape[-2:])
    for window, tile in zip(windows, found, strict=True):
        total[window] += tile * weight
        weights[window] += weight
    return (total / weights)[..., :h, :w]


def over_turns(segment: Segment, photos: Tensor) -> Tensor:
    """The mean of what is found in the eight flips and quarter turns of photographs, turned back."""
    views = []
    for flipped in (False, True):
        for turn in range(4):
            seen = torch.rot90(photos.flip(-1) if flipped else photos, turn, (-2, -1))
            found = segment(seen.contiguous(memory_format=torch.channels_last))
            found = torch.rot90(found, -turn, (-2, -1))
            views.append(found.flip(-1) if flipped else found)
    return torch.stack(views).mean(0)


def _tile_side(side: int, tile_px: int, multiple: int) -> int:
    whole = math.ceil(side / multiple) * multiple
    return min(whole, max(multiple, tile_px // multiple * multiple))


def _starts(side: int, tile: int) -> list[int]:
    """Where tiles begin, evenly, from 0 to the last that fits."""
    if side <= tile:
        return [0]
    count = math.ceil((side - tile) / (tile * (1 - OVERLAP))) + 1
    return [round(i * (side - tile) / (count - 1)) for i in range(count)]


def _hill(side: int, like: Tensor) -> Tensor:
    """Weights (side), 1 in the middle and small at the ends, never 0."""
    place = (torch.arange(side, device=like.device, dtype=torch.float32) + 0.5) / side
    return torch.sin(math.pi * place).clamp_min(1e-3)
