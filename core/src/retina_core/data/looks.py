"""What a photograph shows, small and free of light and size: enough to tell whether two files show the same picture.

A look is the grey photograph, cropped to what the camera filled, at 64 px, less its local mean and over its local
deviation. Vessels and lesions are left; brightness, compression and the frame around the eye are not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from retina_core.data.fov import crop_square, derive_fov, fov_box
from retina_core.data.masks import Mask
from retina_core.data.pixels import Picture

Look = NDArray[np.int8]
"""(64 64): deviations from the local mean, -125 to 125; 0 outside the eye and where nothing is to be seen."""

LOOK_PX: Final = 64

SMALLEST: Final = 32
"""Pixels of the shorter side, below which pictures are too alike to be compared."""

_WORKING_PX: Final = 160
"""Photographs are reduced to about this side first; more is not needed for 64 px."""

_SIGMA: Final = 1.5
"""Blur that gives the local mean, px of a look. On IDRiD, the gap between the same picture and different eyes is widest
at 1.5 (.70 to .54), and closes as discs and shadows count more than vessels (2: .72 to .61; 4: .79 to .86)."""

_RIM: Final = 3
"""Pixels at the eye's rim that are left out: there a crop or another outline changes most."""

_FLOOR: Final = 1.0
"""Grey levels of deviation that are noise: flat parts are not blown up."""

_MOST: Final = 2.5
_STEPS: Final = 50
"""Deviations are cut at 2.5 of the local ones, and kept in steps of a fiftieth."""


def look_of(photo: Picture) -> Look:
    """The look of a photograph (h w 3); all 0 where there is nothing to tell it by: it is tiny, or one flat colour."""
    if min(photo.shape[:2]) < SMALLEST:
        return np.zeros((LOOK_PX, LOOK_PX), np.int8)
    factor = max(1, min(max(photo.shape[:2]) // _WORKING_PX, min(photo.shape[:2]) // SMALLEST))
    small = np.asarray(Image.fromarray(photo).reduce(factor))
    fov = _filled(small)
    box = fov_box(fov)
    grey = np.asarray(Image.fromarray(small).convert("L"))
    values = _at_look_px(crop_square(grey, box), Image.Resampling.HAMMING).astype(np.float32)
    inside = _at_look_px(crop_square(fov, box).astype(np.uint8) * 255, Image.Resampling.BILINEAR) > 250
    inside = ndimage.binary_erosion(inside, iterations=_RIM)
    return np.round(_deviations(values, inside.astype(np.float32)) * _STEPS).astype(np.int8)


def _filled(small: Picture) -> Mask:
    """What the camera filled, by the photograph alone: a mask that comes with one data set may not with another."""
    fov = derive_fov(small)
    return fov if fov.any() else np.ones(small.shape[:2], dtype=np.bool_)


def _at_look_px(crop: NDArray[np.uint8], how: Image.Resampling) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(crop).resize((LOOK_PX, LOOK_PX), how))


def _deviations(values: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h w) less its local mean, over its local deviation; 0 outside."""
    apart = (values - _mean(values, inside, _SIGMA)) * inside
    deviation = np.sqrt(_mean(apart * apart, inside, 2 * _SIGMA))
    return np.asarray(np.clip(apart / (deviation + _FLOOR), -_MOST, _MOST) * inside, dtype=np.float32)


def _mean(values: NDArray[np.float32], inside: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    weights = ndimage.gaussian_filter(inside, sigma, mode="constant")
    sums = ndimage.gaussian_filter(values * inside, sigma, mode="constant")
    return np.asarray(sums / np.maximum(weights, 1e-6), dtype=np.float32)
