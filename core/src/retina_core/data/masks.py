"""From a picture to a two-valued mask, and the refusal of what is none."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.pixels import Picture

Mask = NDArray[np.bool_]
"""(h w) True where marked."""

_DARK, _BRIGHT = 32, 223
"""Levels beyond these are near an end of the scale: what lossy compression makes of a two-valued mask."""

_MIDDLE_SHARE: Final = 0.01
"""A mask may have this share of its pixels between the ends (smoothed edges); a photograph has nearly all."""


class NotAMaskError(ValueError):
    """The picture is not a mask; the text says what it holds."""


SMOOTHED: Final = "grey edges are cut at half of full scale"
"""What was done to a mask that is told of it."""


def binarise(picture: Picture) -> Mask:
    """Where a mask (h w) or (h w 3) is marked: brighter than half of full scale.

    Full scale is 1 for masks of 0 and 1, the upper of two levels where the lower is 0, else 255. Colours
    count by their brightest channel, so palette masks are read as they look, whatever their indices.

    Raises:
        NotAMaskError: there are grey values, more than a mask's edges explain, or class numbers.
    """
    return binarised(picture)[0]


def binarised(picture: Picture) -> tuple[Mask, bool]:
    """As ``binarise``, and whether grey edges were cut."""
    grey = picture if picture.ndim == 2 else brightest(picture)
    counts = np.array(Image.fromarray(grey).histogram())
    levels = np.flatnonzero(counts)
    if len(levels) > 2:
        _refuse_greys(counts, levels)
    full = 1 if levels[-1] <= 1 else levels[-1] if len(levels) == 2 and levels[0] == 0 else 255
    return np.asarray(grey > full // 2), len(levels) > 2


def brightest(picture: Picture) -> Picture:
    """The brightest channel of a picture (h w 3): (h w)."""
    red, green, blue = (picture[:, :, channel] for channel in range(3))
    return np.maximum(np.maximum(red, green), blue)  # ten times as fast as max(axis=2)


def _refuse_greys(counts: NDArray[np.int64], levels: NDArray[np.int64]) -> None:
    said = f"it holds {len(levels)} values"
    if levels[-1] < _DARK:
        raise NotAMaskError(f"{said} from {levels[0]} to {levels[-1]}, like class numbers")
    middle = counts[_DARK : _BRIGHT + 1].sum() / counts.sum()
    if middle > _MIDDLE_SHARE:
        raise NotAMaskError(f"{said}, with {middle:.0%} of its pixels between black and white")
