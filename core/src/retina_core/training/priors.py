"""What is kept of a training set besides weights: the camera's shape, and shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label

from retina_core.channels import ANATOMY
from retina_core.data.prepare import PreparedSamples
from retina_core.stages import Priors

MAX_FOVS = 64
SPECK_SAMPLES = 64
SPECK_LOSS = 0.005
"""Pieces that together hold at most this part of a channel in real maps count as specks in generated ones."""
SPECK_OF_LEAST = 0.5
"""Where real maps have none so small, as connected trees have not: what is less than this part of the smallest."""
SPECK_LESIONS = 0.01
"""At most this part of a lesion's pieces in real maps, by number, is smaller than a speck: one true microaneurysm is a
pixel or two. By ``SPECK_LOSS`` alone, 6 % of IDRiD's haemorrhages would go at 256 px, and 4 % of its hard exudates at 512."""


def priors_of(samples: PreparedSamples, channels: Sequence[str]) -> Priors:
    """Fields of view, shares of channels and of grades, and sizes of specks in a training set."""
    every = max(1, len(samples) // MAX_FOVS)
    inside, covered = np.zeros(len(channels)), np.zeros(len(channels))
    for i in range(len(samples)):
        fov = np.array(samples.fov[i, 0]) > 127
        present = np.array(samples.present[i])
        inside += present * float(fov.sum())
        covered += present * np.array(samples.labels[i])[:, fov].sum(1) / 255
    return Priors(
        fovs=torch.from_numpy(np.array(samples.fov[::every][:MAX_FOVS])),
        shares={channel: float(covered[i] / max(inside[i], 1)) for i, channel in enumerate(channels)},
        speck_shares={channel: _speck_share(samples, i) for i, channel in enumerate(channels)},
        grade_shares=shares_of_grades(
            int(grade) if grade >= 0 else None for grade in np.array(samples.grades)
        ),
    )


def shares_of_grades(grades: Iterable[int | None]) -> dict[int, float]:
    """Grade -> its share of the samples that have one."""
    known = [grade for grade in grades if grade is not None]
    return {grade: known.count(grade) / len(known) for grade in sorted(set(known))}


def _speck_share(samples: PreparedSamples, channel: int) -> float:
    """A speck's area in real maps as a share of the frame."""
    areas = np.concatenate([*_pieces(samples, channel), np.zeros(0, np.int64)])
    return speck_area(areas, samples.channels[channel]) / samples.resolution**2


def speck_area(areas: NDArray[np.int64], channel: str) -> float:
    """Pieces of real maps smaller than this are specks, by the areas (n) of them all, in pixels; 0 where there are none.

    It is the largest piece such that it and all smaller ones hold ``SPECK_LOSS`` of the channel, or half the smallest
    piece where none is so small. Of a lesion, no more than ``SPECK_LESIONS`` of the pieces are smaller.
    """
    if not len(areas):
        return 0.0
    areas = np.sort(areas)
    small = np.cumsum(areas) <= SPECK_LOSS * areas.sum()
    largest = areas[small].max() if small.any() else SPECK_OF_LEAST * areas.min()
    if channel not in ANATOMY:
        largest = min(largest, areas[int(SPECK_LESIONS * len(areas))])
    return float(largest)


def _pieces(samples: PreparedSamples, channel: int) -> Iterator[NDArray[np.int64]]:
    """Areas of the connected pieces of some maps, in pixels."""
    for i in np.flatnonzero(samples.present[:, channel])[:SPECK_SAMPLES]:
        # A third: at half coverage, vessels thinner than a pixel would fall to pieces in real maps too.
        marked = np.array(samples.labels[i, channel]) > 85
        yield np.bincount(label(marked, connectivity=2).ravel())[1:]  # type: ignore[no-untyped-call]
