"""MI-GAN in the role of an image translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from retina_core.optimizers import fused_adam
from retina_core.perceptual import perceptual_distance
from retina_core.randomness import normal
from retina_core.roles import ImageTranslator
from retina_core.stages import Batch, LearningStage
from retina_core.training.previews import label_picture, side_by_side
from retina_migan.config import MIGANConfig
from retina_migan.discriminator import ImageDiscriminator
from retina_migan.losses import deviation, discriminator_loss, generator_loss
from retina_migan.network import EncoderDecoder, Generator
from retina_migan.style_losses import content_loss, gram, missed_labels, style_loss, total_variation
from retina_migan.styles import MANNER, StyleReader, style_statistics

if TYPE_CHECKING:
    from retina_core.style_photos import StyleDraw
    from retina_core.training.context import StepContext

TOGETHER_PX = 1448
"""Photographs are painted together up to so many pixels, squared: eight of 512 px, two of 1024, which take a gigabyte."""


class MIGANTranslator(LearningStage, ImageTranslator):
    """Photographs over label maps by an encoder-decoder with a noise code, in a borrowed style where one is given."""

    name: ClassVar[str] = "migan"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    label_form: ClassVar[Literal["soft", "binary"]] = "binary"
    config: MIGANConfig

    def __init__(self, config: MIGANConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.takes_style = config.transfers and config.style_input
        self.generator = _generator(config, len(self.channels))
        self.discriminator = ImageDiscriminator(
            channels=len(self.channels),
            resolution=config.resolution,
            width=config.discriminator_width,
            max_width=config.max_width,
        )

    def networks(self) -> dict[str, nn.Module]:
        """Generator and discriminator."""
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
        """Each network's first layer, which is told of label maps."""
        first = str(self.resolution // 2)
        names = (f"generator.body.encoder.{first}", f"discriminator.layers.{first}")
        return dict.fromkeys([f"{name}.convolution.weight" for name in names], 1)

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update the generator twice, the discriminator once, on real pairs; return detached scalar losses."""
        labels, fov, photos = context.augment(batch)  # b k h w, b 1 h w, b c h w
        real = photos * 2 - 1
        style = self.style_photos.draw(context) if self.style_photos is not None else None
        manner = self._learnt_manner(style, len(batch))  # b n

        for _ in range(self.config.generator_updates):
            fake = self._paint(labels, fov, context, manner)  # b c h w
            losses = {"g": generator_loss(self.discriminator(labels, fov, fake))}
            losses |= self._held_to(fake, labels, fov, photos, style)
            weights = self._weights()
            loss = torch.stack([weights[k] * v for k, v in losses.items()]).sum()
            context.descend("generator", loss, share=1 / self.config.generator_updates)

        d_loss = discriminator_loss(
            self.discriminator(labels, fov, real), self.discriminator(labels, fov, fake.detach())
        )
        context.descend("discriminator", d_loss)
        return {"d": d_loss.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    def _held_to(
        self, fake: Tensor, labels: Tensor, fov: Tensor, photos: Tensor, style: StyleDraw | None
    ) -> dict[str, Tensor]:
        """What the generator is held to besides the discriminator: the true photograph, or a style (eq. 3 or eq. 12)."""
        painted = (fake + 1) / 2
        if style is None:
            losses = {"l1": deviation(fake, photos * 2 - 1)}
            if self.perceptual is not None:
                losses["perceptual"] = perceptual_distance(self.perceptual, painted, photos)
            return losses
        features = self.perceptual
        if features is None:
            raise RuntimeError("a style is compared in features; fit gives a stage both or none")
        with torch.no_grad():
            grams = [gram(maps, style.fov) for maps in features(style.photos)]  # 1 f f
            wanted = features(photos)
        found = features(painted.float())
        losses = {
            "style": style_loss(
                [gram(maps, fov) for maps in found], [g.expand(len(fake), -1, -1) for g in grams]
            ),
            "content": content_loss(found, wanted),
            "variation": total_variation(fake, fov),
        }
        if self.reader is not None:
            losses["segmentation"] = missed_labels(self.reader.probabilities(painted, fov), labels, fov)
        return losses

    def _weights(self) -> dict[str, float]:
        """What each of the generator's losses counts."""
        config = self.config
        return {
            "g": config.gan_weight,
            "l1": config.l1_weight,
            "perceptual": config.perceptual_weight,
            "style": config.style_weight,
            "content": config.content_weight,
            "variation": config.variation_weight,
            "segmentation": config.segmentation_weight,
        }

    def _paint(self, labels: Tensor, fov: Tensor, context: StepContext, manner: Tensor | None) -> Tensor:
        """Photos (b c h w) in [-1, 1], with the noise of the training."""
        code = context.noise(self.config.code) * self.config.training_noise  # b z
        photos: Tensor = self.generator(labels, fov, code, manner)
        return photos

    def _learnt_manner(self, style: StyleDraw | None, count: int) -> Tensor | None:
        """The statistics (b n) of the photograph whose style is learnt in this step; None where nobody asks for them."""
        styles = self.generator.styles
        if style is None or styles is None:
            return None
        statistics = style_statistics(style.photos)  # 1 n
        styles.met.observe(statistics[0])
        return statistics.expand(count, -1)

    def rehearse(self, batch: Batch, context: StepContext) -> None:
        """One pass as in training, for the batch norms."""
        labels, fov, _ = context.augment(batch)
        styles, style = self.generator.styles, self.style_photos
        statistics = (
            style_statistics(style.draw(context).photos).expand(len(batch), -1) if styles and style else None
        )
        self._paint(labels, fov, context, statistics)

    @torch.no_grad()
    def translate(
        self, labels: Tensor, fov: Tensor, *, rngs: Sequence[torch.Generator], style: Tensor | None = None
    ) -> Tensor:
        """Photographs (b c h w) in [0, 1], in the manner of photographs ``style`` (b c h w) in [0, 1] where given.

        ``rngs`` draw the noise, and a manner for each photograph where the network takes one and none is given.
        """
        labels, fov = labels.to(self.device), fov.to(self.device)
        code = normal(rngs, self.config.code).to(self.device) * self.config.painting_noise  # b z
        manner = self._manner(style, rngs)  # b n
        few = max(TOGETHER_PX**2 // labels.shape[-1] ** 2, 1)
        parts = [slice(start, start + few) for start in range(0, len(labels), few)]
        painted = [
            self.generator(labels[part], fov[part], code[part], manner[part] if manner is not None else None)
            for part in parts
        ]
        return ((torch.cat(painted) + 1) / 2).clamp(0, 1)  # b c h w

    def _manner(self, photos: Tensor | None, rngs: Sequence[torch.Generator]) -> Tensor | None:
        """The statistics (b n) to paint by: of photos (b c h w) in [0, 1], or drawn; None without styles."""
        styles = self.generator.styles
        if styles is None:
            return None
        drawn = styles.met.sample(rngs) if photos is None else style_statistics(photos.to(self.device))
        return drawn.to(self.device)

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Each map beside the photograph painted over it."""
        return side_by_side(label_picture(batch.labels), self.translate(batch.labels, batch.fov, rngs=rngs))


def _generator(config: MIGANConfig, channels: int) -> Generator:
    styles = StyleReader() if config.transfers and config.style_input else None
    body = EncoderDecoder(
        f_in=channels + 1,
        f_out=ImageTranslator.image_channels,
        resolution=config.resolution,
        width=config.width,
        max_width=config.max_width,
        skips=config.skips,
        code=config.code,
        code_width=config.code_width,
        manner=MANNER if styles else 0,
    )
    return Generator(body, styles)
