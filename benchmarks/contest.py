"""What a contest is, and what all of them are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import usual
from torch.utils.flop_counter import FlopCounterMode

from retina_core.devices import autocast
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch, LearningStage
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.processes import Processes

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Contest:
    """One row of the results."""

    name: str
    contestants: Mapping[str, usual.Step]
    """``ours``, ``plain``, and where they make sense ``ours_fp32`` and ``peer``."""
    plain: str
    """What is meant by plain."""
    goal: float | None = None
    """The ratio of plain to ours to reach."""
    peer: str | None = None
    peer_goal: float | None = None
    cycle: int = 1
    """Steps after which the costs of steps repeat (a lazy penalty)."""
    gigaflop: float = 0.0
    """Of one of our steps: products of its convolutions and linear layers."""


def made_up_batch(size: int, px: int) -> Batch:
    """A batch that costs as much as any other."""
    rng = torch.Generator().manual_seed(0)
    return Batch(
        labels=(torch.rand(size, 1, px, px, generator=rng) > 0.9).float(),
        fov=torch.ones(size, 1, px, px),
        photos=torch.rand(size, 3, px, px, generator=rng),
        present=torch.ones(size, 1, dtype=torch.bool),
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


def gigaflop(step: usual.Step) -> float:
    """Of one call, counted."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9
