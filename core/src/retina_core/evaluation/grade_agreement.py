"""Does a map show the grade that was asked for? A classifier that learnt from real maps says which it takes it for.

It never sees a photograph, nor a generated map while it learns. Its own accuracy on real maps that it has not seen is
the yardstick: a generator cannot show grades better than real eyes do.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from retina_core.evaluation.figures import Confusion
from retina_core.evaluation.lesion_counts import MeasuredEye
from retina_core.evaluation.scores import Score
from retina_core.formats.atomic import write_text
from retina_core.grades import GRADES
from retina_core.grading.agreement import Agreement
from retina_core.grading.grader import Grader, fit_grader
from retina_core.grading.settings import GraderSettings
from retina_core.training.options import FitOptions

HELD_OUT: Final = "real held-out maps"
"""The yardstick of a generated map's grade."""
CHANCE: Final = "chance"
"""What always saying the most frequent grade would reach."""
AIM: Final = -0.05
"""Agreement on generated maps less that on real ones: at most five points fewer are aimed at."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the classifier takes some eyes for."""

    eyes: tuple[MeasuredEye, ...]
    predicted: tuple[int, ...]

    @property
    def agreement(self) -> Agreement:
        """Of their grades with the answers."""
        return Agreement.of([eye.grade for eye in self.eyes], self.predicted)


def learn_grades(eyes: Sequence[MeasuredEye], settings: GraderSettings, options: FitOptions) -> Grader:
    """A classifier of the grades of real maps.

    Raises:
        ValueError: there is none.
        NonFiniteLossError: its training failed.
    """
    grades = torch.tensor([eye.grade for eye in eyes], dtype=torch.int64)
    return fit_grader(
        _pictures(eyes),
        grades,
        settings=settings,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        listener=options.listener,
    )


def ask(grader: Grader, eyes: Sequence[MeasuredEye]) -> Answers:
    """What the classifier takes each eye for."""
    return Answers(tuple(eyes), tuple(grader.predict(_pictures(eyes)).tolist()) if eyes else ())


def _pictures(eyes: Sequence[MeasuredEye]) -> Tensor:
    return torch.from_numpy(np.stack([eye.picture for eye in eyes if eye.picture is not None]))


def agreement_rows(generated: Answers, held_out: Answers) -> list[Score]:
    """Accuracy, accuracy within one grade, kappa and each grade's recall; of generated maps, then of real ones.

    Then the difference of their accuracies.
    """
    rows = [*_rows(generated, None), *_rows(held_out, HELD_OUT)]
    if generated.eyes and held_out.eyes:
        difference = unpaired_difference(_accuracy(generated), _accuracy(held_out))
        rows.append(Score("grade_accuracy_difference", None, None, *difference, reference=HELD_OUT))
    return rows


def _rows(answers: Answers, reference: str | None) -> Iterator[Score]:
    if not answers.eyes:
        return
    found, chance = answers.agreement, CHANCE if reference is None else f"{CHANCE}, {reference}"
    yield Score("grade_accuracy", None, None, *_accuracy(answers), reference=reference)
    yield Score("grade_accuracy", None, None, found.chance, seeds=0, reference=chance)
    yield Score("grade_accuracy_within_one", None, None, found.within_one, reference=reference)
    yield Score("grade_kappa", None, None, found.kappa, reference=reference)
    for grade in GRADES:
        asked = int(found.confusion[grade].sum())
        if asked:
            right = float(found.confusion[grade, grade]) / asked
            yield Score("grade_recall", None, None, right, reference=reference, grade=grade)


def _accuracy(answers: Answers) -> tuple[float, float, float]:
    """The share that is right with its interval, in which the eyes of one patient count as one."""
    share = answers.agreement.accuracy or 0.0
    return share, *share_interval(share, len({eye.patient for eye in answers.eyes}))


def share_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count``, 1 or more (Wilson 1927, JASA 22:209): not empty where all are right."""
    found = binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return min(float(found.low), share), max(float(found.high), share)


def unpaired_difference(
    ours: tuple[float, float, float], theirs: tuple[float, float, float]
) -> tuple[float, float, float]:
    """The difference of two values with intervals (value, low, high), with its own.

    Of independent ones, from their intervals alone (Newcombe 1998, Statistics in Medicine 17:873, method 10).
    """
    value = ours[0] - theirs[0]
    below = math.hypot(ours[0] - ours[1], theirs[2] - theirs[0])
    above = math.hypot(ours[2] - ours[0], theirs[0] - theirs[1])
    return value, value - below, value + above


def confusion_figures(generated: Answers, held_out: Answers, learnt: Sequence[int]) -> Iterator[Confusion]:
    """Asked, or true, against predicted grades."""
    for answers, title, rows in (
        (generated, "Generated maps", "asked for"),
        (held_out, "Real held-out maps", "true grade"),
    ):
        if answers.eyes:
            names = sorted({*learnt, *(eye.grade for eye in answers.eyes)})
            counts = answers.agreement.confusion[np.ix_(names, names)]
            yield Confusion(
                f"{title}: which grade they are taken for",
                rows,
                "taken for",
                tuple(map(str, names)),
                tuple(tuple(map(int, row)) for row in counts),
                _told(answers),
            )


def _told(answers: Answers) -> str:
    found = answers.agreement
    kappa = "undefined" if found.kappa is None else f"{found.kappa:.2f}"
    return (
        f"{found.count} eyes: {found.accuracy:.0%} right, {found.within_one:.0%} within one grade, quadratic kappa {kappa}; "
        f"always saying the most frequent grade would be right for {found.chance:.0%}."
    )


def verdict(generated: Answers, held_out: Answers) -> str:
    """What a reader must not miss, in two sentences."""
    ours = _accuracy(generated)
    said = (
        f"A classifier that learnt grades from real training maps takes {ours[0]:.0%} of {len(generated.eyes)} generated "
        "maps for the grade that was asked for"
    )
    if not held_out.eyes:
        return f"{said}. No real held-out map has a grade, so that its own accuracy is not known."
    theirs = _accuracy(held_out)
    difference = unpaired_difference(ours, theirs)
    value, low, high = (f"{100 * part:+.0f}".replace("-", "−") for part in difference)
    aim = "within" if round(difference[0], 9) >= AIM else "short of"
    return (
        f"{said}, and {theirs[0]:.0%} of {len(held_out.eyes)} real held-out maps for their own. The difference is {value} "
        f"points (95 % interval {low} to {high}), {aim} the aim of {-100 * AIM:.0f} points fewer at most."
    )


def write_answers(path: Path, answers: Sequence[Answers]) -> None:
    """Write ``answers.csv``: a row per eye that the classifier was asked about."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", "eye", "patient", "grade", "grade_from", "predicted"])
    for one in answers:
        for eye, predicted in zip(one.eyes, one.predicted, strict=True):
            writer.writerow([eye.source, eye.id, eye.patient, eye.grade, eye.grade_from, predicted])
    write_text(path, text.getvalue())
