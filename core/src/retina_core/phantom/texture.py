"""Noise of a chosen grain that is the same picture at every size."""

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from retina_core.phantom.anatomy import Plane


@lru_cache(maxsize=64)
def _weights(lattice: int, image_px: int) -> Plane:
    """Cubic B-spline weights (image_px, lattice + 3) that carry lattice values to pixel centres."""
    place = (np.arange(image_px) + 0.5) / image_px * lattice
    left = np.floor(place).astype(np.intp)
    t = place - left
    weights = np.zeros((image_px, lattice + 3), dtype=np.float32)
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for step, piece in enumerate(pieces):
        weights[np.arange(image_px), left + step] = piece / 6
    return weights


def grain(rng: Generator, lattice: int, image_px: int) -> Plane:
    """Smooth noise (h w) with ``lattice`` cells across the picture, of mean 0 and standard deviation about 1.

    Where the cells are too fine for the picture they average out, so the noise is 0.
    """
    # Drawn even then, so that a stream gives the next noise the same values at every size.
    values = rng.standard_normal((lattice + 3, lattice + 3)).astype(np.float32)
    if lattice > 0.75 * image_px:
        return np.zeros((image_px, image_px), dtype=np.float32)
    weights = _weights(lattice, image_px)
    # The spline averages neighbours: its variance per axis is 0.479 of the lattice's.
    return np.asarray(weights @ values @ weights.T / np.float32(0.479), dtype=np.float32)


def fractal(rng: Generator, coarsest: int, octaves: int, image_px: int, fall: float = 0.6) -> Plane:
    """Noise (h w) summed over scales, each twice as fine as the one before and ``fall`` times as strong."""
    total = np.zeros((image_px, image_px), dtype=np.float32)
    for octave in range(octaves):
        total += np.float32(fall**octave) * grain(rng, coarsest * 2**octave, image_px)
    return total


def streaks(rng: Generator, angle: Plane, radius: Plane, spokes: int, rings: int) -> Plane:
    """Noise (h w) drawn out along rays, ``spokes`` cells around and one cell per 1/``rings`` of ``radius``
    outwards.

    ``angle`` in radians; ``radius`` from 0, its values beyond 1 repeat the last ring.
    """
    values = rng.standard_normal((rings + 2, spokes)).astype(np.float32)
    around = (angle / np.float32(2 * np.pi)) % 1 * spokes
    outwards = np.clip(radius, 0, 1) * rings
    column, row = around.astype(np.intp), outwards.astype(np.intp)
    across, down = around - column, outwards - row
    column, following = column % spokes, (column + 1) % spokes
    near = values[row, column] * (1 - across) + values[row, following] * across
    far = values[row + 1, column] * (1 - across) + values[row + 1, following] * across
    return np.asarray(near * (1 - down) + far * down, dtype=np.float32)


def ridges(noise: Plane, width: float) -> NDArray[np.float32]:
    """Winding bands (h w) in [0, 1] along the lines where noise crosses 0."""
    return np.asarray(np.exp(-0.5 * (noise / width) ** 2), dtype=np.float32)
