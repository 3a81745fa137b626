"""Eyes that previews may show where a stage learns from real ones.

A preview lies in the stage's folder, and that may be published. A vessel tree is as personal as a fingerprint, so that
neither a training map nor what was found in a training photograph is shown: phantoms are, which are nobody's eyes. A stage
that knows lesions is shown ill ones: each row is one eye, with every grade of retinopathy in its column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from retina_core.data.prepare import PreparedSamples, prepare_sample
from retina_core.data.readers.phantom import Easel
from retina_core.phantom import CHANNELS, GRADES, LESIONS
from retina_core.randomness import sample_rng
from retina_core.roles import LabelGenerator
from retina_core.stages import Batch, LearningStage, Stage
from retina_core.training.feed import Course, Feed

LEAST_PX, MOST_PX = 64, 512
"""Sides of the photographs that are drawn; in smaller ones a small cup is lost, larger ones cost seconds each."""


def shows_phantoms(stage: Stage) -> bool:
    """Whether previews of a stage that learns from real eyes show phantoms.

    Not those of a generator, which shows what it drew; nor of a stage with a channel that phantoms do not have:
    what it makes can only be seen on what it learnt from.
    """
    return stage.role not in ("label-generator", "pair-generator") and set(stage.channels) <= {
        *CHANNELS,
        *LESIONS,
    }


@lru_cache(maxsize=2)
def preview_eyes(channels: tuple[str, ...], resolution: int, count: int) -> PreparedSamples:
    """About ``count`` phantoms with these channels, prepared as training samples are; kept for the next preview.

    Healthy ones, or with lesions among the channels as many of each of the ``GRADES``, which take turns.
    """
    easel = Easel(min(max(resolution, LEAST_PX), MOST_PX))
    if set(channels) & set(LESIONS):
        rows = max(1, count // len(GRADES))
        eyes = [easel.sample(row, channels, "preview", grade) for row in range(rows) for grade in GRADES]
    else:
        eyes = [easel.sample(index, channels, "preview") for index in range(count)]
    prepared = [prepare_sample(eye, channels, resolution) for eye in eyes]
    return PreparedSamples(
        channels=channels,
        resolution=resolution,
        ids=tuple(eye.id for eye in eyes),
        photos=np.stack([one.photo for one in prepared]),
        labels=np.stack([one.labels for one in prepared]),
        fov=np.stack([one.fov for one in prepared]),
        present=np.ones((len(eyes), len(channels)), dtype=np.bool_),
        grades=np.array([-1 if eye.grade is None else eye.grade for eye in eyes], dtype=np.int64),
        fingerprints=("",) * len(eyes),
    )


class PreviewSource:
    """Where the previews of one training take what they show from."""

    def __init__(self, stage: LearningStage, training: Feed, seed: int, *, phantom: bool) -> None:
        """``phantom``: the training samples show no real eye, so that previews may show them."""
        self._stage, self._training, self._seed = stage, training, seed
        self._draws = not phantom and shows_phantoms(stage)
        self._drawn: Feed | None = None

    def batch(self, resolution: int) -> tuple[Batch, list[torch.Generator], int | None]:
        """What a preview is made from, a generator for each sample, and how many columns it has.

        A label generator that takes grades is given those of its training samples: each row has one noise, each column
        one grade. Phantoms with lesions come as ``preview_eyes`` has them. Columns are None where no grade is shown.
        """
        count, grades = self._stage.previews, self._grades()
        columns = len(grades)
        if not columns:
            return self._shown().fixed(count, resolution), self._rngs(range(count)), None
        rows = max(1, count // columns)
        batch = self._shown().fixed(rows * columns, resolution)
        asked = torch.tensor(grades, device=batch.grades.device).repeat(rows)
        return replace(batch, grades=asked), self._rngs([row for row in range(rows) for _ in grades]), columns

    def _grades(self) -> tuple[int, ...]:
        """A column's grade each."""
        if self._draws:
            return GRADES if set(self._stage.channels) & set(LESIONS) else ()
        stage = self._stage
        shows = isinstance(stage, LabelGenerator) and stage.shows_grades(stage.channels)
        return self._training.grades if shows else ()

    def _shown(self) -> Feed:
        """The training samples, or phantoms, which are drawn when they are first asked for."""
        if not self._draws:
            return self._training
        if self._drawn is None:
            stage = self._stage
            eyes = preview_eyes(stage.channels, stage.resolution, stage.previews)
            self._drawn = Feed([Course(eyes)], stage, self._seed, holds_out=False)
        return self._drawn

    def _rngs(self, places: Sequence[int]) -> list[torch.Generator]:
        return [sample_rng(self._seed, "preview", place) for place in places]
