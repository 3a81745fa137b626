"""Train on each of several data sets, and test on all of them: a matrix of REAL and SYNTH."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from retina_core.data.sample import Split
from retina_core.errors import InvalidValueError
from retina_core.evaluation.elsewhere import crossed_split, named_apart
from retina_core.evaluation.matrix import Transfer, TransferSet, cells_of
from retina_core.evaluation.running import evaluate
from retina_core.evaluation.scores import Scores
from retina_core.formats.lock import sole_use
from retina_core.pipeline import carry_out
from retina_core.registry import Registry
from retina_core.run_plan import PipelineRequest, RunPlan
from retina_core.training.lessons import annotated
from retina_core.training.options import FitOptions

SEEDS: Final = 3
ELSEWHERE: Final = "elsewhere"
"""Where a run of the matrix keeps what its segmenters found in the other data sets."""

_OWNER: Final = "transfer"


@dataclass(frozen=True)
class _HomeRequest(PipelineRequest):
    """A pipeline on one of the data sets."""

    seeds: int = SEEDS

    @property
    def trainings(self) -> Mapping[str, Any]:
        return {"seeds": self.seeds}


@dataclass(frozen=True)
class TransferRequest:
    """What a matrix is asked for: a pipeline for each of several data sets, whose one evaluator is a segmenter."""

    pipeline: PipelineRequest
    """Its ``data`` are not combined: each is trained on by itself. Its folder, or ``out``, holds a run for each."""
    seeds: int = SEEDS
    """Trainings of each regime on each data set."""

    def __post_init__(self) -> None:
        """Refuse what makes no matrix.

        Raises:
            InvalidValueError: there are fewer than two data sets, one is there twice, or not one evaluator.
        """
        data, evaluators = self.pipeline.data, self.pipeline.evaluators
        if isinstance(data, str) or len(data) < 2:
            told = data if isinstance(data, str) else ",".join(data)
            reason = "name two data sets or more, with --data once for each"
            raise InvalidValueError(_OWNER, "data", told, reason)
        places = [os.path.realpath(one) for one in data]
        if twice := [one for one, place in zip(data, places, strict=True) if places.count(place) > 1]:
            raise InvalidValueError(
                _OWNER, "data", ",".join(data), f"{twice[0]} is named twice; leave one out"
            )
        reader = self.pipeline.reader
        if not isinstance(reader, (str, type(None))) and len(reader) != len(data):
            reason = (
                f"there are {len(data)} data sets; give one reader for all, or one for each in their order"
            )
            raise InvalidValueError(_OWNER, "reader", ",".join(reader), reason)
        if self.pipeline.test_data is not None:
            raise InvalidValueError(
                _OWNER, "test-data", self.pipeline.test_data, "all are tested on all; leave it out"
            )
        if len(evaluators) != 1:
            raise InvalidValueError(_OWNER, "evaluator", ",".join(evaluators), "name one segmenter")
        if self.seeds < 1:
            raise InvalidValueError(
                _OWNER, "seeds", self.seeds, "at least one training of each regime is needed"
            )

    @property
    def folder(self) -> Path:
        """``out``, or ``runs/transfer-<stages>-<data>-<hash>``."""
        usual = "" if self.seeds == SEEDS else f"-{self.seeds}seeds"
        own = self.pipeline.folder
        return self.pipeline.out or own.with_name(f"transfer-{own.name}{usual}")

    @property
    def homes(self) -> dict[str, PipelineRequest]:
        """Name of each data set -> the pipeline on it."""
        data, reader = self.pipeline.data, self.pipeline.reader
        shared = {**vars(self.pipeline), "regimes": ("REAL", "SYNTH"), "seeds": self.seeds}
        readers = [reader] * len(data) if isinstance(reader, (str, type(None))) else reader
        return {
            name: _HomeRequest(**{**shared, "data": one, "reader": own, "out": self.folder / name})
            for name, one, own in zip(named_apart(data), data, readers, strict=True)
        }


def run_transfer(
    request: TransferRequest, *, options: FitOptions | None = None, registry: Registry | None = None
) -> Path:
    """A pipeline on each data set, whose segmenters, REAL and SYNTH, are tested on the test part of every one.

    Nothing is trained twice: what was trained at home is tested elsewhere. What the folder already holds is not done again.

    Returns:
        The folder, with ``transfer.json``, ``transfer.csv`` and a run for each data set in it.

    Raises:
        RequestError: something about the request or one of the data sets is wrong, two of them share a picture across training
            and test part, or share no annotated channel; nothing was begun.
        RunError, KeyboardInterrupt: as ``run_pipeline``.
    """
    registry = registry or Registry.discover()
    options = replace(options or FitOptions(), seed=request.pipeline.seed)
    registry.stage(request.pipeline.evaluators[0], "segmenter")  # others are trained on nothing
    plans = {name: RunPlan.of(home, registry, options) for name, home in request.homes.items()}
    crossings = {
        (train, test): crossed_split(home.split, other.split.test)
        for train, home in plans.items()
        for test, other in plans.items()
        if train != test
    }
    with sole_use(request.folder):
        for place, (name, plan) in enumerate(plans.items(), start=1):
            options.listener.say(f"transfer, {place} of {len(plans)}: trained on {name}")
            carry_out(plan)
        for (train, test), split in crossings.items():
            options.listener.say(f"transfer: trained on {train}, tested on {test}")
            _test_elsewhere(plans[train], split, test)
        _matrix(request, plans).write(request.folder)
    return request.folder


def _test_elsewhere(plan: RunPlan, split: Split, test: str) -> None:
    """Test the segmenters of a finished run on the eyes of another data set."""
    request = plan.request
    (name,) = request.evaluators
    evaluate(
        name,
        request.folder / "synthetic",
        split,
        request.folder / ELSEWHERE / test,
        preset=request.chosen_preset,
        settings=request.settings.get(name),
        regimes=request.regimes,
        **request.trainings,
        protocol=request.protocol,
        trainings=request.folder / "evaluation" / name,
        options=plan.options,
        registry=plan.registry,
    )


def _matrix(request: TransferRequest, plans: Mapping[str, RunPlan]) -> Transfer:
    """What all runs found, together."""
    (evaluator,) = request.pipeline.evaluators
    cells = []
    for train in plans:
        for test in plans:
            own = f"evaluation/{evaluator}" if train == test else f"{ELSEWHERE}/{test}"
            cells += cells_of(train, test, Scores.read(request.folder / train / own / "scores.json"))
    sets = tuple(
        TransferSet(name, name, annotated(plan.split.train), annotated(plan.split.test))
        for name, plan in plans.items()
    )
    phantom = all(plan.split.train.phantom for plan in plans.values())
    return Transfer(evaluator, request.seeds, phantom, sets, tuple(cells))
