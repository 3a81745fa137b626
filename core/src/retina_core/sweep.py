"""How much synthetic data helps: one run whose segmenters learn from ever larger shares of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

from retina_core.asked_grades import AskedGrades
from retina_core.errors import InvalidValueError
from retina_core.evaluation.regimes import pairs_needed, percent_of
from retina_core.evaluation.share_rows import table_of
from retina_core.evaluation.shares import Budget
from retina_core.pipeline import carry_out
from retina_core.registry import Registry
from retina_core.roles import DrawingStage
from retina_core.run_generation import drawn
from retina_core.run_plan import PipelineRequest, RunPlan
from retina_core.training.options import FitOptions

SHARES: Final = (0, 25, 50, 75)
"""Synthetic pairs in what is trained on, in per cent (Son et al. 2021, figure 1c)."""
EPOCHS: Final = {"quick": 10}
"""Rounds through what is trained on where the budget is epochs, by preset; 40 elsewhere (Son et al. 2021, section 3)."""
MOST_EPOCHS: Final = 40
SEEDS: Final = 3


@dataclass(frozen=True)
class SweepRequest(PipelineRequest):
    """What a sweep is asked for: a pipeline, and the shares that its one evaluator, a segmenter, is trained on.

    ``regimes`` follow from ``mix``; ``count`` that is not given is what the largest share takes; ``grade`` that is not
    given is ``uniform`` where maps are drawn by grade.
    """

    evaluators: tuple[str, ...] = ("unet",)
    mix: tuple[int, ...] = SHARES
    """Shares in per cent, 0 to 99; 0, what the others are compared with, is taken up where it is missing."""
    budget: Budget = "steps"
    """``steps``: as many for each share; ``epochs``: as many rounds, so that a larger share means more steps."""
    epochs: int | None = None
    """Rounds with a budget of epochs; None: 40, in ``quick`` 10."""
    seeds: int = SEEDS
    """Trainings of each share."""

    def __post_init__(self) -> None:
        """Put the shares in order.

        Raises:
            InvalidValueError: they cannot be swept over, or budget, epochs and settings do not fit together.
        """
        object.__setattr__(self, "mix", tuple(dict.fromkeys((0, *checked_shares(self.mix)))))
        regimes = ("REAL", *(f"MIX({share})" for share in self.mix if share))
        object.__setattr__(self, "regimes", regimes)
        self._check_budget()

    @property
    def trainings(self) -> Mapping[str, Any]:
        """Seeds and length of trainings, and that channels are scored together too."""
        return {"seeds": self.seeds, "epochs": self.rounds, "over_all": True}

    @property
    def rounds(self) -> int | None:
        """Rounds through what is trained on; None with a budget of steps."""
        if self.budget == "steps":
            return None
        return self.epochs or EPOCHS.get(self.chosen_preset, MOST_EPOCHS)

    def _check_budget(self) -> None:
        if self.budget not in ("steps", "epochs"):
            raise InvalidValueError("sweep", "budget", self.budget, "choose steps or epochs")
        if len(self.evaluators) != 1:
            raise InvalidValueError("sweep", "evaluator", ",".join(self.evaluators), "name one segmenter")
        if self.seeds < 1:
            raise InvalidValueError(
                "sweep", "seeds", self.seeds, "at least one training of each share is needed"
            )
        if self.epochs is not None and (self.budget == "steps" or self.epochs < 1):
            reason = "at least 1" if self.budget == "epochs" else "it counts with --budget epochs alone"
            raise InvalidValueError("sweep", "epochs", self.epochs, reason)
        (name,) = self.evaluators
        if self.budget == "epochs" and "seen_images" in (chosen := self.settings.get(name, {})):
            reason = "with --budget epochs it follows from --epochs and the samples; leave it out"
            raise InvalidValueError("sweep", f"{name}.seen_images", chosen["seen_images"], reason)


def run_sweep(
    request: SweepRequest, *, options: FitOptions | None = None, registry: Registry | None = None
) -> Path:
    """Train the stages on the training part, draw pairs, train segmenters on each share of them, and compare.

    What the run folder already holds is not done again, down to a single share and seed.

    Returns:
        The run folder, with ``sweep.json`` and ``sweep.csv`` in it.

    Raises:
        RequestError, RunError, KeyboardInterrupt: as ``run_pipeline``; also where ``count`` is too small.
    """
    return carry_out_sweep(sweep_plan(request, options or FitOptions(), registry or Registry.discover()))


def sweep_plan(request: SweepRequest, options: FitOptions, registry: Registry) -> RunPlan:
    """What a sweep is to do, checked before any work.

    Raises:
        RequestError: as ``run_sweep``.
    """
    (evaluator,) = request.evaluators
    registry.stage(evaluator, "segmenter")  # others are trained on nothing
    return _settled(RunPlan.of(request, registry, replace(options, seed=request.seed)))


def carry_out_sweep(plan: RunPlan) -> Path:
    """Do what a plan of ``sweep_plan`` says, and write the table. Returns the run folder.

    Raises:
        RunError, KeyboardInterrupt: as ``run_sweep``.
    """
    return carry_out(plan, ending=partial(_write_table, plan))


def parse_shares(text: str) -> tuple[int, ...]:
    """``"50,25"`` as ``(25, 50)``.

    Raises:
        InvalidValueError: a word is no whole number, or the shares cannot be swept over.
    """
    expected = "from 0 to 99; write shares in per cent with commas between"
    return checked_shares(whole_numbers("sweep", "mix", text, expected))


def whole_numbers(owner: str, key: str, text: str, expected: str) -> list[int]:
    """Whole numbers with commas between, in the order of ``text``.

    Raises:
        InvalidValueError: a word is none, or has more than nine digits.
    """
    words = [word.strip() for word in text.split(",")]
    if wrong := [word for word in words if not (word.isascii() and word.isdigit() and len(word) <= 9)]:
        raise InvalidValueError(owner, key, text, f"{wrong[0][:30]!r} is no whole number {expected}")
    return [int(word) for word in words]


def checked_shares(mix: Iterable[int]) -> tuple[int, ...]:
    """Shares in per cent, in order.

    Raises:
        InvalidValueError: one is not from 0 to 99 or there twice, or there is none above 0.
    """
    shares = sorted(mix)
    told = ",".join(map(str, shares))
    if outside := [share for share in shares if not 0 <= share <= 99]:
        reason = (
            f"{outside[0]} is not from 0 to 99 per cent; without real photographs there is nothing to add to"
        )
        raise InvalidValueError("sweep", "mix", told, reason)
    if twice := [one for one, other in pairwise(shares) if one == other]:
        raise InvalidValueError("sweep", "mix", told, f"{twice[0]} is there twice; leave one out")
    if not any(shares):
        raise InvalidValueError("sweep", "mix", told, "name a share above 0 to compare with it")
    return tuple(shares)


def _settled(plan: RunPlan) -> RunPlan:
    """The plan with what follows from the data: pairs for the largest share, and grades where they are drawn.

    Raises:
        InvalidValueError: ``count`` is too small for the largest share.
    """
    request, train = plan.request, plan.split.train
    kind = plan.registry.stage_class(plan.registry.stage(request.evaluators[0], "segmenter"))
    needed = pairs_needed(request.regimes, train, masks=getattr(kind, "masks_absent", True))
    if request.count is not None and request.count < needed:
        share = max(map(percent_of, request.regimes))
        reason = (
            f"{share} % of what is trained on takes {needed} pairs; ask for so many, or leave --count out"
        )
        raise InvalidValueError("sweep", "count", request.count, reason)
    graded = request.grade is None and _draws_grades(plan)
    settled = replace(
        request,
        count=request.count or max(needed, 1),
        grade="uniform" if graded else request.grade,
        out=request.folder,  # the name follows from what was asked for
    )
    return replace(plan, request=settled)


def _draws_grades(plan: RunPlan) -> bool:
    """Whether label maps are drawn by grade, and what that is learnt from has grades."""
    spec, start = plan.specs[plan.request.drawing], plan.starts[plan.request.drawing]
    kind = cast(type[DrawingStage], plan.registry.stage_class(spec))
    channels, shares = drawn(plan.registry, spec, start, plan.split)
    return bool(AskedGrades.of(kind, channels, shares, None, unseen=False, registry=plan.registry).dealt)


def _write_table(plan: RunPlan) -> None:
    request = cast(SweepRequest, plan.request)
    table = table_of(
        request.folder,
        request.evaluators[0],
        request.regimes,
        plan.split.test.samples,
        seeds=request.seeds,
        epochs=request.rounds,
    )
    table.write(request.folder)
