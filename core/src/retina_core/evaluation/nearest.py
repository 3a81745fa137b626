"""The training map that each generated map is nearest to: is it drawn, or remembered?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COMMON_PX = 64
"""Side at which maps are compared: small shifts count little there, the course of the large vessels does."""

Maps = NDArray[np.floating] | NDArray[np.bool_]
"""(n k h w), 0 and 1 or soft."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each map the nearest other."""

    index: NDArray[np.intp]
    """(n) which one."""
    distance: NDArray[np.float32]
    """(n) Dice distance in [0, 1]: 0 for the same map, 1 where they share nothing."""


def shrink(labels: NDArray[np.uint8] | NDArray[np.bool_], size_px: int = COMMON_PX) -> NDArray[np.float32]:
    """A soft map (h w) in [0, 1] at the common size: area means of labels (h w), bool or uint8 0 to 255."""
    grey = labels.astype(np.uint8) * np.uint8(255) if labels.dtype == np.bool_ else labels
    picture = Image.fromarray(np.asarray(grey, np.float32))
    small = np.asarray(picture.resize((size_px, size_px), Image.Resampling.BOX), np.float32)
    return small / np.float32(255)


def nearest(maps: Maps, others: Maps) -> Nearest:
    """The nearest of ``others`` (m k h w) to each of ``maps`` (n k h w), by ``dice_distances``.

    Raises:
        ValueError: the shapes do not fit, or there are no others.
    """
    if not len(others):
        raise ValueError("there is no map to be nearest to")
    distances = dice_distances(maps, others)
    index = distances.argmin(axis=1)
    return Nearest(index, np.take_along_axis(distances, index[:, None], axis=1)[:, 0])


def leave_one_out(maps: Maps) -> Nearest:
    """The nearest other map of each map (n k h w): how far apart real maps lie, beside generated ones.

    Raises:
        ValueError: there are fewer than two maps.
    """
    if len(maps) < 2:
        raise ValueError("one map alone has no nearest other")
    distances = dice_distances(maps, maps)
    np.fill_diagonal(distances, np.inf)
    index = distances.argmin(axis=1)
    return Nearest(index, np.take_along_axis(distances, index[:, None], axis=1)[:, 0])


def dice_distances(maps: Maps, others: Maps) -> NDArray[np.float32]:
    """Distances (n m) between maps (n k h w) and others (m k h w), the mean over channels.

    Of one channel 1 - 2 sum(a b) / (sum(a a) + sum(b b)), Dice for soft maps (Milletari et al. 2016, arXiv
    1606.04797), which is 0 for equal maps; two empty channels are equal.

    Raises:
        ValueError: channels or sizes differ.
    """
    if maps.ndim != 4 or maps.shape[1:] != others.shape[1:]:
        raise ValueError(f"maps {maps.shape} and {others.shape} differ in channels or size")
    a = maps.reshape(*maps.shape[:2], math.prod(maps.shape[2:])).astype(np.float32)  # n k hw
    b = others.reshape(*others.shape[:2], math.prod(others.shape[2:])).astype(np.float32)  # m k hw
    total = np.zeros((len(maps), len(others)), np.float32)
    for channel in range(maps.shape[1]):
        left, right = a[:, channel], b[:, channel]
        area = np.square(left).sum(axis=1)[:, None] + np.square(right).sum(axis=1)  # n m
        shared = 2 * (left @ right.T)
        total += 1 - np.divide(shared, area, out=np.ones_like(shared), where=area > 0)
    return np.asarray(np.clip(total / np.float32(maps.shape[1]), 0, 1), np.float32)
