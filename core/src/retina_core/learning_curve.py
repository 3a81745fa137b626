"""How much synthetic data helps where there are few annotated eyes: one sweep at each of several numbers of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from retina_core.errors import InvalidValueError
from retina_core.evaluation.curve import CurvePoint, LearningCurve
from retina_core.evaluation.shares import SweepTable
from retina_core.formats.lock import sole_use
from retina_core.registry import Registry
from retina_core.run_plan import RunPlan
from retina_core.sweep import SweepRequest, carry_out_sweep, sweep_plan, whole_numbers
from retina_core.training.lessons import annotated
from retina_core.training.options import FitOptions

EYES: Final = (5, 10, 20)
"""Numbers of training eyes; 20 is the training part of DRIVE and of CHASE_DB1."""
MIX: Final = (50,)
"""Share of pairs beside them, in per cent."""

_OWNER: Final = "learning-curve"


@dataclass(frozen=True)
class LearningCurveRequest:
    """What a learning curve is asked for: a sweep, and the numbers of training eyes at which it is made."""

    sweep: SweepRequest
    """Its seed chooses the eyes, its ``mix`` the shares beside none; its folder, or ``out``, holds a run for each number."""
    eyes: tuple[int, ...] = EYES

    def __post_init__(self) -> None:
        """Put the numbers in order.

        Raises:
            InvalidValueError: one is below 1 or there twice, or the settings name one too.
        """
        object.__setattr__(self, "eyes", checked_eyes(self.eyes))
        if (chosen := self.sweep.settings.get("data", {}).get("train_eyes")) is not None:
            raise InvalidValueError(
                _OWNER, "data.train_eyes", chosen, "it follows from the numbers of eyes; leave it out"
            )

    @property
    def folder(self) -> Path:
        """``out``, or ``runs/curve-<labels>-<translator>-<data>-<hash>``: other numbers of eyes go on in the same."""
        return self.sweep.out or self.sweep.folder.with_name(f"curve-{self.sweep.folder.name}")

    def at(self, eyes: int) -> SweepRequest:
        """The sweep at one number of eyes."""
        settings = {prefix: dict(chosen) for prefix, chosen in self.sweep.settings.items()}
        settings.setdefault("data", {})["train_eyes"] = eyes
        return replace(self.sweep, settings=settings, out=self.folder / _named(eyes))


def run_learning_curve(
    request: LearningCurveRequest, *, options: FitOptions | None = None, registry: Registry | None = None
) -> Path:
    """Sweep at each number of training eyes, which is all that stages and segmenters see there; test all on one test part.

    Everything about every number is checked before the first is begun. What the folder already holds is not done again;
    more numbers may be asked for later.

    Returns:
        The folder, with ``curve.json``, ``curve.csv`` and a run for each number in it.

    Raises:
        RequestError, RunError, KeyboardInterrupt: as ``run_sweep``; also where there are not so many eyes.
    """
    registry, options = registry or Registry.discover(), options or FitOptions()
    plans = {eyes: sweep_plan(request.at(eyes), options, registry) for eyes in request.eyes}
    with sole_use(request.folder):
        for place, (eyes, plan) in enumerate(plans.items(), start=1):
            options.listener.say(f"learning curve, {place} of {len(plans)}: {eyes} training eyes")
            carry_out_sweep(plan)
        _curve_of(request, plans).write(request.folder)
    return request.folder


def parse_eyes(text: str) -> tuple[int, ...]:
    """``"10,5"`` as ``(5, 10)``.

    Raises:
        InvalidValueError: a word is no whole number, below 1 or there twice.
    """
    expected = "of training eyes; write them with commas between"
    return checked_eyes(whole_numbers(_OWNER, "eyes", text, expected))


def checked_eyes(numbers: Iterable[int]) -> tuple[int, ...]:
    """Numbers of training eyes, in order.

    Raises:
        InvalidValueError: one is below 1 or there twice, or there is none.
    """
    eyes = sorted(numbers)
    told = ",".join(map(str, eyes))
    if not eyes or eyes[0] < 1:
        raise InvalidValueError(_OWNER, "eyes", told, "nothing is learnt from fewer than 1 eye")
    if twice := [one for one, other in pairwise(eyes) if one == other]:
        raise InvalidValueError(_OWNER, "eyes", told, f"{twice[0]} is there twice; leave one out")
    return tuple(eyes)


def _named(eyes: int) -> str:
    """The run of a number of eyes, in the curve's folder."""
    return f"eyes-{eyes}"


def _curve_of(request: LearningCurveRequest, plans: dict[int, RunPlan]) -> LearningCurve:
    """What the finished runs found, together."""
    split = next(iter(plans.values())).split
    points = tuple(
        CurvePoint(
            eyes,
            len({sample.patient for sample in plan.split.train}),
            tuple(sample.id for sample in plan.split.train),
            _named(eyes),
            SweepTable.read(request.folder / _named(eyes)),
        )
        for eyes, plan in plans.items()
    )
    return LearningCurve(
        split.train.name, split.train.phantom, request.sweep.seed, annotated(split.test), points
    )
