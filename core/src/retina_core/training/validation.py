"""The weights that err least on eyes that a training does not learn from: they are kept in place of the last ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retina_core.data.prepare import PreparedSamples
from retina_core.data.sample import Dataset
from retina_core.data.split import held_out
from retina_core.errors import DatasetError
from retina_core.roles import Segmenter
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.training.feed import Course, Feed

TIMES = 20
"""Looks at the validation eyes in a training."""
_FARTHEST = 1e-6
"""Probabilities count as this far from 0 and 1 at least: one sure mistake would outweigh all else."""


def validation_eyes(dataset: Dataset, one_in: int, seed: int) -> tuple[Dataset, Dataset]:
    """The eyes that are learnt from, and one in ``one_in`` of all, at least one, that validates.

    Copies of one photograph stay together. Nothing is augmented yet, so that no eye has a turned twin on the other side.

    Raises:
        DatasetError: there is one eye only, or a channel is annotated nowhere else than in those that validate.
    """
    chosen = held_out({sample.identity: "" for sample in dataset.samples}, seed, 1 / one_in)
    learnt = [sample for sample in dataset.samples if sample.identity not in chosen]
    kept = [sample for sample in dataset.samples if sample.identity in chosen]
    if not kept:
        said = f"{len(dataset)} training sample is too few: one validates, and the others are learnt from"
        raise DatasetError(dataset.name, [f"{said}; add photographs, of two eyes at least"])
    known = {channel for sample in learnt for channel in sample.labels}
    if lost := [channel for channel in dataset.channels if channel not in known]:
        advice = "add photographs, choose other channels with --set data.channels=NAME,... or another --seed"
        told = [f"{channel}: only eyes that validate are annotated for it; {advice}" for channel in lost]
        raise DatasetError(dataset.name, told)
    return dataset.with_samples(learnt), dataset.with_samples(kept)


def validation_loss(segmenter: Segmenter, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sum of -y ln p - (1 - y) ln(1 - p) in nats over the known pixels inside the fov, and their number: two scalars."""
    found = segmenter.segment(batch.photos, batch.fov).float().clamp(_FARTHEST, 1 - _FARTHEST)  # b k h w
    entropy = -batch.labels * found.log() - (1 - batch.labels) * (1 - found).log()
    known = (batch.fov * batch.present[:, :, None, None].float()).expand_as(entropy)  # b k h w
    return (known * entropy).sum(), known.sum()


class Validation:
    """What a training that is validated carries along; a checkpoint holds it."""

    def __init__(self, samples: PreparedSamples, stage: LearningStage, seed: int, start: int = 0) -> None:
        """``start``: seen images from which weights are judged, where a training changes what it learns from."""
        self._feed = Feed([Course(samples)], stage, seed, holds_out=False)
        self._stage, self._start, self._eyes = stage, start, len(samples)
        self._every = max(1, stage.config.seen_images // TIMES)
        self.loss = math.inf
        """The least so far, mean over pixels."""
        self.seen_images = 0
        """When that was."""
        self._weights: dict[str, dict[str, Tensor]] = {}

    def due(self, before: int, seen_images: int) -> bool:
        """Whether it is time to look, ``before`` images having been seen a step ago."""
        passed = before // self._every != seen_images // self._every
        done = seen_images >= self._stage.config.seen_images
        return done or (passed and seen_images > self._start)

    @torch.no_grad()
    def look(self, networks: Mapping[str, nn.Module], seen_images: int) -> float:
        """The loss of the stage as it is now; its weights are kept where it is the least so far."""
        phase = Phase(self._stage.config.resolution, 1, {})
        total = known = 0.0
        for place in range(self._eyes):  # each once, whole and unchanged
            batch, _ = self._feed.batch(place, phase, slice(0, 1))
            entropy, pixels = validation_loss(self._stage, batch)  # type: ignore[arg-type]  # fit takes segmenters alone
            total, known = total + float(entropy), known + float(pixels)
        loss = total / max(known, 1.0)
        if loss < self.loss:
            self.loss, self.seen_images = loss, seen_images
            self._weights = {
                name: {key: value.detach().clone() for key, value in network.state_dict().items()}
                for name, network in networks.items()
            }
        return loss

    def restore(self, networks: Mapping[str, nn.Module]) -> None:
        """Give the networks the weights of least loss."""
        with torch.no_grad():
            for name, weights in self._weights.items():
                for key, value in networks[name].state_dict().items():
                    value.copy_(weights[key])

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"loss": self.loss, "seen_images": self.seen_images, "weights": self._weights}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.loss, self.seen_images = float(state["loss"]), int(state["seen_images"])
        self._weights = {name: dict(weights) for name, weights in state["weights"].items()}

    def facts(self) -> dict[str, Any]:
        """What the stage's card says of it."""
        return {"eyes": self._eyes, "loss": self.loss, "seen_images": self.seen_images}
