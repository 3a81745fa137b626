"""Pairs by their number in a run: of a label generator and a translator that fit together, or of a pair generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from retina_core.asked_grades import AskedGrades
from retina_core.cutting import cut_of
from retina_core.errors import ChannelError
from retina_core.fast_mode import Mode, fast
from retina_core.maps import Cut, finish
from retina_core.randomness import sample_rng
from retina_core.roles import DrawingStage, ImageTranslator, LabelGenerator, PairGenerator
from retina_core.screening import ATTEMPTS, Screen
from retina_core.stages import Stage
from retina_core.style_photo import StylePhoto

CHUNK = 8
"""Samples drawn together. Always as many: a network's last bits depend on the size of its batch, not on its
neighbours, so that a sample is the same whichever machine draws it, and beside whichever others."""


@dataclass(frozen=True)
class Pair:
    """One photograph and its label maps."""

    photo: NDArray[np.uint8]
    """(h w c)"""
    labels: NDArray[np.bool_]
    """(k h w), channels as the stage that drew them has them."""
    fov: NDArray[np.bool_]
    """(h w)"""
    attempt: int = 0
    """How many pairs were drawn in its place before it."""
    refused: Sequence[str] = ()
    """Why those were not taken; one more where this one was, because it is the last."""
    grade: int | None = None
    """That it was drawn for."""


@dataclass(frozen=True, kw_only=True)
class PairSource(ABC):
    """What the pairs of a run come from."""

    seed: int
    mode: Mode = "fp32"
    """How a translator works. Maps are always drawn in float32: they cost little, and a pixel is set or not."""
    style: StylePhoto | None = None
    """Whose manner every photograph is painted in; without, the translator chooses one for each."""
    grades: AskedGrades = field(default_factory=AskedGrades)
    """The grade that each map is drawn for."""

    @property
    @abstractmethod
    def drawing(self) -> DrawingStage:
        """The stage that draws the label maps."""

    @property
    @abstractmethod
    def painting(self) -> Stage:
        """The stage that paints the photographs; they have its resolution, and a field of view of its training set."""

    @abstractmethod
    def paint(self, indices: Sequence[int], attempt: int = 0) -> Iterator[Pair]:
        """Some pairs of the run, as they come."""

    @property
    def unpainted(self) -> tuple[str, ...]:
        """Channels that are drawn and of which a photograph shows nothing: as labels they would be wrong."""
        return tuple(name for name in self.drawing.channels if name not in self.painting.channels)

    def accepted(self, indices: Sequence[int], screen: Screen) -> list[Pair]:
        """The pairs of up to ``CHUNK`` numbers, each drawn until no filter refuses it, ``ATTEMPTS`` times at most."""
        kept: dict[int, Pair] = {}
        refused: dict[int, list[str]] = {index: [] for index in indices}
        for attempt in range(ATTEMPTS):
            waiting = [index for index in indices if index not in kept]
            for index, pair in zip(waiting, self.paint(waiting, attempt), strict=True):
                maps = dict(zip(self.drawing.channels, pair.labels, strict=True))
                reason = screen.reason(maps, pair.photo, pair.fov)
                if reason is not None:
                    refused[index].append(reason)
                if reason is None or attempt == ATTEMPTS - 1:
                    kept[index] = replace(pair, attempt=attempt, refused=tuple(refused[index]))
        return [kept[index] for index in indices]

    def _rngs(self, stream: str, indices: Sequence[int], attempt: int) -> list[torch.Generator]:
        return [sample_rng(self.seed, stream, index, attempt) for index in indices]

    def _fovs(self, indices: Sequence[int], attempt: int) -> Tensor:
        """Fields of view (b 1 h w)."""
        return torch.stack([self._fov(index, attempt) for index in indices])

    def _fov(self, index: int, attempt: int) -> Tensor:
        """A field of view (1 h w) borrowed from a training sample: it tells of the camera, not of the patient."""
        fovs = self.painting.priors.fovs
        choice = int(torch.randint(len(fovs), (), generator=sample_rng(self.seed, "fov", index, attempt)))
        size = (self.painting.resolution, self.painting.resolution)
        return (F.interpolate(fovs[choice][None].float(), size, mode="area")[0] > 127).float()

    def _finish(self, soft: Tensor, fov: Tensor) -> Tensor:
        """Labels (b k h w), 0 or 1, of soft maps (b k h' w')."""
        size = self.painting.resolution
        if self.drawing.sharp:
            return finish(soft.cpu(), size, fov, [Cut(0.5)] * soft.shape[1])
        priors = self.drawing.priors
        cuts = [
            cut_of(channel, priors.thresholds.get(channel, 0.5), priors.speck_shares.get(channel, 0.0), size)
            for channel in self.drawing.channels
        ]
        return finish(soft.cpu(), size, fov, cuts)


@dataclass(frozen=True)
class Painter(PairSource):
    """A label generator and a translator that fit together."""

    generator: LabelGenerator
    translator: ImageTranslator

    def __post_init__(self) -> None:
        missing = set(self.translator.channels) - set(self.generator.channels)
        if missing:
            raise ChannelError(
                self.translator.name,
                missing,
                f"the label generator {self.generator.name}",
                self.generator.channels,
            )

    @property
    def drawing(self) -> DrawingStage:
        """The label generator."""
        return self.generator

    @property
    def painting(self) -> Stage:
        """The translator."""
        return self.translator

    def paint(self, indices: Sequence[int], attempt: int = 0) -> Iterator[Pair]:
        """Some pairs of the run, as they come."""
        if not indices:
            return
        padded = _padded(indices)
        fov = self._fovs(padded, attempt)  # b 1 h w
        generator = self.generator.at(self.translator.resolution)
        grades = [self.grades.at(self.seed, index) for index in padded]
        soft = self._drawn(generator, self._rngs("labels", padded, attempt), grades)  # b k h' w'
        labels = self._finish(soft, fov)  # b k h w
        wanted = [self.generator.channels.index(channel) for channel in self.translator.channels]
        style = self.style.photo.expand(len(padded), -1, -1, -1) if self.style else None  # b c h w
        with fast(self.translator, self.mode):
            photos = self.translator.translate(
                labels[:, wanted], fov, rngs=self._rngs("photo", padded, attempt), style=style
            )
        yield from _shown(photos, labels, fov, grades[: len(indices)])

    @staticmethod
    def _drawn(
        generator: LabelGenerator, rngs: Sequence[torch.Generator], grades: Sequence[int | None]
    ) -> Tensor:
        """Soft maps (b k h w); a generator that takes no grades is not told any."""
        if None in grades:
            return generator.sample(rngs)
        return generator.sample(rngs, grades=torch.tensor(grades, dtype=torch.int64))


@dataclass(frozen=True)
class PairPainter(PairSource):
    """A pair generator, which draws label maps and paints photographs in one."""

    generator: PairGenerator

    @property
    def drawing(self) -> DrawingStage:
        """The pair generator."""
        return self.generator

    @property
    def painting(self) -> Stage:
        """The pair generator."""
        return self.generator

    def paint(self, indices: Sequence[int], attempt: int = 0) -> Iterator[Pair]:
        """Some pairs of the run, as they come."""
        if not indices:
            return
        padded = _padded(indices)
        fov = self._fovs(padded, attempt)  # b 1 h w
        soft, photos = self.generator.sample_pairs(self._rngs("pairs", padded, attempt))  # b k h w, b c h w
        yield from _shown(photos, self._finish(soft, fov), fov, [None] * len(indices))


def _padded(indices: Sequence[int]) -> list[int]:
    """``CHUNK`` numbers, those that are asked for first."""
    return [*indices, *range(indices[-1] + 1, indices[-1] + 1 + CHUNK - len(indices))]


def _shown(photos: Tensor, labels: Tensor, fov: Tensor, grades: Sequence[int | None]) -> Iterator[Pair]:
    """The first pairs of a chunk as they are written, one for each grade: photographs (b c h w) are made black outside."""
    photos = photos.float().cpu() * fov  # b c h w
    for i, grade in enumerate(grades):
        colours = (photos[i] * 255).round().clamp(0, 255).byte().numpy().transpose(1, 2, 0)  # h w c
        shown = (np.ascontiguousarray(colours), labels[i].numpy() > 0, fov[i, 0].numpy() > 0)
        yield Pair(*shown, grade=grade)
