"""Grey intensities inside the field of view, and how far two distributions of them are apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

GREYS = 256
EPSILON = 1e-10
"""Keeps the logarithm finite where a grey never occurs: one that only P has counts about ln(P / 1e-10)."""

Photo = NDArray[np.uint8]
"""(h w c), three colours or one, or (h w)."""
Counts = NDArray[np.int64]
"""(256)"""
Shares = NDArray[np.float64]
"""(256), sum 1."""


def grey_histogram(photo: Photo, fov: NDArray[np.bool_]) -> Counts:
    """How many pixels of the fov (h w) have which grey (ITU-R BT.601 luma, rounded) in a photograph.

    Raises:
        ValueError: the sizes differ.
    """
    if photo.shape[:2] != fov.shape:
        raise ValueError(f"photograph {photo.shape} and fov {fov.shape} differ in size")
    picture = Image.fromarray(photo[..., 0] if photo.ndim == 3 and photo.shape[2] == 1 else photo)
    return np.bincount(np.asarray(picture.convert("L"))[fov], minlength=GREYS)


def kl_divergence(p: ArrayLike, q: ArrayLike, eps: float = EPSILON) -> float:
    """Kullback-Leibler divergence of Q from P in nats: the sum of P ln(P / Q).

    Args:
        p: counts or shares (n), brought to sum 1; P is what is real.
        q: the same of Q.
        eps: added to every share.

    Raises:
        ValueError: the lengths differ, or one is all zero.
    """
    shares_p, shares_q = _shares(np.asarray(p)) + eps, _shares(np.asarray(q)) + eps
    if shares_p.shape != shares_q.shape:
        raise ValueError(f"{shares_p.shape} and {shares_q.shape} differ in length")
    return float(np.sum(shares_p * np.log(shares_p / shares_q)))


@dataclass(frozen=True, eq=False)
class IntensityComparison:
    """Real and synthetic photographs' greys."""

    real: Shares
    synthetic: Shares
    kl: float
    """Of synthetic from real photographs, in nats."""
    kl_real_halves: float | None
    """One random half of the real photographs from the other, as chance gives it; None for a single one."""


def intensity_comparison(
    real_photos: Iterable[tuple[Photo, NDArray[np.bool_]]],
    synthetic_photos: Iterable[tuple[Photo, NDArray[np.bool_]]],
    seed: int = 0,
) -> IntensityComparison:
    """Compare the greys of (photograph, fov) pairs, taken one at a time.

    Raises:
        ValueError: one side has no pixel inside a fov.
    """
    halves = _random_halves(real_photos, np.random.default_rng(seed))
    synthetic = sum((grey_histogram(*pair) for pair in synthetic_photos), np.zeros(GREYS, np.int64))
    real = halves.sum(axis=0)
    return IntensityComparison(
        _shares(real),
        _shares(synthetic),
        kl_divergence(real, synthetic),
        kl_divergence(halves[0], halves[1]) if halves.any(axis=1).all() else None,
    )


def _random_halves(
    photos: Iterable[tuple[Photo, NDArray[np.bool_]]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Greys (2 256) of two random halves; of each two photographs in turn a coin sends one to either half."""
    halves = np.zeros((2, GREYS), np.int64)
    side = 0
    for index, (photo, fov) in enumerate(photos):
        side = 1 - side if index % 2 else int(rng.integers(2))
        halves[side] += grey_histogram(photo, fov)
    return halves


def _shares(counts: NDArray[Any]) -> Shares:
    total = float(counts.sum())
    if total <= 0:
        raise ValueError("a histogram of no pixel has no shares; give at least one photograph with a fov")
    return np.asarray(counts / total, dtype=np.float64)
