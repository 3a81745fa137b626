"""Does a map show the grade that was asked for? A classifier that learnt from real maps says which it takes it for.

It never sees a photograph, nor a generated map while it learns. Its own accuracy on real maps that it has not seen is
the yardstick: a generator cannot show grades better than real eyes do. Test eyes with a grade are few (16 of IDRiD's), and a
share of 16 is known to some 20 points; so each training eye is held out once too, from a classifier like the first that
learns from the others.
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

from retina_core.data.split import in_turn
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


def ask_by_turns(
    eyes: Sequence[MeasuredEye], parts: int, settings: GraderSettings, options: FitOptions
) -> Answers:
    """What each eye is taken for by a classifier that learnt from those of other parts; no patient is in two.

    A classifier knows somewhat less than one that learnt from all eyes. Eyes of a grade that no other part has are left out;
    so are all where there are fewer than two parts, or patients.

    Raises:
        NonFiniteLossError: a training failed.
    """
    asked: list[MeasuredEye] = []
    predicted: list[int] = []
    dealt = _dealt(eyes, parts, options.seed)
    for part in range(max(dealt.values(), default=0) + 1):
        others = [eye for eye in eyes if dealt[eye.patient] != part]
        known = {eye.grade for eye in others}
        held_out = [eye for eye in eyes if dealt[eye.patient] == part and eye.grade in known]
        if held_out and len(known) > 1:
            answers = ask(learn_grades(others, settings, options), held_out)
            asked += answers.eyes
            predicted += answers.predicted
    return Answers(tuple(asked), tuple(predicted))


def _dealt(eyes: Sequence[MeasuredEye], parts: int, seed: int) -> dict[str, int]:
    """Patient -> part. Each part has its share of every grade's patients, so that rare grades are in many."""
    highest: dict[str, int] = {}
    for eye in eyes:
        highest[eye.patient] = max(eye.grade, highest.get(eye.patient, 0))
    order = in_turn({patient: str(grade) for patient, grade in highest.items()}, seed)
    return {patient: place * parts // len(order) for place, patient in enumerate(order)}


def joined(*answers: Answers) -> Answers:
    """All of them, in their order."""
    eyes = tuple(eye for one in answers for eye in one.eyes)
    return Answers(eyes, tuple(grade for one in answers for grade in one.predicted))


def _pictures(eyes: Sequence[MeasuredEye]) -> Tensor:
    return torch.from_numpy(np.stack([eye.picture for eye in eyes if eye.picture is not None]))


def agreement_rows(generated: Answers, held_out: Answers) -> list[Score]:
    """Accuracy, accuracy within one grade, kappa and each grade's recall; of generated maps, then of real ones.

    Then the difference of their accuracies, and for both the mean recall of the grades that both have: a classifier is righter
    about grades that it has often seen, and generated maps have other shares of them.
    """
    rows = [*_rows(generated, None), *_rows(held_out, HELD_OUT)]
    if generated.eyes and held_out.eyes:
        difference = unpaired_difference(_accuracy(generated), _accuracy(held_out))
        rows.append(Score("grade_accuracy_difference", None, None, *difference, reference=HELD_OUT))
    for answers, reference in ((generated, None), (held_out, HELD_OUT)):
        mean = mean_recall(answers, grades_of_both(generated, held_out))
        if mean is not None:
            rows.append(Score("grade_mean_recall", None, None, mean, reference=reference))
    return rows


def grades_of_both(generated: Answers, held_out: Answers) -> tuple[int, ...]:
    """Those that some eye of either has."""
    return tuple(sorted({eye.grade for eye in generated.eyes} & {eye.grade for eye in held_out.eyes}))


def mean_recall(answers: Answers, grades: Sequence[int]) -> float | None:
    """The share that is right, each grade counting alike; None without grades."""
    counts = answers.agreement.confusion[list(grades)]
    right = [float(row[grade] / row.sum()) for row, grade in zip(counts, grades, strict=True)]
    return sum(right) / len(right) if right else None


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
        f"{_alike(generated, held_out)}"
    )


def _alike(generated: Answers, held_out: Answers) -> str:
    """A sentence on both where shares of grades count for nothing; none where they have fewer than two in common."""
    both = grades_of_both(generated, held_out)
    ours, theirs = mean_recall(generated, both), mean_recall(held_out, both)
    if ours is None or theirs is None or len(both) < 2:
        return ""
    named = " and ".join((", ".join(map(str, both[:-1])), str(both[-1])))
    return f" With grades {named} counting alike, it is {ours:.0%} and {theirs:.0%}."


def write_answers(path: Path, answers: Sequence[Answers]) -> None:
    """Write ``answers.csv``: a row per eye that the classifier was asked about."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", "eye", "patient", "grade", "grade_from", "predicted"])
    for one in answers:
        for eye, predicted in zip(one.eyes, one.predicted, strict=True):
            writer.writerow([eye.source, eye.id, eye.patient, eye.grade, eye.grade_from, predicted])
    write_text(path, text.getvalue())
