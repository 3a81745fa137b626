"""What a contest is, and what all of them are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import usual
from torch.utils.flop_counter import FlopCounterMode

from retina_core.devices import autocast
from retina_core.fast_mode import Mode, fast, make_ready
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch, LearningStage, Stage
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.processes import Processes

CPU = torch.device("cpu")

Measured = Literal["bf16", "fp32"]
"""What our steps multiply in; those that are usual and those of others always do in float32."""

STILL = {"flips": "none", "rotation_degrees": 0.0, "scale": 0.0}
"""No augmentation: it is measured by itself."""


class NotHere(Exception):  # noqa: N818  (nothing went wrong)
    """Why a contest cannot be held on this machine."""


@dataclass(frozen=True)
class Contest:
    """One row of the results."""

    name: str
    contestants: Mapping[str, usual.Step]
    """``ours``, ``plain``, and where they make sense ``ours_fp32`` and ``peer``."""
    plain: str
    """What is meant by plain."""
    precision: Measured | None = None
    """What ours multiplies in, where that is measured: goals of these rows suppose bf16."""
    goal: float | None = None
    """The ratio of plain to ours to reach."""
    goal_ms: float | None = None
    """The milliseconds that one of our steps may take."""
    peer: str | None = None
    peer_goal: float | None = None
    cycle: int = 1
    """Steps after which the costs of steps repeat (a lazy penalty)."""
    gigaflop: float = 0.0
    """Of one of our steps: products of its convolutions and linear layers."""


def made_up_batch(size: int, px: int, *, channels: int = 1) -> Batch:
    """A batch that costs as much as any other."""
    rng = torch.Generator().manual_seed(0)
    return Batch(
        labels=(torch.rand(size, channels, px, px, generator=rng) > 0.9).float(),
        fov=torch.ones(size, 1, px, px),
        photos=torch.rand(size, 3, px, px, generator=rng),
        present=torch.ones(size, channels, dtype=torch.bool),
        photo_mean=torch.full((size, 3, 1, 1), 0.5),
        photo_std=torch.full((size, 3, 1, 1), 0.3),
        grades=torch.full((size,), -1),
    )


def stage_step(stage: LearningStage, batch: Batch, precision: str) -> usual.Step:
    """Our training step on a ready batch."""
    stage.move_to(CPU)
    learner = Learner.of(stage, Processes())
    augmentation = Augmentation.of(stage.config)
    seen = 0

    def step() -> None:
        nonlocal seen
        phase = stage.plan(min(seen, stage.config.seen_images))
        context = StepContext(learner, phase, seen, sample_rngs(seen, len(batch)), augmentation)
        with autocast(CPU, precision):
            stage.training_step(batch, context)
        seen += phase.batch_size

    return step


def our_steps(stage: LearningStage, batch: Batch, precision: Measured) -> dict[str, usual.Step]:
    """``ours``, and ``ours_fp32`` where that is something else: of a copy of the stage."""
    steps = {"ours_fp32": stage_step(copy.deepcopy(stage), batch, "fp32")} if precision == "bf16" else {}
    return {"ours": stage_step(stage, batch, precision), **steps}


def using(stage: Stage, mode: Mode, use: Callable[[], object], *, moved: bool = True) -> usual.Step:
    """A finished stage at work in a mode, as ``generate`` has it; ``moved``: its weights channels-last."""
    if moved:
        stage.move_to(CPU)
    stage.eval_mode()
    make_ready(stage, mode)

    def step() -> None:
        with fast(stage, mode):
            use()

    return step


def gigaflop(step: usual.Step) -> float:
    """Of one call, counted."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9
