"""The field of view: found in the photograph, cropped to, and pasted back."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage
from scipy.spatial import ConvexHull

from retina_core.data.masks import Mask, brightest
from retina_core.data.pixels import Picture

Plane = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)

_WORKING_PX: Final = 512
"""Larger photographs are reduced below this side to find the fov (IoU with HRF's own masks: 0.995)."""

_OVER_BLACK: Final = 5.0
"""Levels by which the fov's rim is brighter than the surround (CHASE_DB1's darkest rims: about 8)."""

_OF_TYPICAL: Final = 0.1
"""The least part of the median brightness that the fov's rim has. Around half of IDRiD's eyes the surround glows, brighter
than black by more than CHASE_DB1's darkest rims are; taken for fov, it made that up to a fifth too large."""

_BLACKEST: Final = 40.0
"""A frame whose darkest hundredth is brighter has no black surround: the fov fills it."""

MIN_SHARE: Final = 0.1
"""A derived fov covers at least this share of the frame; less is no photograph of a retina."""


class Box(NamedTuple):
    """A square of the frame, px; it may reach beyond the frame, where everything is black."""

    left: int
    top: int
    side: int
    tall: int = 0
    """Its height, where it is no square (``framing``); 0: its side."""

    @property
    def height(self) -> int:
        """From its top row to its last, px."""
        return self.tall or self.side


def derive_fov(photo: Picture) -> Mask:
    """The field of view (h w) of a photograph (h w 3): the largest bright part, its holes and dents filled.

    A camera's fov is convex (a disc, often cut above and below), so that dark parts at the rim are recovered
    by the convex hull. All False where nothing bright covers ``MIN_SHARE`` of the frame.
    """
    height, width = photo.shape[:2]
    factor = -(-max(height, width) // _WORKING_PX)
    small = Image.fromarray(brightest(np.asarray(Image.fromarray(photo).reduce(factor))))
    bright = _bright_part(np.asarray(small.filter(ImageFilter.MedianFilter(3))))
    frame = Image.new("1", (width, height))
    if bright.mean() >= MIN_SHARE:
        ImageDraw.Draw(frame).polygon(_outline(bright, factor), fill=1)
    return np.array(frame)


def _bright_part(levels: NDArray[np.uint8]) -> Mask:
    """The largest connected part that stands out of the frame's black."""
    black = min(float(np.percentile(levels, 1)), _BLACKEST)
    above = levels > black + _OVER_BLACK
    if above.any():
        typical = float(np.median(levels[above])) - black
        above = levels > black + max(_OVER_BLACK, _OF_TYPICAL * typical)
    bright = ndimage.binary_opening(above, iterations=3)
    parts, count = ndimage.label(bright)
    if count == 0:
        return np.zeros(levels.shape, dtype=np.bool_)
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.asarray(parts == largest)


def _outline(part: Mask, factor: int) -> list[tuple[float, float]]:
    """The corners of a part's convex hull, x and y in px of a frame that is ``factor`` times larger."""
    rows = np.flatnonzero(part.any(axis=1))
    first = part[rows].argmax(axis=1)
    last = part.shape[1] - 1 - part[rows, ::-1].argmax(axis=1)
    ends = np.stack(
        [np.concatenate([first, last]), np.concatenate([rows, rows])], axis=1
    )  # x, y of each row's ends
    corners = ends[ConvexHull(ends).vertices]
    return [(float(x), float(y)) for x, y in corners * factor + (factor - 1) / 2]


def fov_box(fov: Mask) -> Box:
    """The smallest square around a field of view (h w), centred on it.

    Raises ``ValueError`` for a field of view in which nothing is True.
    """
    rows, columns = np.flatnonzero(fov.any(axis=1)), np.flatnonzero(fov.any(axis=0))
    if not len(rows):
        raise ValueError("the field of view is empty")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = int(max(bottom - top, right - left))
    return Box(int(left + right - side) // 2, int(top + bottom - side) // 2, side)


def crop_square(picture: NDArray[Scalar], box: Box) -> NDArray[Scalar]:
    """The box's part of a picture (h w) or (h w c): (s s) or (s s c), zero where it reaches beyond that."""
    height, width = picture.shape[:2]
    crop = np.zeros((box.height, box.side, *picture.shape[2:]), dtype=picture.dtype)
    top, bottom = max(box.top, 0), min(box.top + box.height, height)
    left, right = max(box.left, 0), min(box.left + box.side, width)
    if top < bottom and left < right:
        inside = np.s_[top - box.top : bottom - box.top, left - box.left : right - box.left]
        crop[inside] = picture[top:bottom, left:right]
    return crop


def paste_back(plane: Plane, box: Box, size: tuple[int, int]) -> Plane:
    """A crop's plane (r r) in [0, 1], float32, in its place in a frame of ``size`` (width, height): (h w).

    Outside the box it is 0. The inverse of ``crop_square`` where r is the box's side; else it is resized to
    it first, bicubic and soft (perfect CHASE_DB1 labels come back from 128 px at Dice .80; bilinear, at .75).
    """
    width, height = size
    frame = np.zeros((height, width), dtype=np.float32)
    crop = resize_plane(plane, box.side, box.height)
    top, bottom = max(box.top, 0), min(box.top + box.height, height)
    left, right = max(box.left, 0), min(box.left + box.side, width)
    if top < bottom and left < right:
        inside = np.s_[top - box.top : bottom - box.top, left - box.left : right - box.left]
        frame[top:bottom, left:right] = crop[inside]
    return frame


def resize_plane(plane: Plane, side: int, tall: int = 0) -> Plane:
    """A square plane (r r) float32 in [0, 1] at another size (s s), bicubic, antialiased where it shrinks.

    ``tall``: its height, where it is to be no square.
    """
    size = (side, tall or side)
    if plane.shape == size[::-1]:
        return plane.astype(np.float32)
    resized = Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32).clip(0.0, 1.0)
