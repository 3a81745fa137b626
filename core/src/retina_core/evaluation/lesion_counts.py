"""How many lesions an eye's maps show, and how large they are: generated and real maps measured alike.

How many pieces a map falls into depends on its size, on where it is cut, and on what is dropped as a speck. So all
maps are brought to one size first, softly; real ones are cut where as much is marked as they cover, which is what
generated ones were cut to (``retina_core.maps``); and one size of speck, that of the real maps, is dropped from both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label

from retina_core.channels import lesions_among
from retina_core.data.prepare import PreparedSample, PreparedSamples, prepare_sample
from retina_core.data.sample import WEAK_GRADE, Sample
from retina_core.data.threads import in_order
from retina_core.maps import remove_specks, resize
from retina_core.training.priors import SPECK_SAMPLES, speck_area

Source = Literal["generated", "real"]
Marks = NDArray[np.bool_]
_LEVEL_SAMPLES = 256
"""Real maps from which a channel's cut is taken; the standard error of its share is then below 1 % of it."""


class LesionCount(NamedTuple):
    """One lesion in one eye."""

    pieces: int
    """Connected ones, by side or corner."""
    area_percent: float
    """Of the field of view."""


@dataclass(frozen=True, eq=False)
class MeasuredEye:
    """One eye whose maps were measured."""

    id: str
    patient: str
    source: Source
    grade: int
    """0 to 4: the one that was asked for, or that of the real eye."""
    grade_from: str
    """``asked``, ``own``, ``twin NAME`` or ``weak``."""
    lesions: Mapping[str, LesionCount]
    """Of the lesions that it is annotated for."""
    picture: NDArray[np.uint8] | None
    """(k+1 h w) 0 to 255: its maps and field of view, small; None where a channel is absent."""
    weak: tuple[str, ...] = ()
    """Which of its maps a trained stage marked."""


@dataclass(frozen=True)
class Ruler:
    """How maps are measured: size, cuts and specks, the same for all."""

    channels: tuple[str, ...]
    size_px: int
    levels: Mapping[str, int]
    """Channel -> coverage, 0 to 254, above which a pixel is marked."""
    speck_px: Mapping[str, int]
    """Channel -> pieces of fewer pixels are dropped."""
    picture_px: int
    """Side of the pictures of what was marked."""

    @classmethod
    def of(cls, real: PreparedSamples, picture_px: int) -> Ruler:
        """The ruler that real maps give, at their resolution; its pictures are no larger."""
        levels = {channel: _level(real, i) for i, channel in enumerate(real.channels)}
        specks = {
            channel: round(speck_area(_areas(real, i, levels[channel]), channel))
            for i, channel in enumerate(real.channels)
        }
        return cls(real.channels, real.resolution, levels, specks, min(picture_px, real.resolution))

    def marks(self, prepared: PreparedSample) -> Marks:
        """(k h w): what is marked in a sample at the ruler's size."""
        return np.stack([self._marked(prepared.labels[i], name) for i, name in enumerate(self.channels)])

    def _marked(self, coverage: NDArray[np.uint8], channel: str) -> Marks:
        marked = np.asarray(coverage > self.levels[channel])
        speck = self.speck_px[channel]
        return remove_specks(marked, speck) if speck > 1 else marked

    def measure(self, samples: Sequence[Sample], source: Source) -> Iterator[MeasuredEye]:
        """Samples that have a grade, measured one after the other."""
        yield from in_order(lambda sample: self._measured(sample, source), samples)

    def _measured(self, sample: Sample, source: Source) -> MeasuredEye:
        prepared = prepare_sample(sample, self.channels, self.size_px)
        marks, fov = self.marks(prepared), prepared.fov > 0
        inside = max(int(fov.sum()), 1)
        lesions = {
            channel: LesionCount(_count(marks[place]), 100 * float(marks[place].sum()) / inside)
            for place, channel in enumerate(self.channels)
            if channel in lesions_among(self.channels) and channel in sample.labels
        }
        whole = all(channel in sample.labels for channel in self.channels)
        picture = self._picture(np.concatenate([marks, fov])) if whole else None
        grade = -1 if sample.grade is None else sample.grade
        return MeasuredEye(
            sample.id, sample.patient, source, grade, _origin(sample, source), lesions, picture, sample.weak
        )

    def _picture(self, planes: Marks) -> NDArray[np.uint8]:
        """Planes (c h w) as shares of larger pixels, 0 to 255, so that a thousand eyes stay small."""
        small = resize(torch.from_numpy(planes)[None].float(), self.picture_px)[0]
        picture: NDArray[np.uint8] = (255 * small).round().byte().numpy()
        return picture


def _origin(sample: Sample, source: Source) -> str:
    if source == "generated":
        return "asked"
    if WEAK_GRADE in sample.weak:
        return "weak"
    return f"twin {sample.grade_from}" if sample.grade_from else "own"


def _count(marked: Marks) -> int:
    return int(label(marked, connectivity=2).max())  # type: ignore[no-untyped-call]  # it has no types


def _level(real: PreparedSamples, channel: int) -> int:
    """The coverage above which as large a share of pixels inside the fov lies as they cover on the whole.

    A pixel that nothing covers is never above it.
    """
    counts = np.zeros(256, np.int64)
    for i in np.flatnonzero(real.present[:, channel])[:_LEVEL_SAMPLES]:
        inside = np.asarray(real.fov[i, 0]) > 127
        counts += np.bincount(np.asarray(real.labels[i, channel])[inside], minlength=256)
    covered = float(counts @ np.arange(256)) / 255
    above = counts[::-1].cumsum()[::-1][1:]  # above[level]: pixels of more than it
    return int(np.abs(above - covered).argmin())


def _areas(real: PreparedSamples, channel: int, level: int) -> NDArray[np.int64]:
    """The areas of the connected pieces of some real maps, in pixels."""
    found = [np.zeros(0, np.int64)]
    for i in np.flatnonzero(real.present[:, channel])[:SPECK_SAMPLES]:
        marked = np.asarray(real.labels[i, channel]) > level
        found.append(np.bincount(label(marked, connectivity=2).ravel())[1:])  # type: ignore[no-untyped-call]
    return np.concatenate(found)
