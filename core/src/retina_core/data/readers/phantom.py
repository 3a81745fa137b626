"""Phantom eyes: drawn by the core itself, from no file and no patient."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np

from retina_core.config import DataConfig
from retina_core.data.masks import Mask
from retina_core.data.pictures import ArrayPicture
from retina_core.data.pixels import Picture
from retina_core.data.readers.base import Reader
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import InvalidValueError
from retina_core.phantom import CHANNELS, PHANTOM_VERSION, PhantomEye, phantom_eye

TRAINING_SEED: Final = 20_170
"""The seed of the phantoms that ``--data phantom`` trains on."""

TEST_SEED: Final = 20_171
"""The seed of the phantoms that ``--data phantom`` tests on. Nothing may ever be trained on it."""

STARTER_SEED: Final = 20_172
"""The seed of the phantoms that starters are trained on, so that they have seen neither of the others."""

LABELS_SEED: Final = 20_173
"""The seed of the phantoms whose maps the stage ``phantom`` draws: eyes that are in none of the other series."""

PREVIEW_SEED: Final = 20_174
"""The seed of the phantoms that previews show, where a stage learns from real eyes."""

SERIES: Final = {
    "train": TRAINING_SEED,
    "test": TEST_SEED,
    "starter": STARTER_SEED,
    "preview": PREVIEW_SEED,
}
"""What samples are drawn for, and with which seed."""

DEFAULT_CHANNELS: Final = ("vessel", "optic_disc")

NOTE: Final = "drawn by retina: shows no real eye"

_FOLD: Final = 5
"""Every fifth eye is for testing."""

_KEPT_BYTES: Final = 64 * 2**20
"""What drawn eyes may take, so that photograph, labels and fov of one are drawn once."""


class PhantomReader(Reader):
    """The source ``phantom``: ``data.phantom_count`` eyes, ``data.phantom_px`` a side, drawn when needed."""

    name = "phantom"

    def matches(self, folder: Path) -> bool:
        return False

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        channels = config.channels or DEFAULT_CHANNELS
        if unknown := set(channels) - set(CHANNELS):
            reason = f"phantoms have no {', '.join(sorted(unknown))}; have: {', '.join(CHANNELS)}"
            raise InvalidValueError("data", "channels", ",".join(channels), reason)
        easel = Easel(config.phantom_px)
        last_of_fold = min(_FOLD, config.phantom_count) - 1
        training = "starter" if config.phantom_series == "starter" else "train"
        samples = [
            easel.sample(index, channels, "test" if index % _FOLD == last_of_fold else training)
            for index in range(config.phantom_count)
        ]
        return Dataset(
            name="phantom",
            reader=self.name,
            root=None,
            samples=tuple(samples),
            channels=channels,
            licence="CC0 1.0",
            notes=(NOTE,),
            phantom=True,
        )


class Easel:
    """Draws phantom eyes of one size and keeps the last ones; may be used by several threads."""

    def __init__(self, image_px: int) -> None:
        self.image_px = image_px
        planes = 3 + 1 + len(CHANNELS)
        self._room = max(4, _KEPT_BYTES // (planes * image_px * image_px))
        self._eyes: OrderedDict[tuple[int, int], PhantomEye] = OrderedDict()
        self._lock = Lock()

    def eye(self, seed: int, index: int) -> PhantomEye:
        """Eye ``index`` of ``seed``, drawn or remembered."""
        with self._lock:
            if eye := self._eyes.get((seed, index)):
                self._eyes.move_to_end((seed, index))
                return eye
        eye = phantom_eye(seed, index, self.image_px)
        with self._lock:
            self._eyes[seed, index] = eye
            while len(self._eyes) > self._room:
                self._eyes.popitem(last=False)
        return eye

    def sample(self, index: int, channels: tuple[str, ...], series: str) -> Sample:
        """Eye ``index`` of one of the ``SERIES`` as a sample with these channels."""
        seed, name = SERIES[series], f"phantom-{series}-{index:05d}"

        def picture(part: str, draw: partial[Picture]) -> ArrayPicture:
            return ArrayPicture(f"{name} {part}", self.image_px, self.image_px, draw)

        return Sample(
            id=name,
            patient=name,
            photo=picture("photo", partial(self._photo, seed, index)),
            labels={
                channel: picture(channel, partial(self._label, seed, index, channel)) for channel in channels
            },
            fov=picture("fov", partial(self._fov, seed, index)),
            fov_rule="given",
            official="test" if series == "test" else "train",
            recipe=f"phantom {PHANTOM_VERSION} {seed} {index} {self.image_px}",
        )

    def _photo(self, seed: int, index: int) -> Picture:
        return self.eye(seed, index).photo

    def _fov(self, seed: int, index: int) -> Picture:
        return _drawn(self.eye(seed, index).fov)

    def _label(self, seed: int, index: int, channel: str) -> Picture:
        return _drawn(self.eye(seed, index).labels[channel])


def _drawn(mask: Mask) -> Picture:
    return mask.astype(np.uint8) * 255
