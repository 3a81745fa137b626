"""A tiny data set in memory, so that a contract needs no files and no seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retina_core.data.pictures import ArrayPicture
from retina_core.data.sample import Dataset, Sample


def tiny_eyes(count: int = 6, image_px: int = 40, channels: Sequence[str] = ("vessel",)) -> Dataset:
    """``count`` samples of ``image_px``: a bright disc for an eye, with one bar per channel in its place and colour."""
    samples = tuple(_tiny_eye(index, image_px, tuple(channels)) for index in range(count))
    return Dataset("tiny", "memory", None, samples, tuple(channels), phantom=True)


def _tiny_eye(index: int, side: int, channels: tuple[str, ...]) -> Sample:
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:side, :side]
    fov = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (0.46 * side) ** 2
    photo = np.full((side, side, 3), (190, 90, 50), np.float64) + rng.normal(0, 6, (side, side, 3))
    labels = {}
    for place, channel in enumerate(channels):
        centre = side * (0.3 + 0.4 * rng.random())
        across = columns if (index + place) % 2 else rows
        bar = (abs(across - centre) < side / 16 + place) & fov
        labels[channel] = ArrayPicture.of(f"{channel}/{index}", (bar * 255).astype(np.uint8))
        photo[bar] *= 0.5 + 0.1 * place
    picture = (photo.clip(0, 255) * fov[:, :, None]).astype(np.uint8)
    return Sample(
        id=f"eye{index}",
        patient=f"patient{index}",
        photo=ArrayPicture.of(f"photo/{index}", picture),
        labels=labels,
        fov=ArrayPicture.of(f"fov/{index}", (fov * 255).astype(np.uint8)),
        fov_rule="given",
    )
