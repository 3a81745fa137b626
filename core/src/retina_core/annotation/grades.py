"""Grades for samples that have none, from a grader that learns from those that have one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from retina_core.annotation.telling import counted
from retina_core.data.prepare import PreparedSamples, prepare
from retina_core.data.sample import Sample
from retina_core.grading.agreement import Agreement
from retina_core.grading.grader import Grader, fit_grader
from retina_core.grading.settings import GraderSettings
from retina_core.training.options import FitOptions

CHUNK = 256
"""Photographs that are graded, and held in memory, at once."""


@dataclass(frozen=True)
class Grades:
    """What a grader found."""

    found: dict[str, int]
    """Id -> grade, of samples that had none."""
    agreement: Agreement
    """With the grades of the test part."""
    weights: str
    """SHA-256 of the grader's weights."""


def fill_in_grades(
    learners: Sequence[Sample],
    held_out: Sequence[Sample],
    ungraded: Sequence[Sample],
    settings: GraderSettings,
    options: FitOptions,
) -> Grades:
    """Train a grader on ``learners``, compare it with ``held_out``, and grade ``ungraded``."""
    told = Counter(sample.grade for sample in learners)
    shares = ", ".join(f"{told[grade]} of grade {grade}" for grade in sorted(told, key=int))  # type: ignore[arg-type]
    options.listener.say(f"grader: learns from {len(learners)} photographs, {shares}")
    shown = _prepared(learners, settings, options)
    grader = fit_grader(
        torch.from_numpy(np.array(shown.photos)),
        torch.from_numpy(np.array(shown.grades)),
        settings=settings,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        listener=options.listener,
    )
    predicted = _graded(grader, held_out, settings, options)
    agreement = Agreement.of([int(sample.grade or 0) for sample in held_out], predicted)
    found = dict(
        zip((sample.id for sample in ungraded), _graded(grader, ungraded, settings, options), strict=True)
    )
    return Grades(found, agreement, grader.digest())


def _prepared(samples: Sequence[Sample], settings: GraderSettings, options: FitOptions) -> PreparedSamples:
    reached = counted("preparing", options.listener)
    return prepare(samples, (), settings.resolution, progress=reached)


def _graded(
    grader: Grader, samples: Sequence[Sample], settings: GraderSettings, options: FitOptions
) -> list[int]:
    if not samples:
        return []
    shown, grades = _prepared(samples, settings, options), list[int]()
    for start in range(0, len(shown), CHUNK):
        part = torch.from_numpy(np.array(shown.photos[start : start + CHUNK]))
        grades += grader.predict(part).tolist()
    return grades
