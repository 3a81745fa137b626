"""pix2pix in the role of an image translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from retina_core.optimizers import fused_adam
from retina_core.perceptual import perceptual_distance
from retina_core.roles import ImageTranslator
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.training.previews import label_picture, side_by_side
from retina_pix2pix.config import Pix2PixConfig
from retina_pix2pix.losses import discriminator_loss, generator_loss, photo_distance
from retina_pix2pix.network import Generator, PatchDiscriminator
from retina_pix2pix.network_hd import HDGenerator, MultiScaleDiscriminator
from retina_pix2pix.training_hd import hd_step, stretch_at

if TYPE_CHECKING:
    from retina_core.training.context import StepContext


class Pix2PixTranslator(LearningStage, ImageTranslator):
    """Photographs over label maps by a conditional GAN."""

    name: ClassVar[str] = "pix2pix"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    label_form: ClassVar[Literal["soft", "binary"]] = "binary"
    config: Pix2PixConfig

    def __init__(self, config: Pix2PixConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.small = False
        """Whether only hd's global generator has learned so far; known once a step was taken."""
        self.generator: Generator | HDGenerator
        self.discriminator: PatchDiscriminator | MultiScaleDiscriminator
        if config.variant == "hd":
            self.generator, self.discriminator = _hd_networks(config, len(self.channels))
        else:
            self.generator, self.discriminator = _unet_networks(config, len(self.channels))

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
        """The layers that are told of label maps: the generator's first, and each judge's."""
        front = ["encoder.0.weight", "overall.front.0.weight", "local.down.0.weight"]
        judges = range(self.config.discriminators)
        judged = ["judge.0.weight", *(f"judges.{place}.layers.0.0.weight" for place in judges)]
        keys = [*(f"generator.{key}" for key in front), *(f"discriminator.{key}" for key in judged)]
        return dict.fromkeys(keys, 1)

    def plan(self, seen_images: int) -> Phase:
        """One phase; ``variant=hd`` has one for each of its generators, with learning rates that fall in each.

        Batches come at full size in both: the global generator learns on them halved after augmentation.
        """
        if self.config.variant == "unet":
            return super().plan(seen_images)
        stretch = stretch_at(self.config, seen_images)
        passed = (seen_images - stretch.begin) / (stretch.end - stretch.begin)
        return replace(super().plan(round(passed * self.config.seen_images)), trainable=stretch.trainable)

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update both networks on real pairs; return detached scalar losses."""
        if isinstance(self.generator, HDGenerator) and isinstance(
            self.discriminator, MultiScaleDiscriminator
        ):
            self.small = stretch_at(self.config, context.seen_images).small
            return hd_step(self.generator, self.discriminator, batch, context, self.config, self.perceptual)

        labels, fov, photos = context.augment(batch)  # b k h w, b 1 h w, b c h w
        real = photos * 2 - 1
        fake = self.generator(labels, fov, context.rngs)  # b c h w

        d_loss = discriminator_loss(
            self.discriminator(labels, fov, real),
            self.discriminator(labels, fov, fake.detach()),
            self.config.gan_loss,
        )
        context.descend("discriminator", d_loss)

        g_gan = generator_loss(self.discriminator(labels, fov, fake), self.config.gan_loss)
        g_l1 = photo_distance(fake, real)
        g_loss = self.config.gan_weight * g_gan + self.config.l1_weight * g_l1
        losses = {"d": d_loss.detach(), "g": g_gan.detach(), "l1": g_l1.detach()}
        if self.perceptual is not None:
            g_perceptual = perceptual_distance(self.perceptual, (fake + 1) / 2, photos)
            g_loss = g_loss + self.config.perceptual_weight * g_perceptual
            losses["perceptual"] = g_perceptual.detach()
        context.descend("generator", g_loss)
        return losses

    @torch.no_grad()
    def translate(
        self, labels: Tensor, fov: Tensor, *, rngs: Sequence[torch.Generator], style: Tensor | None = None
    ) -> Tensor:
        """Photographs (b c h w) in [0, 1]; dropout from ``rngs`` is what tells two paintings of a map apart."""
        labels, fov = labels.to(self.device), fov.to(self.device)
        if isinstance(self.generator, HDGenerator):
            paint = self.generator.paint_enlarged if self.small else self.generator
            # One at a time: eight of 1024 px would need gigabytes.
            ones = [paint(labels[i : i + 1], fov[i : i + 1], [rng]) for i, rng in enumerate(rngs)]
            photos = torch.cat(ones)  # b c h w
        else:
            photos = self.generator(labels, fov, rngs)  # b c h w
        return ((photos + 1) / 2).clamp(0, 1)

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Each map beside the photograph painted over it."""
        return side_by_side(label_picture(batch.labels), self.translate(batch.labels, batch.fov, rngs=rngs))


def _unet_networks(config: Pix2PixConfig, channels: int) -> tuple[Generator, PatchDiscriminator]:
    generator = Generator(
        channels=channels,
        resolution=config.resolution,
        width=config.width,
        max_width=config.max_width,
        dropout=config.dropout,
        upsampling=config.upsampling,
    )
    discriminator = PatchDiscriminator(
        channels=channels,
        resolution=config.resolution,
        receptive_field=None if config.receptive_field == "image" else int(config.receptive_field),
        width=config.discriminator_width,
        max_width=config.max_width,
    )
    return generator, discriminator


def _hd_networks(config: Pix2PixConfig, channels: int) -> tuple[HDGenerator, MultiScaleDiscriminator]:
    generator = HDGenerator(
        channels=channels,
        width=config.width,
        max_width=config.max_width,
        downsamplings=config.downsamplings,
        blocks=config.blocks,
        local_blocks=config.local_blocks,
        dropout=config.dropout,
        upsampling=config.upsampling,
    )
    discriminator = MultiScaleDiscriminator(
        channels=channels,
        resolution=config.resolution,
        scales=config.discriminators,
        receptive_field=int(config.receptive_field),
        width=config.discriminator_width,
    )
    return generator, discriminator
