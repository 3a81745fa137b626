"""Eyes that previews may show where a stage learns from real ones.

A preview lies in the stage's folder, and that may be published. A vessel tree is as personal as a fingerprint, so that
neither a training map nor what was found in a training photograph is shown: phantoms are, which are nobody's eyes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from retina_core.data.prepare import PreparedSamples, prepare_sample
from retina_core.data.readers.phantom import Easel
from retina_core.phantom import CHANNELS
from retina_core.stages import Stage

LEAST_PX, MOST_PX = 64, 512
"""Sides of the photographs that are drawn; in smaller ones a small cup is lost, larger ones cost seconds each."""


def shows_phantoms(stage: Stage) -> bool:
    """Whether previews of a stage that learns from real eyes show phantoms.

    Not those of a label generator, which shows what it drew; nor of a stage with a channel that phantoms do not have:
    what it makes can only be seen on what it learnt from.
    """
    return stage.role != "label-generator" and set(stage.channels) <= set(CHANNELS)


@lru_cache(maxsize=2)
def preview_eyes(channels: tuple[str, ...], resolution: int, count: int) -> PreparedSamples:
    """``count`` phantoms with these channels, prepared as training samples are; kept for the next preview."""
    easel = Easel(min(max(resolution, LEAST_PX), MOST_PX))
    eyes = [easel.sample(index, channels, "preview") for index in range(count)]
    prepared = [prepare_sample(eye, channels, resolution) for eye in eyes]
    return PreparedSamples(
        channels=channels,
        resolution=resolution,
        ids=tuple(eye.id for eye in eyes),
        photos=np.stack([one.photo for one in prepared]),
        labels=np.stack([one.labels for one in prepared]),
        fov=np.stack([one.fov for one in prepared]),
        present=np.ones((count, len(channels)), dtype=np.bool_),
        grades=np.full(count, -1, dtype=np.int64),
        fingerprints=("",) * count,
    )
