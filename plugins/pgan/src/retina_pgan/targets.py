"""What the networks learn in place of thin lines, which break in a GAN: smoother pictures of the same map.

Label maps (b k h w) in [0, 1] become planes (b p h w) in [0, 1], and planes maps again. Planes may be averaged over
areas on their way to a coarser size. All of it is plain torch, in batches and on any device, since maps are encoded
after they were augmented, at every step.

``distance`` and ``centreline`` measure from pixel to pixel by steps to the eight neighbours (chamfer distance), from the
edge within a pixel that the soft map tells: a pixel that is covered by c lies 0.5 - c pixels outside the structure. So
nothing is lost on the way there and back, not even of vessels that are thinner than a pixel.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Target = Literal["map", "blur", "distance", "centreline"]

DIAGONAL = math.sqrt(2.0)
FAR = 1e3
SHARPENINGS = 24
"""Passes in which a blur is undone."""
WIDEST = 8
"""Radii of ``centreline`` go to this part of the map's side; an optic disc's is about a fourteenth."""
EXPLAINED_PX = 0.05
"""A disc that its neighbour covers but for so much is left out of the centre line."""
LINE_FALL = 0.5
"""How much the plane of centre lines falls with each pixel of distance from them."""
LINE_KEPT = 0.75
SHRINKING_PX = 12.0


def planes_of(target: Target, channels: int) -> int:
    """How many planes stand for so many label channels."""
    return 2 * channels if target == "centreline" else channels


def encode(maps: Tensor, target: Target, *, reach_px: float) -> Tensor:
    """Maps (b k h w) in [0, 1] as planes (b p h w) in [0, 1].

    Args:
        maps: soft, at the resolution that the planes are for.
        target: ``map``: as they are; ``blur``: blurred; ``distance``: signed distance to the edge, 1 inside, a half at
            the edge, 0 outside; ``centreline``: k planes of centre lines, then k of radii there.
        reach_px: the blur's deviation, or how far from the edge distances are told apart.
    """
    if target == "blur":
        return blur(maps, reach_px)
    if target == "distance":
        return (0.5 - signed_distance(maps, reach_px) / (2 * reach_px)).clamp(0, 1)
    if target == "centreline":
        return centre_lines(maps)
    return maps


def decode(planes: Tensor, target: Target, *, reach_px: float) -> Tensor:
    """Planes (b p h w), of any values, as soft maps (b k h w) in [0, 1]."""
    planes = planes.clamp(0, 1)
    if target == "blur":
        return sharpened(planes, reach_px)
    if target == "distance":
        return covered((0.5 - planes) * (2 * reach_px))
    if target == "centreline":
        return drawn_lines(planes)
    return planes


def blur(maps: Tensor, deviation_px: float) -> Tensor:
    """Each map under a Gaussian."""
    radius = math.ceil(3 * deviation_px)
    places = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    bell = torch.exp(-places.square() / (2 * deviation_px**2))
    kernel = (bell / bell.sum()).expand(maps.shape[1], 1, -1)  # k 1 n
    padded = F.pad(maps, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel[:, :, None, :], groups=maps.shape[1])
    return F.conv2d(across, kernel[:, :, :, None], groups=maps.shape[1])


def sharpened(blurred: Tensor, deviation_px: float) -> Tensor:
    """The maps whose blur this is (van Cittert 1931): what a blur of the guess lacks is added to it, in turns."""
    guess = blurred
    for _ in range(SHARPENINGS):
        guess = (guess + blurred - blur(guess, deviation_px)).clamp(0, 1)
    return guess


def covered(distance: Tensor) -> Tensor:
    """How much of each pixel a structure covers whose edge is so far away, in pixels, negative inside."""
    return (0.5 - distance).clamp(0, 1)


def signed_distance(maps: Tensor, reach_px: float) -> Tensor:
    """Pixels to the edge of what is marked, negative inside; right up to ``reach_px``, and at least that beyond."""
    steps = math.ceil(reach_px + 0.5)
    edge = 0.5 - maps
    outside = -spread_out(torch.where(maps > 0, -edge, -FAR), steps)
    inside = spread_out(torch.where(maps < 1, edge, -FAR), steps)
    return torch.where(maps <= 0, outside, torch.where(maps >= 1, inside, edge))


def centre_lines(maps: Tensor) -> Tensor:
    """Centre lines, falling off beside them, and the roots of their radii (b 2k h w).

    A centre line is where the discs lie that fill the structure and that no larger one covers (medial axis, Blum 1967).
    """
    widest = maps.shape[-1] / WIDEST
    radius = -signed_distance(maps, widest)
    centres = (maps > 0) & (radius > neighbours(radius) + EXPLAINED_PX)
    lines = spread_out(centres.to(maps.dtype), math.ceil(1 / LINE_FALL), LINE_FALL).clamp_min(0)
    root = ((radius + 0.5) / widest).clamp(0, 1).sqrt()
    beside = spread_out(torch.where(centres, root, 0.0), math.ceil(1 / LINE_FALL), 0.0)
    return torch.cat([lines, torch.where(centres, root, beside)], dim=1)


def drawn_lines(planes: Tensor) -> Tensor:
    """Maps (b k h w) that centre lines and the roots of their radii (b 2k h w) stand for: a disc at each pixel.

    Where the plane of centre lines falls below ``LINE_KEPT`` the disc shrinks: at the first pixel beside a line by
    more than its distance from there, so that it lies within that line's own.
    """
    lines, root = planes.chunk(2, dim=1)
    widest = planes.shape[-1] / WIDEST
    radius = root.square() * widest - 0.5 - (LINE_KEPT - lines).clamp_min(0) * SHRINKING_PX
    return covered(-spread_out(radius, math.ceil(widest)))


def spread_out(values: Tensor, steps: int, fall: float = 1.0) -> Tensor:
    """The highest of all values (b k h w) near each pixel, less ``fall`` for each pixel of the way from there."""
    for _ in range(steps):
        values = torch.maximum(values, neighbours(values, fall))
    return values


def neighbours(values: Tensor, fall: float = 1.0) -> Tensor:
    """The highest of each pixel's eight neighbours (b k h w), less ``fall`` times their distance."""
    padded = F.pad(values, (1, 1, 1, 1), value=-FAR)
    beside = torch.maximum(padded[..., 1:-1, :-2], padded[..., 1:-1, 2:])
    above = torch.maximum(padded[..., :-2, 1:-1], padded[..., 2:, 1:-1])
    rows = torch.maximum(padded[..., :-2], padded[..., 2:])
    corners = torch.maximum(rows[..., :-2, :], rows[..., 2:, :])
    return torch.maximum(torch.maximum(beside, above) - fall, corners - fall * DIAGONAL)
