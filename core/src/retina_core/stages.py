"""What a stage is: a plugin's class in one of the roles, and what a stage that learns gives the core's loop.

The walk of one label map through a training step, which names the classes of this file and of ``training``:

    PreparedSamples   uint8 on disk, cropped to the fov, resized once        (data/prepare.py)
      -> Feed         which samples, in which order, patches, float32 in [0, 1] (training/feed.py)
      -> Batch        labels b k h w, fov b 1 h w, photos b c h w
      -> training_step(batch, context)                                        the plugin's
           context.augment(...)     one geometry for labels, fov and photos   (training/augmentation.py)
           context.noise(...)       from each sample's own generator          (randomness.py)
           context.descend(name, loss)  backward into one network, gradients averaged over processes, clipped,
                                        step, weight average                  (training/context.py)
      -> scalars      log.jsonl, progress, the stop on a non-finite loss     (training/loop.py)
      -> checkpoint   networks, optimizers, averages, extra state             (training/checkpoint.py)
      -> stage folder averaged weights, priors, what was seen                 (formats/stage_folder.py)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from retina_core.config import LearningConfig, StageConfig
from retina_core.specs import Role

if TYPE_CHECKING:
    from retina_core.perceptual.features import PerceptualFeatures
    from retina_core.roles import Segmenter
    from retina_core.style_photos import StylePhotos
    from retina_core.training.context import StepContext


LOWEST_RATE = 0.02
"""What is left of a learning rate that fell."""


@dataclass(frozen=True)
class Batch:
    """Training samples on the device, float32 in [0, 1]."""

    labels: Tensor
    """(b k h w), soft: the share of each pixel that the structure covers."""
    fov: Tensor
    """(b 1 h w), 0 or 1."""
    photos: Tensor
    """(b c h w), black outside the fov; (b 0 h w) for a stage that does not read photographs."""
    present: Tensor
    """(b k) bool: whether the channel was annotated; an absent one is never trained on."""
    photo_mean: Tensor
    """(b c 1 1), mean of the whole photograph inside its fov, before patches and augmentation."""
    photo_std: Tensor
    """(b c 1 1), its standard deviation."""
    grades: Tensor
    """(b) int64, -1 where unknown."""

    def __len__(self) -> int:
        return self.labels.shape[0]


@dataclass(frozen=True)
class Phase:
    """How a stage wants to be trained at one point of its training."""

    resolution: int
    batch_size: int
    learning_rates: Mapping[str, float]
    """Network -> learning rate now, so that a schedule is a few lines of ``plan``."""
    trainable: Sequence[str] = ("",)
    """Prefixes of the parameters that learn, e.g. ``("generator.local.",)``; the empty prefix: all."""
    patch_px: int = 0
    """Side of random patches cut out of each sample; 0: whole samples."""


@dataclass
class Priors:
    """What a stage keeps of its training set besides weights: no photograph, no map, only shapes and shares."""

    fovs: Tensor = field(default_factory=lambda: torch.zeros(0, 1, 1, 1, dtype=torch.uint8))
    """(m 1 h w) uint8, 0 or 255: fields of view that synthetic samples borrow."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Channel -> share of the fov that it covers in the training set."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Channel -> threshold at which this stage's soft maps cover that share (label generators)."""
    speck_shares: Mapping[str, float] = field(default_factory=dict)
    """Channel -> share of the frame; smaller pieces of a generated map are removed, real maps hardly have them."""
    grade_shares: Mapping[int, float] = field(default_factory=dict)


