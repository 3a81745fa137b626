"""Areas under curves from two histograms, which can be added over eyes.

Exact areas need all pixels sorted: pooled HRF test eyes are 120 million, several gigabytes. Equal bins of
[0, 1] (torchmetrics' ``thresholds=``) are no way out either: a trained network's probabilities crowd at 0 and 1,
where one bin of 4,096 ties most of the background. These bins are equal in the float's own steps instead,
counted from 0 upwards and from 1 downwards: 0.02 % of the probability (or of its distance from 1) wide, 2 MB an
eye. Both areas of CHASE_DB1's test eyes come within 4e-5 of scikit-learn's, 40 times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DROPPED_BITS = 11


def _step_of(probability: float) -> int:
    return int(np.float32(probability).view(np.int32)) >> _DROPPED_BITS


_FLOOR = _step_of(2**-40)
"""All below share the lowest bin; a confident network's background does reach 1e-9."""
_MIDDLE = _step_of(0.5) - _FLOOR
"""The bin of 0.5."""
BINS = _MIDDLE + 1 + _step_of(0.5) - _step_of(2**-25)
"""Above 0.5 float32 has no steps finer than 2**-24."""

_WIDER = 256
"""Bins that are one in a coarse ranking."""

Counts = NDArray[np.int32] | NDArray[np.int64]
"""Of one eye in 32 bits, of several in 64."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """How many positive and negative pixels have which probability."""

    positives: Counts
    """(BINS) in order of probability."""
    negatives: Counts

    @classmethod
    def empty(cls) -> Ranking:
        """The ranking of no pixel."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64))

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> Ranking:
        """The ranking of pixels (n) with probabilities in [0, 1]."""
        bins = _bin_of(probabilities)
        positives = np.bincount(bins[truth], minlength=BINS)
        negatives = np.bincount(bins[~truth], minlength=BINS)
        return cls(positives.astype(np.int32), negatives.astype(np.int32))

    def __add__(self, other: Ranking) -> Ranking:
        return Ranking(
            np.add(self.positives, other.positives, dtype=np.int64),
            np.add(self.negatives, other.negatives, dtype=np.int64),
        )

    def coarse(self) -> Ranking:
        """The same in 1,009 wider bins, 16 KB: enough for how an area changes as eyes are left out, to 1e-4."""
        starts = np.arange(0, len(self.positives), _WIDER)
        return Ranking(
            np.add.reduceat(self.positives, starts, dtype=np.int64),
            np.add.reduceat(self.negatives, starts, dtype=np.int64),
        )

    def auc_roc(self) -> float | None:
        """Chance that a positive pixel lies above a negative one, ties counting half; None without both."""
        positives, negatives = int(self.positives.sum()), int(self.negatives.sum())
        if not positives or not negatives:
            return None
        below = np.cumsum(self.negatives, dtype=np.int64) - self.negatives
        return float(self.positives @ (below + 0.5 * self.negatives)) / positives / negatives

    def auc_pr(self) -> float | None:
        """Average precision: the sum of (R_n - R_{n-1}) P_n over thresholds, as scikit-learn defines it."""
        true, marked = self._above()
        if not true[-1]:
            return None
        gained = self.positives[::-1]
        used = gained > 0
        return float((gained[used] * (true[used] / marked[used])).sum() / true[-1])

    def best_threshold(self) -> float:
        """The threshold above which the marked pixels have the highest Dice; 0.5 where nothing is positive.

        It lies midway between the bins that it parts.
        """
        if not self.positives.any():
            return 0.5
        lowest_marked = BINS - 1 - int(np.argmax(self._dice()))
        below = np.flatnonzero((self.positives + self.negatives)[:lowest_marked])
        return float(_centre_of(lowest_marked) + _centre_of(int(below[-1]) if len(below) else 0)) / 2

    def best_dice(self) -> float:
        """The Dice at ``best_threshold``; 0 where nothing is positive."""
        return float(self._dice().max())

    def _dice(self) -> NDArray[np.float64]:
        """Dice (BINS) of what lies at and above each bin, from the highest bin downwards."""
        true, marked = self._above()
        dice: NDArray[np.float64] = 2 * true / np.maximum(marked + true[-1], 1)
        return dice

    def _above(self) -> tuple[Counts, Counts]:
        """True positives and marked pixels for each threshold, from the highest bin downwards."""
        true = np.cumsum(self.positives[::-1], dtype=np.int64)
        return true, true + np.cumsum(self.negatives[::-1], dtype=np.int64)


def _bin_of(probabilities: NDArray[np.floating]) -> NDArray[np.int32]:
    """Bins (n) of probabilities (n): the leading bits of p below 0.5, those of 1 - p, counted down, above."""
    p = probabilities.astype(np.float32, copy=False) + np.float32(0)  # -0.0 becomes 0.0
    upper = p > 0.5
    steps = (np.where(upper, np.float32(1) - p, p).view(np.int32) >> _DROPPED_BITS) - _FLOOR
    bins = np.where(upper, np.minimum(2 * _MIDDLE - steps, BINS - 1), np.maximum(steps, 0))
    return np.asarray(bins, np.int32)


def _centre_of(index: int) -> float:
    """The probability in the middle of a bin; of the first and the last, which hold 0 and 1, their end."""
    if index in (0, BINS - 1):
        return float(index > 0)
    steps = min(index, 2 * _MIDDLE - index) + _FLOOR
    middle = (steps << _DROPPED_BITS) + (1 << _DROPPED_BITS - 1)
    near = float(np.array(middle, np.int32).view(np.float32))
    return near if index <= _MIDDLE else 1 - near
