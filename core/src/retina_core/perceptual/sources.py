"""Where a training's perceptual features come from, worked out from the stage's settings before any work is done."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from retina_core.config import LearningConfig, PerceptualConfig, StageConfig
from retina_core.errors import InvalidValueError
from retina_core.perceptual.features import PerceptualFeatures
from retina_core.perceptual.random_vgg19 import RANDOM, RANDOM_SEED, random_vgg19
from retina_core.perceptual.vgg19 import VGG19Features
from retina_core.perceptual.weights import OWN, SHA256, WeightsFile, find_weights, read_vgg19
from retina_core.registry import Registry
from retina_core.roles import Segmenter
from retina_core.specs import StageSpec
from retina_core.style_config import StyleConfig

SEEN_SHARE = 8
"""A borrowed segmenter sees at most an eighth of the images that the stage sees itself, so that it stays a small part.

Three hundred images at 128 px, half a minute of one core, bring ``unet`` to a Dice of 0.75 on phantoms."""

USUAL_SEGMENTER = "unet"
"""What is borrowed where several segmenters are installed and none is named."""


class Source(ABC):
    """Where features come from."""

    @property
    @abstractmethod
    def told(self) -> str:
        """What is said when a training begins: it compares photographs ..."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What of it shapes the result of a training: other features are another training."""

    @abstractmethod
    def check(self, say: Callable[[str], None]) -> None:
        """Refuse what cannot be had, before any work.

        Raises:
            PathError: a file is missing, or another one than it should be.
        """


@dataclass(frozen=True)
class WeightsSource(Source):
    """VGG-19, from a file."""

    path: str
    download: bool

    @property
    def told(self) -> str:
        return "in features of VGG-19"

    @property
    def identity(self) -> dict[str, Any]:
        """The hash of the weights, wherever they lie; torchvision's is known without the file."""
        own = self.path.endswith(OWN)
        return {"source": "vgg19", "sha256": self._find(_nobody).sha256 if own else SHA256}

    def check(self, say: Callable[[str], None]) -> None:
        self._find(say)

    def load(self) -> PerceptualFeatures:
        """The features, on the CPU.

        Raises:
            PathError: the file is gone, damaged, or holds another network.
        """
        file = self._find(_nobody)
        return VGG19Features(read_vgg19(file), file.facts)

    def _find(self, say: Callable[[str], None]) -> WeightsFile:
        return find_weights(self.path, download=self.download, say=say)


@dataclass(frozen=True)
class RandomSource(Source):
    """VGG-19 with weights that nobody trained."""

    @property
    def told(self) -> str:
        return "in features of a VGG-19 of random weights"

    @property
    def identity(self) -> dict[str, Any]:
        """The seed of the weights, which is all that they come from."""
        return {"source": RANDOM, "seed": RANDOM_SEED}

    def check(self, say: Callable[[str], None]) -> None:
        """Nothing is needed."""

    def load(self) -> PerceptualFeatures:
        """The features, on the CPU."""
        return random_vgg19()


@dataclass(frozen=True)
class SegmenterSource(Source):
    """A segmenter that is fitted on the stage's own training samples first."""

    spec: StageSpec
    preset: str
    settings: Mapping[str, Any]
    config: StageConfig

    @property
    def told(self) -> str:
        return f"in features of {self.spec.name}, fitted on the same samples"

    @property
    def identity(self) -> dict[str, Any]:
        """The segmenter's settings; samples, seed and precision are those of the stage that borrows it."""
        return {"source": "segmenter", "stage": self.spec.name, "config": self.config.model_dump(mode="json")}

    def check(self, say: Callable[[str], None]) -> None:
        """Nothing is left to check: it is installed, and its settings hold."""


def perceptual_source(
    owner: str, config: StageConfig, preset: str, registry: Registry
) -> WeightsSource | RandomSource | SegmenterSource | None:
    """Where a stage's features come from; None where it borrows none.

    Args:
        owner: the stage's name.
        preset: the run's; a segmenter is fitted with the same.

    Raises:
        InvalidValueError: no segmenter is installed, or several are and none is named.
        UnknownStageError, BrokenPluginError: the one that is named cannot be had.
    """
    if not isinstance(config, PerceptualConfig) or config.perceptual == "none":
        return None
    if config.perceptual == "vgg19":
        return WeightsSource(config.perceptual_path, config.perceptual_download)
    if config.perceptual == RANDOM:
        return RandomSource()
    if not config.perceptual_segmenter and not registry.names("segmenter"):
        reason = "no segmenter is installed; install one (pip install retina-unet), or choose none or vgg19"
        raise InvalidValueError(owner, "perceptual", "segmenter", reason)
    spec = _segmenter(owner, "perceptual_segmenter", config.perceptual_segmenter, registry)
    return _borrowed(spec, config, preset, registry)


def reader_source(owner: str, config: StageConfig, preset: str, registry: Registry) -> SegmenterSource | None:
    """Which segmenter reads what a stage paints, its label maps held against what was found; None where none does.

    Raises:
        InvalidValueError: no segmenter that can is installed, or several are and none is named.
        UnknownStageError, BrokenPluginError: the one that is named cannot be had.
    """
    if not isinstance(config, StyleConfig) or not config.transfers or not config.segmentation_weight:
        return None
    setting = "segmentation_segmenter"
    if not config.segmentation_segmenter and not registry.names("segmenter"):
        reason = (
            "no segmenter is installed; install one (pip install retina-unet), or set segmentation_weight=0"
        )
        raise InvalidValueError(owner, setting, "", reason)
    spec = _segmenter(owner, setting, config.segmentation_segmenter, registry)
    if getattr(registry.stage_class(spec), "probabilities", None) is Segmenter.probabilities:
        reason = "it gives no gradients to photographs; name another, or set segmentation_weight=0"
        raise InvalidValueError(owner, setting, spec.name, reason)
    return _borrowed(spec, config, preset, registry)


def _borrowed(spec: StageSpec, borrower: LearningConfig, preset: str, registry: Registry) -> SegmenterSource:
    kind = registry.config_class(spec)
    preset = preset if preset in kind.presets else "standard"
    settings = _alike(kind.resolve(spec.name, preset), borrower)
    return SegmenterSource(spec, preset, settings, kind.resolve(spec.name, preset, settings))


def _segmenter(owner: str, setting: str, name: str, registry: Registry) -> StageSpec:
    """The segmenter of a name, or the one that is installed, or ``USUAL_SEGMENTER`` among several."""
    if name:
        return registry.stage(name, "segmenter")
    installed = registry.names("segmenter")
    if len(installed) > 1 and USUAL_SEGMENTER not in installed:
        reason = f"several segmenters are installed; name one of {', '.join(installed)}"
        raise InvalidValueError(owner, setting, name, reason)
    return registry.stage(installed[0] if len(installed) == 1 else USUAL_SEGMENTER, "segmenter")


def _alike(own: StageConfig, borrower: LearningConfig) -> dict[str, Any]:
    """Settings with which a segmenter sees photographs as large as those that it will compare, and is done soon."""
    if not isinstance(own, LearningConfig):
        return {}
    world = int(os.environ.get("WORLD_SIZE", "1"))
    shared = math.lcm(own.batch_size, world)  # several processes can share no other batch evenly
    settings = {
        "resolution": borrower.resolution,
        "seen_images": max(min(own.seen_images, borrower.seen_images // SEEN_SHARE), 1),
        "batch_size": shared,
    }
    return {key: value for key, value in settings.items() if value != getattr(own, key)}


def _nobody(line: str) -> None:
    """Told nothing: what there was to say was said when it was checked."""
