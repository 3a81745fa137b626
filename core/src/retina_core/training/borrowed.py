"""What a stage borrows to be trained by: features, styles, and segmenters that are fitted on its training samples first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from retina_core.config import StageConfig
from retina_core.data.sample import Dataset
from retina_core.formats.stage_card import MODEL, read_card
from retina_core.perceptual.features import PerceptualFeatures, SegmenterFeatures
from retina_core.perceptual.sources import (
    RandomSource,
    SegmenterSource,
    WeightsSource,
    perceptual_source,
    reader_source,
)
from retina_core.registry import Registry
from retina_core.roles import Segmenter
from retina_core.stages import LearningStage
from retina_core.style_photos import StyleSource, style_source
from retina_core.training.options import FitOptions


@dataclass(frozen=True)
class Borrowings:
    """All that a stage is trained by and never saves, known before any work."""

    features: WeightsSource | RandomSource | SegmenterSource | None = None
    """Where the features come from that it compares photographs in."""
    styles: StyleSource | None = None
    """Photographs whose style it learns."""
    reader: SegmenterSource | None = None
    """The segmenter that reads what it paints."""

    @classmethod
    def of(cls, owner: str, config: StageConfig, preset: str, registry: Registry) -> Borrowings:
        """What the settings of the stage ``owner`` ask for. Raises as ``perceptual_source`` and ``reader_source``."""
        features = perceptual_source(owner, config, preset, registry)
        return cls(features, style_source(config), reader_source(owner, config, preset, registry))

    @property
    def segmenters(self) -> list[tuple[SegmenterSource, str]]:
        """Segmenters that are fitted first, each once, and what each learns."""
        tasks = (
            (self.features, "what to compare photographs by"),
            (self.reader, "to read painted photographs"),
        )
        asked = {
            one.spec.name: (one, task) for one, task in reversed(tasks) if isinstance(one, SegmenterSource)
        }
        return list(asked.values())

    @property
    def lent(self) -> list[Dataset]:
        """Photographs that it sees besides its training samples: those whose style it learns."""
        return [self.styles.dataset] if self.styles else []

    @property
    def identity(self) -> dict[str, Any]:
        """What of it shapes the result of a training; nothing where nothing is borrowed."""
        found = {"perceptual": self.features, "style_photos": self.styles, "reader": self.reader}
        return {name: one.identity for name, one in found.items() if one}

    @property
    def facts(self) -> dict[str, Any]:
        """What the provenance of a stage says of styles and reader; its features say the rest themselves."""
        reader = {"reader": self.reader.spec.name} if self.reader else {}
        return {**({"style": self.styles.facts} if self.styles else {}), **reader}

    def check(self, say: Callable[[str], None], test: Dataset | None = None) -> None:
        """Refuse what cannot be had, or may not be, before any work; ``test``: what the run will be tested on.

        Raises:
            PathError: a file or folder is missing, or another one than it should be.
            DatasetError: style photographs cannot be read, or are of the test part.
        """
        if self.styles:
            self.styles.refuse_tested(test)
            count = len(self.styles.dataset)
            say(f"style: {count} photograph{'s' if count > 1 else ''} without annotations")
        for source in (self.features, self.reader):
            if source:
                source.check(say)

    def lend(
        self, stage: LearningStage, samples: Dataset, folder: Path, options: FitOptions, registry: Registry
    ) -> None:
        """Give a stage all of it, ready to be used. Raises as ``borrowed_features``."""
        owner, say = stage.name, options.listener.say
        if self.features:
            say(f"{owner}: compares {'styles' if self.styles else 'photographs'} {self.features.told}")
            stage.perceptual = borrowed_features(self.features, samples, folder, options, registry)
        if self.styles:
            stage.style_photos = self.styles.load(stage.resolution)
        if self.reader:
            say(f"{owner}: {self.reader.spec.name} reads what it paints")
            stage.reader = borrowed_reader(self.reader, samples, folder, options, registry)


def borrowed_features(
    source: WeightsSource | RandomSource | SegmenterSource,
    samples: Dataset,
    folder: Path,
    options: FitOptions,
    registry: Registry,
) -> PerceptualFeatures:
    """The features that a source stands for, ready to be used.

    Args:
        samples: the borrowing stage's training samples.
        folder: where segmenters are kept, each in a folder of its name.

    Raises:
        PathError: a file of weights is gone or damaged.
        RunFolderError: the folder holds a segmenter that was fitted otherwise.
    """
    if not isinstance(source, SegmenterSource):
        return source.load()
    segmenter = fit_segmenter(source, samples, folder, options, registry)
    return SegmenterFeatures(segmenter, read_card(folder / segmenter.name).files[MODEL])


def borrowed_reader(
    source: SegmenterSource, samples: Dataset, folder: Path, options: FitOptions, registry: Registry
) -> Segmenter:
    """The segmenter that reads what a stage paints, frozen: in the folder where features are borrowed from, too."""
    segmenter = fit_segmenter(source, samples, folder, options, registry)
    segmenter.eval_mode()
    return segmenter


def fit_segmenter(
    source: SegmenterSource, samples: Dataset, folder: Path, options: FitOptions, registry: Registry
) -> Segmenter:
    """The segmenter of a source, in its folder; several processes fit it together, as they do any stage."""
    from retina_core.training.fit import fit  # a training inside a training

    fitted = fit(
        source.spec.name,
        samples,
        folder / source.spec.name,
        role="segmenter",
        preset=source.preset,
        settings=source.settings,
        options=options,
        registry=registry,
    )
    return cast(Segmenter, fitted)
