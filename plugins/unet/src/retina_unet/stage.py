"""U-Net in the role of a segmenter; the core makes an evaluator of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from retina_core.optimizers import fused_adam
from retina_core.roles import Segmenter
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.tiling import in_tiles, over_turns
from retina_core.training.feed import photo_statistics
from retina_core.training.previews import label_picture, side_by_side
from retina_unet.config import UNetConfig
from retina_unet.losses import cross_entropy_loss, dice_loss
from retina_unet.network import UNet

if TYPE_CHECKING:
    from retina_core.training.context import StepContext


class UNetSegmenter(LearningStage, Segmenter):
    """Label probabilities of photographs by a U-Net."""

    name: ClassVar[str] = "unet"
    averaged: ClassVar[tuple[str, ...]] = ("network",)
    masks_absent: ClassVar[bool] = True
    previews: ClassVar[int] = 4
    config: UNetConfig

    def __init__(self, config: UNetConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.network = UNet(self.image_channels, len(self.channels), config.width, config.depth)

    def networks(self) -> dict[str, nn.Module]:
        """The one network."""
        return {"network": self.network}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """AdamW."""
        config = self.config
        return {"network": fused_adam(self.network, config.learning_rate, (0.9, 0.999), config.weight_decay)}

    def plan(self, seen_images: int) -> Phase:
        """One phase; the step size rises in a line and falls along a cosine."""
        config = self.config
        done = min(seen_images / config.seen_images, 1.0)
        rise = min(1.0, (done + 1e-3) / config.warm_up) if config.warm_up else 1.0
        rate = config.learning_rate * rise * (1 + math.cos(math.pi * done)) / 2
        return Phase(config.resolution, config.batch_size, {"network": rate}, patch_px=config.patch_px)

    def channel_dims(self) -> Mapping[str, int]:
        """The layer that gives a logit for each channel."""
        return {"network.head.weight": 0, "network.head.bias": 0}

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update the network on photographs (b c h w) and their soft labels (b k h w); return detached losses."""
        labels, fov, photos = context.augment(batch)
        logits = self.network(_normalised(photos, fov, batch.photo_mean, batch.photo_std)).float()  # b k h w

        present = batch.present.float()
        entropy = cross_entropy_loss(logits, labels, fov, present)
        dice = dice_loss(logits, labels, fov, present)
        context.descend("network", entropy + self.config.dice_weight * dice)
        return {"cross_entropy": entropy.detach(), "dice_loss": dice.detach()}

    def rehearse(self, batch: Batch, context: StepContext) -> None:
        """One pass of the averaged network, for its batch statistics."""
        _, fov, photos = context.augment(batch)
        self.network(_normalised(photos, fov, batch.photo_mean, batch.photo_std))

    @torch.no_grad()
    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        """Probabilities (b k h w), 0 outside the fov; photographs larger than ``resolution`` in tiles."""
        return self._segment(photos.to(self.device), fov.to(self.device), turns=self.config.test_turns)

    def probabilities(self, photos: Tensor, fov: Tensor) -> Tensor:
        """As ``segment``, once and with gradients to the photographs."""
        return self._segment(photos, fov, turns=False)

    def _segment(self, photos: Tensor, fov: Tensor, *, turns: bool) -> Tensor:
        x = _normalised(photos, fov, *photo_statistics(photos, fov))
        multiple = self.network.size_multiple

        def probabilities(tile: Tensor) -> Tensor:
            logits: Tensor = self.network(tile)
            return logits.float().sigmoid()

        def tiled(whole: Tensor) -> Tensor:
            return in_tiles(probabilities, whole, self.config.resolution, multiple)

        return (over_turns(tiled, x) if turns else tiled(x)) * fov

    def features(self, photos: Tensor) -> list[Tensor]:
        """The encoder's maps, fine ones first; each photograph is normalised where it is not black, as in training."""
        fov = (photos.amax(dim=1, keepdim=True) > 0).to(photos.dtype)  # b 1 h w
        return self.network.features(_normalised(photos, fov, *photo_statistics(photos, fov)))

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Annotated maps beside those found; the photographs themselves are not shown."""
        found = self._segment(batch.photos, batch.fov, turns=False)
        return side_by_side(label_picture(batch.labels), label_picture(found))


def _normalised(photos: Tensor, fov: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Photographs as z-scores of their own colours, 0 outside the fov: cameras and skins differ in both."""
    return ((photos - mean) / std * fov).contiguous(memory_format=torch.channels_last)
