"""The core's loop and its reading, beside the stage's bare step."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
import usual
from contest import Contest, stage_step

from retina_core import open_dataset
from retina_core.config import LearningConfig
from retina_core.data.prepare import prepare
from retina_core.registry import Registry
from retina_core.stages import Batch
from retina_core.training.augmentation import Augmentation
from retina_core.training.feed import Course
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.trackers import Trackers


@dataclass
class Trained:
    """A quick training as the core's loop runs it, on phantom eyes."""

    loop: Loop
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)

    @classmethod
    def of(cls, name: str) -> Trained:
        registry, folder = Registry.discover(), tempfile.TemporaryDirectory()
        spec = registry.stage(name)
        # So long a training that no checkpoint or preview falls into the measured steps.
        rare: dict[str, object] = {"seen_images": 10**8, "checkpoint_every": 10**8, "preview_every": 10**8}
        kind = registry.config_class(spec)
        if kind.resolve(name, "quick").model_dump().get("ada") == "adaptive":
            # One ready batch is known by heart in no time: its maps would be changed more often than the loop's.
            rare |= {"ada": "fixed", "ada_strength": 0.5}
        config = kind.resolve(name, "quick", rare)
        assert isinstance(config, LearningConfig)
        dataset = open_dataset("phantom", registry=registry)
        samples = prepare(dataset.samples, ("vessel",), config.resolution)
        stage = registry.stage_class(spec)(config, ("vessel",))
        options = FitOptions(device="cpu")
        loop = Loop(
            stage, [Course(samples)], Path(folder.name), options, registry=registry, request="benchmark"
        )
        loop._train_mode()
        # Each photograph's statistics are worked out once: not in the measured steps.
        for start in range(0, len(samples), config.batch_size):
            loop.feed.batch(start, stage.plan(0), slice(0, config.batch_size))
        return cls(loop, folder)

    def loop_step(self) -> usual.Step:
        """A step of the loop: reading, training, and every so often a row of the log."""
        trackers = Trackers((), self.loop.folder, self.loop.stage.name, {})

        def step() -> None:
            before = self.loop.seen
            self.loop._step()
            self.loop._after_step(before, trackers)

        return step

    def read(self) -> tuple[Batch, list[torch.Generator]]:
        """The next batch."""
        phase = self.loop.stage.plan(self.loop.seen)
        return self.loop.feed.batch(self.loop.seen, phase, slice(0, phase.batch_size))

    def bare_step(self) -> usual.Step:
        """The stage's own step, augmentation included, on a batch that was read before."""
        return stage_step(self.loop.stage, self.read()[0], self.loop.precision)


def loop_overhead(name: str) -> Contest:
    looped, bare = Trained.of(name), Trained.of(name)
    stage = looped.loop.stage
    return Contest(
        f"loop of {name}, preset quick, batch {stage.plan(0).batch_size}",
        {"ours": looped.loop_step(), "plain": bare.bare_step()},
        "the stage's own step on one ready batch, without reading, logging or the loop",
        goal=1 / 1.05,
        cycle=int(getattr(stage.config, "r1_every", 1)),
    )


def reading(name: str) -> Contest:
    trained, bare = Trained.of(name), Trained.of(name)
    augmentation = Augmentation.of(trained.loop.stage.config)

    def read() -> None:
        batch, rngs = trained.read()
        augmentation(batch.labels, batch.fov, batch.photos, rngs)
        trained.loop.seen += len(batch)

    return Contest(
        f"reading and augmenting for {name}, preset quick",
        {"ours": read, "plain": bare.bare_step()},
        "the stage's own step, augmentation included, which reading must not outlast",
        goal=1.0,
        cycle=int(getattr(bare.loop.stage.config, "r1_every", 1)),
    )
