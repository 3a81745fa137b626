"""Progressive growing in the role of a label generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_core.optimizers import fused_adam
from retina_core.randomness import normal, uniform
from retina_core.roles import LabelGenerator
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.training.adaptive import AdaptiveAugmentation
from retina_core.training.previews import label_picture
from retina_pgan.config import PGANConfig
from retina_pgan.growth import batch_size_at, growth_at
from retina_pgan.losses import (
    drift_penalty,
    gradient_penalty,
    logistic_d_loss,
    logistic_g_loss,
    r1_penalty,
    wasserstein_d_loss,
    wasserstein_g_loss,
)
from retina_pgan.network import BACKGROUND, Discriminator, Generator, Growth, faded
from retina_pgan.targets import decode, encode, planes_of
from retina_pgan.variety import variety_gap

if TYPE_CHECKING:
    from retina_core.training.context import StepContext


class PGANLabels(LearningStage, LabelGenerator):
    """Label maps from noise by a GAN that grows."""

    name: ClassVar[str] = "pgan"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    reads_photos: ClassVar[bool] = False
    config: PGANConfig

    def __init__(self, config: PGANConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        shape = {"resolution": config.resolution, "width": config.width, "max_width": config.max_width}
        planes = planes_of(config.target, len(self.channels))
        self.generator = Generator(latent=config.latent, planes=planes, **shape)
        self.discriminator = Discriminator(planes=planes, group=config.group, **shape)
        self.ada = AdaptiveAugmentation(config, background=BACKGROUND)
        self._adopted_px = 0
        self.generator.grow(self.growth(0))

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

    def growth(self, seen_images: int) -> Growth:
        """How far it has grown once it saw so many images."""
        return growth_at(self.config, seen_images, adopted_px=self._adopted_px)

    def channel_dims(self) -> dict[str, int]:
        """The layers from and to maps, at each resolution."""
        drawn = {f"generator.to_maps.{key}": 0 for key, _ in self.generator.to_maps.named_parameters()}
        seen = {f"discriminator.from_maps.{key}.weight": 1 for key in self.discriminator.from_maps}
        return {**drawn, **seen}

    def adopted(self, resolution: int) -> None:
        """Growing begins where the adopted weights have grown to."""
        self._adopted_px = resolution
        self.generator.grow(self.growth(0))

    def plan(self, seen_images: int) -> Phase:
        """Batch, and resolution, of the size that it has grown to; other targets than the map need it in full."""
        config, px = self.config, self.growth(seen_images).px
        phase = replace(super().plan(seen_images), batch_size=batch_size_at(config, px))
        return replace(phase, resolution=px if config.target == "map" else config.resolution)

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update both networks on real label maps (b k h w); return detached scalar losses."""
        growth = self.growth(context.seen_images)
        self.generator.grow(growth)
        labels, _, _ = context.augment(batch)  # b k h w
        plain = self._real(labels, growth)  # b n p p
        real = self.ada(plain, context.rngs)
        drawn = self.generator(context.noise(self.config.latent), growth)  # b n p p
        fake = self.ada(drawn, context.rngs)

        penalty = self._penalty(real, fake.detach(), growth, context)
        real_logits = self.discriminator(real, growth)
        fake_logits = self.discriminator(fake.detach(), growth)
        d_loss = self._d_loss(real_logits, fake_logits)
        self._observe(real_logits, fake_logits, growth, context)
        context.descend("discriminator", d_loss + penalty)

        g_loss = self._g_loss(self.discriminator(fake, growth))
        gap = variety_gap(plain, drawn)
        context.descend("generator", g_loss + self.config.variety_weight * gap)
        losses = {
            "d": d_loss.detach(),
            "g": g_loss.detach(),
            "penalty": penalty.detach(),
            "gap": gap.detach(),
        }
        return {**losses, **self.ada.scalars()}

    def _real(self, labels: Tensor, growth: Growth) -> Tensor:
        """Label maps (b k h w) as what the networks learn (b n p p) in [-1, 1], as coarse as what is drawn now."""
        with torch.autocast(labels.device.type, enabled=False):
            planes = encode(labels, self.config.target, reach_px=self.config.reach_px)  # b n h w
            if planes.shape[-1] > growth.px:
                planes = F.interpolate(planes, (growth.px, growth.px), mode="area")  # b n p p
            return faded(planes * 2 - 1, growth)

    @torch.no_grad()
    def _observe(
        self, real_logits: Tensor, fake_logits: Tensor, growth: Growth, context: StepContext
    ) -> None:
        """Let the augmentation see how much the discriminator overfits."""
        if self.config.loss == "logistic":
            self.ada.observe(real_logits, context)
        elif self.config.ada == "adaptive":
            rngs = context.rngs[: self.config.group]
            held_out = self._real(context.held_out(len(rngs)).labels, growth)
            logits = self.discriminator(self.ada(held_out, rngs), growth)
            self.ada.observe_held_out(real_logits, logits, fake_logits, context)

    def _d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        if self.config.loss == "logistic":
            return logistic_d_loss(real_logits, fake_logits)
        return wasserstein_d_loss(real_logits, fake_logits) + self.config.drift * drift_penalty(real_logits)

    def _g_loss(self, fake_logits: Tensor) -> Tensor:
        return (
            logistic_g_loss(fake_logits)
            if self.config.loss == "logistic"
            else wasserstein_g_loss(fake_logits)
        )

    def _penalty(self, real: Tensor, fake: Tensor, growth: Growth, context: StepContext) -> Tensor:
        """R1 or the gradient penalty, at maps as the discriminator sees them.

        StyleGAN2-ADA differentiates R1 through the augmentation too; a turned map's slope is the turned slope, so that
        this takes one derivative through the resampling for much the same number.
        """
        # In float32: the penalties square small slopes, and bf16 has 8 bits for them.
        with torch.autocast(real.device.type, enabled=False):
            if self.config.loss == "logistic":
                return self._lazy_r1(real, growth, context)
            between = torch.lerp(fake, real, uniform(context.rngs, 1, 1, 1).to(real.device)).requires_grad_(
                True
            )
            slope = gradient_penalty(self.discriminator(between, growth), between)
            return self.config.gradient_penalty * slope

    def _lazy_r1(self, real: Tensor, growth: Growth, context: StepContext) -> Tensor:
        """R1, weighed as often as it is left out (Karras et al. 2020, arXiv 1912.04958, section 3)."""
        step = context.seen_images // context.phase.batch_size
        if not self.config.r1 or step % self.config.r1_every:
            return real.new_zeros(())
        real = real.detach().requires_grad_(True)
        return r1_penalty(self.discriminator(real, growth), real) * (self.config.r1 * self.config.r1_every)

    @torch.no_grad()
    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        """Soft label maps (b k h w) in [0, 1], as fine as it has grown; grades are not known to this stage."""
        z = normal(rngs, self.config.latent).to(self.device)
        planes = self.generator(z, self.generator.growth)  # b n p p
        if planes.shape[-1] < self.resolution:
            size = (self.resolution, self.resolution)
            planes = F.interpolate(planes, size, mode="bilinear", align_corners=False)  # b n h w
        with torch.autocast(planes.device.type, enabled=False):
            return decode((planes + 1) / 2, self.config.target, reach_px=self.config.reach_px)

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Drawn maps, each channel in its colour."""
        return label_picture(self.sample(rngs))

    def extra_state(self) -> dict[str, Any]:
        """The strength of the discriminator's augmentation, and what it follows."""
        return {"ada": self.ada.state()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.ada.load_state(state["ada"])
