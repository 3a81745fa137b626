"""DCGAN in its two roles: a label generator, and a pair generator that draws the photograph as further channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from retina_core.optimizers import fused_adam
from retina_core.randomness import normal
from retina_core.roles import LabelGenerator, PairGenerator
from retina_core.stages import Batch, LearningStage
from retina_core.training.adaptive import AdaptiveAugmentation
from retina_core.training.previews import label_picture, side_by_side
from retina_dcgan.config import DCGANConfig, DCGANPairsConfig
from retina_dcgan.losses import discriminator_loss, generator_loss, r1_penalty
from retina_dcgan.network import (
    Discriminator,
    Generator,
    SynthMedDiscriminator,
    from_unit,
    masked,
    to_unit,
)

if TYPE_CHECKING:
    from retina_core.training.context import StepContext

SYNTHMED_HIDDEN = 1024


class DCGANStage(LearningStage):
    """The game of two networks, whatever the planes of the picture that they play it with."""

    name: ClassVar[str] = "dcgan"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    config: DCGANConfig

    def __init__(self, config: DCGANConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.generator = Generator(
            latent=config.latent,
            channels=self.planes,
            resolution=config.resolution,
            width=config.width,
            max_width=config.max_width,
        )
        self.discriminator = self._new_discriminator()
        self.ada = AdaptiveAugmentation(config, background=-1.0)  # an empty map, to the networks

    @property
    @abstractmethod
    def planes(self) -> int:
        """Channels of the pictures that are drawn and judged: those of labels, then those of photographs."""

    @abstractmethod
    def _shown(self, batch: Batch, context: StepContext) -> tuple[Tensor, Tensor]:
        """What the discriminator compares: real and drawn pictures (b planes h w) in [-1, 1]."""

    def _new_discriminator(self) -> nn.Module:
        config = self.config
        if config.discriminator == "synthmed":
            return SynthMedDiscriminator(
                channels=self.planes,
                resolution=config.resolution,
                width=config.discriminator_width,
                hidden=SYNTHMED_HIDDEN,
            )
        return Discriminator(
            channels=self.planes,
            resolution=config.resolution,
            width=config.discriminator_width,
            max_width=config.max_width,
            norm=config.discriminator_norm,
            minibatch_deviation=config.minibatch_deviation,
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
        """The layer that draws maps, and the one that looks at them first, in whichever discriminator.

        Planes of the photograph come after those of the labels.
        """
        seen = ["stem.0.weight", "stem.0.parametrizations.weight.original", "features.0.weight"]
        drawn = {"generator.head.weight": 1, "generator.head.bias": 0}
        return {**drawn, **{f"discriminator.{key}": 1 for key in seen}}

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update both networks on real pictures; return detached scalar losses."""
        real, fake = self._shown(batch, context)  # b planes h w
        # What the discriminator sees, in both updates; after the noise, so that it does not depend on the strength.
        real, fake = self.ada(real, context.rngs), self.ada(fake, context.rngs)

        penalty = self._penalty(real, context)
        real_logits = self.discriminator(real)
        d_loss = discriminator_loss(
            real_logits, self.discriminator(fake.detach()), real_target=self.config.real_target
        )
        context.descend("discriminator", d_loss + penalty)

        g_loss = generator_loss(self.discriminator(fake))
        context.descend("generator", g_loss)
        self.ada.observe(real_logits, context)
        return {"d": d_loss.detach(), "g": g_loss.detach(), "r1": penalty.detach(), **self.ada.scalars()}

    def _penalty(self, real: Tensor, context: StepContext) -> Tensor:
        """The lazy R1 penalty, weighed as often as it is left out (Karras et al. 2020, arXiv 1912.04958, section 3)."""
        step = context.seen_images // context.phase.batch_size
        if not self.config.r1 or step % self.config.r1_every:
            return real.new_zeros(())
        # In float32: the penalty squares small slopes, and bf16 has 8 bits for them.
        with torch.autocast(real.device.type, enabled=False):
            real = real.detach().requires_grad_(True)
            penalty = r1_penalty(self.discriminator(real), real)
        return penalty * self.config.r1 * self.config.r1_every

    def extra_state(self) -> dict[str, Any]:
        """The strength of the discriminator's augmentation, and what it follows."""
        return {"ada": self.ada.state()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.ada.load_state(state["ada"])

    def rehearse(self, batch: Batch, context: StepContext) -> None:
        """One pass of the averaged generator, for its batch statistics."""
        self.generator(context.noise(self.config.latent))

    def _drawn(self, rngs: Sequence[torch.Generator]) -> Tensor:
        """Pictures (b planes h w) in [0, 1]."""
        return to_unit(self.generator(normal(rngs, self.config.latent).to(self.device)))


class DCGANLabels(DCGANStage, LabelGenerator):
    """Label maps from noise by a deep convolutional GAN."""

    reads_photos: ClassVar[bool] = False

    @property
    def planes(self) -> int:
        """A plane for each label channel."""
        return len(self.channels)

    def _shown(self, batch: Batch, context: StepContext) -> tuple[Tensor, Tensor]:
        """Real label maps, and drawn ones."""
        labels, _, _ = context.augment(batch)  # b k h w
        return from_unit(labels), self.generator(context.noise(self.config.latent))  # b k h w

    @torch.no_grad()
    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        """Soft label maps (b k h w) in [0, 1]; grades are not known to this stage."""
        return self._drawn(rngs)

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Drawn maps, each channel in its colour."""
        return label_picture(self.sample(rngs))


class DCGANPairs(DCGANStage, PairGenerator):
    """Label maps and photographs together, as channels of one picture that one GAN draws."""

    previews: ClassVar[int] = 8
    config: DCGANPairsConfig

    @property
    def planes(self) -> int:
        """A plane for each label channel, then those of the photograph."""
        return len(self.channels) + self.image_channels

    def _shown(self, batch: Batch, context: StepContext) -> tuple[Tensor, Tensor]:
        """Real pairs, and drawn ones cut by the same fields of view.

        A drawn pair is cut by a borrowed field of view later. Cut here too, it is never judged by what lies outside, and
        fills whichever field it is given, instead of drawing a rim of its own inside it.
        """
        labels, fov, photos = context.augment(batch)  # b k h w, b 1 h w, b c h w
        drawn = self.generator(context.noise(self.config.latent))  # b k+c h w
        real = from_unit(torch.cat([labels, photos], 1))  # b k+c h w
        return masked(real, fov), masked(drawn, fov)

    @torch.no_grad()
    def sample_pairs(self, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Soft label maps (b k h w) and photographs (b c h w) in [0, 1], filled beyond the field of view."""
        drawn = self._drawn(rngs)  # b k+c h w
        k = len(self.channels)
        return drawn[:, :k], drawn[:, k:]

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Drawn label maps, each channel in its colour, beside their photographs; cut by training fields of view."""
        labels, photos = self.sample_pairs(rngs)
        return side_by_side(label_picture(labels * batch.fov), photos * batch.fov)
