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
from retina_core.phantom import (
    CHANNELS,
    LESIONS,
    LESIONS_VERSION,
    PHANTOM_VERSION,
    PhantomEye,
    dealt_grade,
    lesions_of_any,
    phantom_eye,
)

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
"""Those of healthy phantoms; with ``data.phantom_grades`` the lesions of these grades are in use besides."""

NOTE: Final = "drawn by retina: shows no real eye"

_FOLD: Final = 5
"""Every fifth eye is for testing."""

_KEPT_BYTES: Final = 64 * 2**20
"""What drawn eyes may take, so that photograph, labels and fov of one are drawn once."""


class PhantomReader(Reader):
    """The source ``phantom``: ``data.phantom_count`` eyes, ``data.phantom_px`` a side, drawn when needed.

    Healthy ones, or with the lesions of ``data.phantom_grades``, which training and test part each get in turn.
    """

    name = "phantom"

    def matches(self, folder: Path) -> bool:
        return False

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        lesions = lesions_of_any(config.phantom_grades)
        channels = config.channels or (*DEFAULT_CHANNELS, *lesions)
        _refuse_unknown(channels, (*CHANNELS, *lesions))
        easel = Easel(config.phantom_px)
        last_of_fold = min(_FOLD, config.phantom_count) - 1
        training = "starter" if config.phantom_series == "starter" else "train"
        samples = []
        for index in range(config.phantom_count):
            tested = index % _FOLD == last_of_fold
            grade = dealt_grade(config.phantom_grades, index // _FOLD if tested else index - index // _FOLD)
            samples.append(easel.sample(index, channels, "test" if tested else training, grade))
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


def _refuse_unknown(channels: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raise where a channel is asked for that the phantoms, of the grades that were asked for, do not have."""
    unknown = sorted(set(channels) - set(known))
    if not unknown:
        return
    reason = f"phantoms have no {', '.join(unknown)}; have: {', '.join(known)}"
    if set(unknown) <= set(LESIONS):
        reason += "; lesions come with --set data.phantom_grades=0,1,2,3,4"
    raise InvalidValueError("data", "channels", ",".join(channels), reason)


class Easel:
    """Draws phantom eyes of one size and keeps the last ones; may be used by several threads."""

    def __init__(self, image_px: int) -> None:
        self.image_px = image_px
        planes = 3 + 1 + len(CHANNELS) + len(LESIONS)
        self._room = max(4, _KEPT_BYTES // (planes * image_px * image_px))
        self._eyes: OrderedDict[tuple[int, int, int | None], PhantomEye] = OrderedDict()
        self._lock = Lock()

    def eye(self, seed: int, index: int, grade: int | None = None) -> PhantomEye:
        """Eye ``index`` of ``seed``, healthy or of a grade, drawn or remembered."""
        key = (seed, index, grade)
        with self._lock:
            if eye := self._eyes.get(key):
                self._eyes.move_to_end(key)
                return eye
        eye = phantom_eye(seed, index, self.image_px, grade)
        with self._lock:
            self._eyes[key] = eye
            while len(self._eyes) > self._room:
                self._eyes.popitem(last=False)
        return eye

    def sample(self, index: int, channels: tuple[str, ...], series: str, grade: int | None = None) -> Sample:
        """Eye ``index`` of one of the ``SERIES`` as a sample with these channels, healthy or of a grade."""
        seed, patient = SERIES[series], f"phantom-{series}-{index:05d}"
        ill = grade is not None
        name = f"{patient}-grade{grade}" if ill else patient
        lesions = f" grade {grade} {LESIONS_VERSION}" if ill else ""

        def picture(part: str, draw: partial[Picture]) -> ArrayPicture:
            return ArrayPicture(f"{name} {part}", self.image_px, self.image_px, draw)

        return Sample(
            id=name,
            patient=patient,
            photo=picture("photo", partial(self._photo, seed, index, grade)),
            labels={
                channel: picture(channel, partial(self._label, seed, index, grade, channel))
                for channel in channels
            },
            fov=picture("fov", partial(self._fov, seed, index, grade)),
            fov_rule="given",
            grade=grade,
            official="test" if series == "test" else "train",
            recipe=f"phantom {PHANTOM_VERSION} {seed} {index} {self.image_px}{lesions}",
        )

    def _photo(self, seed: int, index: int, grade: int | None) -> Picture:
        return self.eye(seed, index, grade).photo

    def _fov(self, seed: int, index: int, grade: int | None) -> Picture:
        return _drawn(self.eye(seed, index, grade).fov)

    def _label(self, seed: int, index: int, grade: int | None, channel: str) -> Picture:
        return _drawn(self.eye(seed, index, grade).labels[channel])


def _drawn(mask: Mask) -> Picture:
    return mask.astype(np.uint8) * 255
