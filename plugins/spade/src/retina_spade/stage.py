"""SPADE in the role of an image translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from retina_core.optimizers import fused_adam
from retina_core.perceptual import perceptual_distance
from retina_core.roles import ImageTranslator
from retina_core.stages import Batch, LearningStage
from retina_core.training.previews import label_picture, side_by_side
from retina_spade.config import SPADEConfig
from retina_spade.discriminator import MultiScaleDiscriminator
from retina_spade.losses import (
    feature_distance,
    hinge_d_loss,
    hinge_g_loss,
    photo_distance,
    style_divergence,
)
from retina_spade.network import Generator
from retina_spade.styles import StyleEncoder, StyleSpread

if TYPE_CHECKING:
    from retina_core.training.context import StepContext

TOGETHER_PX = 768
"""Photographs are painted together up to so many pixels, squared: eight of 256 px, two of 512."""


class SPADETranslator(LearningStage, ImageTranslator):
    """Photographs over label maps by a conditional GAN whose norms the label maps set."""

    name: ClassVar[str] = "spade"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    label_form: ClassVar[Literal["soft", "binary"]] = "binary"
    config: SPADEConfig

    def __init__(self, config: SPADEConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.takes_style = config.style == "encoder"
        self.generator = _generator(config, len(self.channels))
        self.discriminator = MultiScaleDiscriminator(
            channels=len(self.channels),
            resolution=config.resolution,
            scales=config.discriminators,
            width=config.discriminator_width,
            max_width=min(config.max_width, 8 * config.discriminator_width),
        )

    def networks(self) -> dict[str, nn.Module]:
        """Generator, its style encoder inside, and discriminators."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for each."""
        config = self.config
        betas = (config.beta1, config.beta2)
        return {
            "generator": fused_adam(self.generator, config.learning_rate, betas),
            "discriminator": fused_adam(self.discriminator, config.discriminator_learning_rate, betas),
        }

    def channel_dims(self) -> Mapping[str, int]:
        """Weights that read label channels: the generator's first and each block's, the judges' first."""
        hidden = [
            f"generator.{key}.weight" for key, _ in self.generator.named_modules() if key.endswith(".hidden")
        ]
        judges = [f"discriminator.judges.{px}.layers.0.0.weight" for px in self.discriminator.judges]
        return dict.fromkeys(["generator.stem.weight", *hidden, *judges], 1)

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update both networks on real pairs; return detached scalar losses."""
        labels, fov, photos = context.augment(batch)  # b k h w, b 1 h w, b c h w
        real = photos * 2 - 1
        spread = self._spread(real)
        style = spread.draw(context.noise(self.config.latent)) if spread is not None else None  # b z
        fake = self.generator(labels, fov, style, context.rngs)  # b c h w

        seen_real, seen_fake = self.discriminator.compare(labels, fov, real, fake.detach())
        d_loss = hinge_d_loss(seen_real, seen_fake)
        context.descend("discriminator", d_loss)

        with torch.no_grad():
            wanted = self.discriminator(labels, fov, real)
        found = self.discriminator(labels, fov, fake)
        losses = {
            "g": hinge_g_loss(found),
            "features": feature_distance(wanted, found),
            "l1": photo_distance(fake, real),
        }
        if spread is not None:
            losses["style"] = style_divergence(spread)
        if self.perceptual is not None:
            losses["perceptual"] = perceptual_distance(self.perceptual, (fake + 1) / 2, photos)
        weights = self._weights()
        context.descend("generator", torch.stack([weights[k] * loss for k, loss in losses.items()]).sum())

        if style is not None and self.generator.encoder is not None:
            self.generator.encoder.prior.observe(style)
        return {"d": d_loss.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    def _weights(self) -> dict[str, float]:
        """What each of the generator's losses counts."""
        config = self.config
        return {
            "g": config.gan_weight,
            "features": config.feature_weight,
            "l1": config.l1_weight,
            "style": config.style_weight,
            "perceptual": config.perceptual_weight,
        }

    def rehearse(self, batch: Batch, context: StepContext) -> None:
        """One pass as in training, for the batch norms."""
        labels, fov, photos = context.augment(batch)
        spread = self._spread(photos * 2 - 1)
        style = spread.draw(context.noise(self.config.latent)) if spread is not None else None
        self.generator(labels, fov, style, context.rngs)

    @torch.no_grad()
    def translate(
        self, labels: Tensor, fov: Tensor, *, rngs: Sequence[torch.Generator], style: Tensor | None = None
    ) -> Tensor:
        """Photographs (b c h w) in [0, 1], in the manner of photographs ``style`` (b c h w) in [0, 1] where given.

        Without, ``rngs`` draw a style for each, so that one map is painted in many; they draw the grain as well.
        """
        labels, fov = labels.to(self.device), fov.to(self.device)
        manner = self._manner(style, rngs)  # b z
        # A few at a time: eight of 1024 px would need gigabytes.
        few = max(TOGETHER_PX**2 // labels.shape[-1] ** 2, 1)
        parts = [slice(start, start + few) for start in range(0, len(labels), few)]
        painted = [
            self.generator(labels[part], fov[part], manner[part] if manner is not None else None, rngs[part])
            for part in parts
        ]
        return ((torch.cat(painted) + 1) / 2).clamp(0, 1)  # b c h w

    def _spread(self, photos: Tensor) -> StyleSpread | None:
        """Where the styles of photos (b c h w) in [-1, 1] lie; None without styles."""
        encoder = self.generator.encoder
        return encoder(photos) if encoder is not None else None

    def _manner(self, photos: Tensor | None, rngs: Sequence[torch.Generator]) -> Tensor | None:
        """The styles (b z) to paint in: of photos (b c h w) in [0, 1], or drawn."""
        encoder = self.generator.encoder
        if encoder is None:
            return None
        if photos is None:
            drawn: Tensor = encoder.prior.sample(rngs)
            return drawn.to(self.device)
        mean: Tensor = encoder(photos.to(self.device) * 2 - 1).mean
        return mean

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Each map beside the photograph painted over it."""
        return side_by_side(label_picture(batch.labels), self.translate(batch.labels, batch.fov, rngs=rngs))


def _generator(config: SPADEConfig, channels: int) -> Generator:
    encoder = None
    if config.style == "encoder":
        encoder = StyleEncoder(
            resolution=min(config.style_px, config.resolution),
            width=config.style_width,
            max_width=min(config.max_width, 8 * config.style_width),
            latent=config.latent,
        )
    return Generator(
        channels=channels,
        resolution=config.resolution,
        width=config.width,
        width_px=config.width_px,
        max_width=config.max_width,
        hidden=config.hidden,
        norm=config.norm,
        grain=config.grain,
        encoder=encoder,
    )
