"""How well predicted grades agree with true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retina_core.grades import GRADES


@dataclass(frozen=True)
class Agreement:
    """Counts of true and predicted grades, and what they come to."""

    confusion: NDArray[np.int64]
    """(5 5): rows are true grades, columns predicted ones."""

    @classmethod
    def of(cls, true: Sequence[int], predicted: Sequence[int]) -> Agreement:
        """Of as many true as predicted grades, 0 to 4.

        Raises:
            ValueError: another number of them.
        """
        confusion = np.zeros((len(GRADES), len(GRADES)), np.int64)
        for row, column in zip(true, predicted, strict=True):
            confusion[row, column] += 1
        return cls(confusion)

    @property
    def count(self) -> int:
        """How many grades were compared."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float | None:
        """The share that is right, 0 to 1; None where there is nothing to compare."""
        return float(np.trace(self.confusion)) / self.count if self.count else None

    @property
    def within_one(self) -> float | None:
        """The share that is right or a grade beside it, 0 to 1; None where there is nothing to compare."""
        beside = sum(int(np.trace(self.confusion, offset)) for offset in (-1, 0, 1))
        return beside / self.count if self.count else None

    @property
    def chance(self) -> float | None:
        """The accuracy of always saying the most frequent true grade; None where there is nothing to compare."""
        return float(self.confusion.sum(1).max()) / self.count if self.count else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa with quadratic weights (Cohen 1968): 1 - Σ w O / Σ w E, w = (i - j)², at most 1.

        None where it is undefined: all true and all predicted grades are one and the same.
        """
        grades = np.array(GRADES)
        weights = (grades[:, None] - grades[None, :]) ** 2
        expected = np.outer(self.confusion.sum(1), self.confusion.sum(0)) / max(self.count, 1)
        by_chance = float((weights * expected).sum())
        return 1 - float((weights * self.confusion).sum()) / by_chance if by_chance else None
