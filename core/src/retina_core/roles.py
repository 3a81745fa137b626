"""The five roles: what each promises, as abstract classes. ``retina_core.testing`` checks every promise.

Legend: ``b`` batch, ``k`` label channels, ``c`` image channels, ``h w`` pixels. Everything that crosses a stage's
border is float32 NCHW in [0, 1]; [-1, 1] lives inside a network only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from retina_core.asked_grades import at_quantile
from retina_core.cutting import matched_threshold
from retina_core.randomness import sample_rngs
from retina_core.specs import Role
from retina_core.stages import Batch, Stage

if TYPE_CHECKING:
    from retina_core.data.sample import Dataset
    from retina_core.evaluation.context import EvaluationContext
    from retina_core.evaluation.scores import Scores

CALIBRATION_MAPS = 64
"""Maps drawn to match a generator's threshold to the training set; their mean share varies by a few per cent."""


class DrawingStage(Stage, ABC):
    """What draws label maps from noise: a label generator alone, a pair generator with their photographs."""

    sharp: ClassVar[bool] = False
    """Whether maps are drawn rather than guessed: they are cut at one half, and nothing is thinned or removed."""
    takes_grades: ClassVar[bool] = False
    """Whether it draws an eye of an asked grade; those of its training set are in ``priors.grade_shares``."""

    @classmethod
    def shows_grades(cls, channels: Sequence[str]) -> bool:  # noqa: ARG003  (a stage may look at them)
        """Whether maps of these channels can show a grade: any may, of a generator that takes them."""
        return cls.takes_grades

    def calibrate(self, batches: Iterable[Batch], seed: int) -> None:
        """Choose the threshold of each channel so that generated maps cover the share that real ones do."""
        if self.sharp:
            self.priors.thresholds = dict.fromkeys(self.channels, 0.5)
            return
        rngs = sample_rngs(seed, CALIBRATION_MAPS, stream="calibration")
        maps = torch.cat([self._calibration_maps(rngs, i) for i in range(0, len(rngs), 16)]).cpu()  # b k h w
        fov = self._calibration_fov(maps)
        self.priors.thresholds = {
            channel: matched_threshold(channel, maps[:, i], fov.numpy(), self.priors.shares[channel])
            for i, channel in enumerate(self.channels)
        }

    @abstractmethod
    def _calibration_maps(self, rngs: Sequence[torch.Generator], start: int) -> Tensor:
        """Sixteen soft maps (b k h w) from generator ``start`` on."""

    def _calibration_fov(self, maps: Tensor) -> Tensor:
        """Where the maps count (b h w): the fields of view of the training set, dealt out in turn."""
        fovs = torch.nn.functional.interpolate(self.priors.fovs.float(), maps.shape[-2:], mode="area")
        order = torch.arange(len(maps)) % len(fovs)
        return fovs[order, 0] > 127


class LabelGenerator(DrawingStage, ABC):
    """Draws label maps from noise."""

    role: ClassVar[Role] = "label-generator"

    @abstractmethod
    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        """Soft label maps (b k h w) in [0, 1], one per generator; the same generators, the same maps.

        ``grades`` (b) int64 on the CPU, 0 to 4: the severity of each, for a generator that ``takes_grades``, which draws
        one by itself where none is given.

        A map depends on its own generator alone, never on its neighbours in the batch.
        """

    def at(self, size_px: int) -> LabelGenerator:
        """This generator drawing maps of another size, where it can draw at any; else itself."""
        return self

    def _calibration_maps(self, rngs: Sequence[torch.Generator], start: int) -> Tensor:
        """Sixteen maps (b k h w) from ``start`` on, of eyes whose grades are those of the training set, each as often."""
        some, shares = rngs[start : start + 16], self.priors.grade_shares
        if not shares or not self.shows_grades(self.channels):
            return self.sample(some)
        places = range(start, start + len(some))
        grades = [at_quantile(shares, (place + 0.5) / len(rngs)) for place in places]
        return self.sample(some, grades=torch.tensor(grades, dtype=torch.int64))


class PairGenerator(DrawingStage, ABC):
    """Draws label maps and the photographs that belong to them together, from noise."""

    role: ClassVar[Role] = "pair-generator"
    image_channels: int = 3

    @abstractmethod
    def sample_pairs(self, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Soft label maps (b k h w) and photographs (b c h w), both in [0, 1] and of one size, a pair per generator.

        The same generators, the same pairs; a pair depends on its own generator alone. What lies outside the field of
        view does not count: the core cuts both by one that it borrows, and makes the rest black.
        """

    def _calibration_maps(self, rngs: Sequence[torch.Generator], start: int) -> Tensor:
        """The label maps (b k h w) of sixteen pairs from ``start`` on."""
        return self.sample_pairs(rngs[start : start + 16])[0]


class ImageTranslator(Stage, ABC):
    """Paints a photograph over a label map."""

    role: ClassVar[Role] = "image-translator"
    image_channels: int = 3
    takes_style: bool = False
    """Whether ``translate`` can paint in the manner of given photographs."""

    @abstractmethod
    def translate(
        self, labels: Tensor, fov: Tensor, *, rngs: Sequence[torch.Generator], style: Tensor | None = None
    ) -> Tensor:
        """(b k h w) in {0, 1}, (b 1 h w) in {0, 1} -> photographs (b c h w) in [0, 1], black outside the fov.

        The same generators, the same photographs, whatever else is in the batch. ``style``, photographs (b c h w) in
        [0, 1], black outside their own fov: whose manner to paint in, for a translator that ``takes_style``.
        """


class Segmenter(Stage, ABC):
    """Finds label maps in photographs."""

    role: ClassVar[Role] = "segmenter"
    image_channels: int = 3

    @abstractmethod
    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        """(b c h w) in [0, 1], (b 1 h w) in {0, 1} -> probabilities (b k h w), 0 outside the fov; any h and w."""

    def probabilities(self, photos: Tensor, fov: Tensor) -> Tensor:
        """As ``segment``, with gradients to the photographs; for those who train something else by it.

        Of photographs as large as those of the training, in one piece. A segmenter need not have it.
        """
        raise NotImplementedError(f"{self.name} gives no gradients to photographs")

    @abstractmethod
    def features(self, photos: Tensor) -> list[Tensor]:
        """(b c h w) in [0, 1] -> feature maps (b f h' w'), fine ones first; differentiable."""


class Evaluator(ABC):
    """Says what synthetic pairs are worth."""

    name: str

    @abstractmethod
    def evaluate(
        self, synthetic: Dataset | None, real_train: Dataset, real_test: Dataset, context: EvaluationContext
    ) -> Scores:
        """Scores of synthetic pairs, tested on real photographs at their original size, read one at a time."""
