"""How well probabilities match a truth, over the pixels of the field of view.

One eye and channel become an ``EyeCounts``; their sum is what pooling all pixels of all eyes would give.
Nothing larger than one eye is ever held, whatever the number of eyes and their size. Undefined scores (the
recall of what no eye has) are None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from retina_core.evaluation.ranking import Ranking

Mask = NDArray[np.bool_]
"""(h w) bool."""
Probabilities = NDArray[np.floating]
"""(h w) in [0, 1]."""

METRICS = (
    "dice", "precision", "recall", "sensitivity", "specificity", "accuracy", "auc_roc", "auc_pr", "cldice"
)  # fmt: skip
"""The scores, all better when higher; ``recall`` and ``sensitivity`` are two words for one number."""


@dataclass(frozen=True)
class Confusion:
    """Pixels by prediction and truth."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.true_negatives + other.true_negatives,
        )

    def scores(self) -> dict[str, float | None]:
        """Dice, precision, recall, sensitivity, specificity, accuracy."""
        tp, fp, fn, tn = self.true_positives, self.false_positives, self.false_negatives, self.true_negatives
        recall = _ratio(tp, tp + fn)
        return {
            "dice": _ratio(2 * tp, 2 * tp + fp + fn),
            "precision": _ratio(tp, tp + fp),
            "recall": recall,
            "sensitivity": recall,
            "specificity": _ratio(tn, tn + fp),
            "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        }


@dataclass(frozen=True)
class Centrelines:
    """Skeleton pixels, and those inside the other mask (clDice, Shit et al. 2021, arXiv 2003.07311)."""

    predicted: int
    predicted_inside: int
    true: int
    true_inside: int

    def __add__(self, other: Centrelines) -> Centrelines:
        return Centrelines(
            self.predicted + other.predicted,
            self.predicted_inside + other.predicted_inside,
            self.true + other.true,
            self.true_inside + other.true_inside,
        )

    def cldice(self) -> float | None:
        """Harmonic mean of topology precision and sensitivity (equation 2); None where nothing is true."""
        precision = _ratio(self.predicted_inside, self.predicted)
        sensitivity = _ratio(self.true_inside, self.true)
        if sensitivity is None:
            return None
        if not precision or not sensitivity:
            return 0.0
        return 2 * precision * sensitivity / (precision + sensitivity)


@dataclass(frozen=True)
class EyeCounts:
    """All that the scores of one channel need of one eye, or of several added together."""

    confusion: Confusion
    ranking: Ranking | None = None
    """None for a finished segmentation, which ranks nothing."""
    centrelines: Centrelines | None = None
    """None where it was not asked for."""

    def __add__(self, other: EyeCounts) -> EyeCounts:
        return EyeCounts(
            self.confusion + other.confusion,
            self.ranking + other.ranking if self.ranking and other.ranking else None,
            self.centrelines + other.centrelines if self.centrelines and other.centrelines else None,
        )

    def coarse(self) -> EyeCounts:
        """The same with a ranking that is small enough to be kept for every patient."""
        return replace(self, ranking=self.ranking.coarse() if self.ranking else None)

    def scores(self) -> dict[str, float | None]:
        """Each of ``METRICS`` that could be counted -> its value in [0, 1], None where it is undefined."""
        found = self.confusion.scores()
        if self.ranking:
            found |= {"auc_roc": self.ranking.auc_roc(), "auc_pr": self.ranking.auc_pr()}
        if self.centrelines:
            found["cldice"] = self.centrelines.cldice()
        return found


def count_eye(
    probabilities: Probabilities, truth: Mask, fov: Mask, threshold: float, *, centrelines: bool = False
) -> EyeCounts:
    """The counts of one eye and channel.

    Args:
        probabilities: (h w); marked where they lie above ``threshold``.
        truth: (h w).
        fov: (h w); pixels outside do not count.
        threshold: chosen on training predictions, never on these.
        centrelines: count for clDice too.

    Raises:
        ValueError: the shapes differ, or a probability is not in [0, 1].
    """
    _check(probabilities, truth, fov)
    marked = count_mask(probabilities > threshold, truth, fov, centrelines=centrelines)
    return replace(marked, ranking=Ranking.of(probabilities[fov], truth[fov]))


def count_mask(marked: Mask, truth: Mask, fov: Mask, *, centrelines: bool = False) -> EyeCounts:
    """The counts of a finished segmentation (h w), such as a second observer's; it has no AUC.

    Raises:
        ValueError: the shapes differ.
    """
    _check(marked, truth, fov)
    inside, true = marked[fov], truth[fov]
    tp = int(np.count_nonzero(inside & true))
    fp, fn = int(np.count_nonzero(inside)) - tp, int(np.count_nonzero(true)) - tp
    confusion = Confusion(tp, fp, fn, true.size - tp - fp - fn)
    return EyeCounts(confusion, None, count_centrelines(marked & fov, truth & fov) if centrelines else None)


def count_centrelines(marked: Mask, truth: Mask) -> Centrelines:
    """Skeletons (h w) of both masks (Zhang and Suen's thinning) held against the other mask."""
    predicted, true = _skeleton(marked), _skeleton(truth)
    return Centrelines(
        int(predicted.sum()), int((predicted & truth).sum()), int(true.sum()), int((true & marked).sum())
    )


def _skeleton(mask: Mask) -> Mask:
    return np.asarray(skeletonize(mask), dtype=np.bool_)  # type: ignore[no-untyped-call]  # no types there


def pool(eyes: Iterable[EyeCounts]) -> EyeCounts:
    """The counts of all eyes together.

    Raises:
        TypeError: there is no eye.
    """
    return reduce(add, eyes)


def mean_scores(eyes: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Each score's mean over the eyes where it is defined; None where it never is."""
    columns: dict[str, list[float]] = {}
    for eye in eyes:
        for name, value in eye.items():
            columns.setdefault(name, []).extend([] if value is None else [value])
    return {name: float(np.mean(values)) if values else None for name, values in columns.items()}


def best_threshold(
    probabilities: Iterable[Probabilities], truths: Iterable[Mask], fovs: Iterable[Mask]
) -> float:
    """The threshold that gives training predictions their highest Dice, all pixels of all eyes pooled.

    Takes the eyes one at a time. 0.5 where nothing is true.

    Raises:
        ValueError: the shapes differ, or a probability is not in [0, 1].
    """
    ranking = Ranking.empty()
    for prediction, truth, fov in zip(probabilities, truths, fovs, strict=True):
        _check(prediction, truth, fov)
        ranking += Ranking.of(prediction[fov], truth[fov])
    return ranking.best_threshold()


def otsu_threshold(probabilities: Iterable[Probabilities], fovs: Iterable[Mask]) -> float:
    """Otsu's threshold (1979) of the probabilities of all eyes pooled; it needs no truth (MI-GAN's choice).

    On 256 equal bins; 0.5 where all pixels share one bin.
    """
    counts = np.zeros(256)
    for prediction, fov in zip(probabilities, fovs, strict=True):
        _check(prediction, fov, fov)
        counts += np.histogram(prediction[fov], bins=256, range=(0, 1))[0]
    # The upper ends of the bins: at a bin's centre, half of the lower class could lie above the threshold.
    ends = (np.arange(256) + 1) / 256
    if np.count_nonzero(counts) < 2:
        return 0.5
    return float(threshold_otsu(hist=(counts, ends)))  # type: ignore[no-untyped-call]  # no types there


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _check(prediction: Probabilities | Mask, truth: Mask, fov: Mask) -> None:
    if not prediction.shape == truth.shape == fov.shape:
        raise ValueError(
            f"shapes differ: prediction {prediction.shape}, truth {truth.shape}, fov {fov.shape}"
        )
    if truth.dtype != np.bool_ or fov.dtype != np.bool_:
        raise ValueError(f"truth and fov must be bool, not {truth.dtype} and {fov.dtype}")
    # Negated, so that NaN is refused too.
    if prediction.size and not (prediction.min() >= 0 and prediction.max() <= 1):
        raise ValueError("probabilities must lie in [0, 1]")