class Stage(ABC):
    """A plugin's class in one of the roles. Its config and channels rebuild it; weights and priors come after."""

    role: ClassVar[Role]
    name: ClassVar[str]
    known_channels: ClassVar[tuple[str, ...] | None] = None
    """The only label channels that it can work with; None: any."""

    def __init__(self, config: StageConfig, channels: Sequence[str]) -> None:
        self.config = config
        self.channels: tuple[str, ...] = tuple(channels)
        """What each label channel means, in order, e.g. ``("vessel", "optic_disc")``."""
        self.priors = Priors()
        self.folder: Path | None = None
        """Where it was loaded from."""

    @property
    def resolution(self) -> int:
        """Side of the square pictures that the stage works at, in pixels."""
        return int(getattr(self.config, "resolution", 0))

    def networks(self) -> dict[str, nn.Module]:
        """The stage's networks by name; all their weights exist from construction on."""
        return {}

    def move_to(self, device: torch.device | str) -> None:
        """Put the networks on a device, their weights channels-last, which bf16 convolutions need to be fast."""
        for network in self.networks().values():
            # torch's stubs do not know .to(memory_format=...) for modules.
            cast(Any, network).to(device=device, memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where the networks are; the CPU for a stage without any."""
        for network in self.networks().values():
            for parameter in network.parameters():
                return parameter.device
        return torch.device("cpu")

    def eval_mode(self) -> None:
        """Networks as they are when generating: no batch statistics, no gradients."""
        for network in self.networks().values():
            network.eval().requires_grad_(False)

    def calibrate(self, batches: Iterable[Batch], seed: int) -> None:  # noqa: B027  (most stages have nothing to set)
        """Set what depends on the finished weights (a label generator's thresholds). Called once, after training."""


class LearningStage(Stage):
    """A stage that learns. The core owns the loop; the stage owns the step."""

    config: LearningConfig

    averaged: ClassVar[tuple[str, ...]] = ()
    """Networks that are used through the average of their weights (the generator of a GAN)."""
    reads_photos: ClassVar[bool] = True
    """Whether training needs photographs, or label maps alone."""
    masks_absent: ClassVar[bool] = False
    """Whether the step leaves out channels that a sample was not annotated for (``Batch.present``).

    Where it does not, samples that lack one of the channels in use are kept from it.
    """
    previews: ClassVar[int] = 16
    """Samples in a preview."""
    label_form: ClassVar[Literal["soft", "binary"]] = "soft"
    """What the labels of a batch are: coverage in [0, 1], or 0 and 1 as a finished label map has."""
    perceptual: PerceptualFeatures | None = None
    """Features to compare photographs in while training; set before it where the config asks for some, never saved."""
    style_photos: StylePhotos | None = None
    """Photographs whose style is learnt; set before training where the config names some, never saved."""
    reader: Segmenter | None = None
    """A frozen segmenter that reads what a stage of ``StyleConfig`` paints; as ``perceptual``."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Generator, discriminator, ... by name."""

    def move_to(self, device: torch.device | str) -> None:
        """Put the networks on a device, and what is borrowed with them."""
        super().move_to(device)
        for borrowed in (self.perceptual, self.reader):
            if borrowed is not None:
                borrowed.move_to(device)

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One optimizer for each network that learns, under its name; called after the networks moved."""

    @abstractmethod
    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update the networks on a batch; return detached scalars to log."""

    def plan(self, seen_images: int) -> Phase:
        """The phase at a point of the training; as it stands one phase, whose learning rates follow the config.

        ``discriminator_learning_rate``, where the config has one, is the rate of every other network; with
        ``rate_decay`` all fall in a line over that last share of the training.
        """
        config = self.config
        other = float(getattr(config, "discriminator_learning_rate", config.learning_rate))
        fall = float(getattr(config, "rate_decay", 0.0))
        left = max(1 - seen_images / config.seen_images, 0.0)
        factor = max(left / fall, LOWEST_RATE) if left < fall else 1.0
        rates = [config.learning_rate, *[other] * (len(self.networks()) - 1)]
        named = {name: rate * factor for name, rate in zip(self.networks(), rates, strict=True)}
        return Phase(config.resolution, config.batch_size, named)

    def rehearse(self, batch: Batch, context: StepContext) -> None:
        """Run the averaged networks once as in training, for batch statistics to be estimated anew.

        Stages without batch normalisation leave it.
        """

    def channel_dims(self) -> Mapping[str, int]:
        """Weight -> its dimension along which the label channels lie, for weights of another stage to be taken.

        The key is the weight's in ``model.safetensors``, ``"generator.head.weight"``. The channels are the first
        entries along the dimension, in their order; others (field of view, colours) come after them.
        """
        return {}

    def adopted(self, resolution: int) -> None:
        """Told, before training, that the weights were taken from a stage of that resolution."""

    @abstractmethod
    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Pictures (b 3 h w) in [0, 1] of what the stage makes, from a fixed batch and fixed generators.

        No real photograph is shown: a preview lies in the stage's folder, and that may be published. For the same
        reason a translator or segmenter that learns from real eyes gets a batch of phantoms, where they have its
        channels.
        """

    def extra_state(self) -> dict[str, Any]:
        """What else a resume must restore: tensors, numbers, text, lists and dicts of these."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take back what ``extra_state`` gave."""
