"""An auxiliary classifier GAN in the role of a label generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_acgan.config import ACGANConfig
from retina_acgan.losses import (
    grade_loss,
    logistic_g_loss,
    r1_penalty,
    smoothed_d_loss,
    variety_gap,
)
from retina_acgan.network import BACKGROUND, Discriminator, Generator, chance
from retina_core.optimizers import fused_adam
from retina_core.randomness import normal, uniform
from retina_core.roles import LabelGenerator
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.training.adaptive import AdaptiveAugmentation
from retina_core.training.previews import label_picture

if TYPE_CHECKING:
    from retina_core.training.context import StepContext


class ACGANLabels(LearningStage, LabelGenerator):
    """Label maps of an asked grade from noise."""

    name: ClassVar[str] = "acgan"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    reads_photos: ClassVar[bool] = False
    takes_grades: ClassVar[bool] = True
    config: ACGANConfig

    def __init__(self, config: ACGANConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        shape = {"resolution": config.resolution, "width": config.width, "max_width": config.max_width}
        self.generator = Generator(latent=config.latent, channels=len(self.channels), **shape)
        self.discriminator = Discriminator(channels=len(self.channels), group=config.group, **shape)
        self.ada = AdaptiveAugmentation(config, background=BACKGROUND)
        self._adopted_px = 0
        self._grow(0)

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

    def channel_dims(self) -> dict[str, int]:
        """The layers from and to maps, at each resolution."""
        drawn = {f"generator.to_maps.{key}": 0 for key, _ in self.generator.to_maps.named_parameters()}
        seen = {f"discriminator.from_maps.{key}.weight": 1 for key in self.discriminator.from_maps}
        return {**drawn, **seen}

    def adopted(self, resolution: int) -> None:
        """The training begins at the size that the adopted weights draw at."""
        self._adopted_px = resolution
        self._grow(0)

    def plan(self, seen_images: int) -> Phase:
        """One phase for each size."""
        return replace(super().plan(seen_images), resolution=self.px_at(seen_images))

    def px_at(self, seen_images: int) -> int:
        """Side of the maps that it works at once it saw so many images, a function of the config alone."""
        config, last = self.config, self.config.resolution
        first = min(max(config.first_px, self._adopted_px), last)
        doublings = (last // first).bit_length() - 1
        coarse_images = config.growth_share * config.seen_images
        if not doublings or seen_images >= coarse_images:
            return last
        return first << int(seen_images * doublings / coarse_images)

    def _grow(self, seen_images: int) -> None:
        self.generator.grown_px.fill_(self.px_at(seen_images))

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update both networks on real label maps (b k h w) and their grades; return detached scalar losses."""
        config = self.config
        self._grow(context.seen_images)
        labels, fov, _ = context.augment(batch)  # b k h w, b 1 h w
        plain = labels * 2 - 1
        grades = self._filled(batch.grades, context.rngs)
        real = self.ada(plain, context.rngs)
        drawn = inside(fov, self._drawn(context.rngs, grades))  # b k h w
        fake = self.ada(drawn, context.rngs)

        penalty = self._lazy_r1(real, context)
        real_logits, real_grades = self.discriminator(real)
        fake_logits, fake_grades = self.discriminator(fake.detach())
        d_loss = smoothed_d_loss(real_logits, fake_logits, config.smoothing)
        d_grade = grade_loss(real_grades, batch.grades)
        drawn_grade = grade_loss(fake_grades, self._asked(grades))
        self.ada.observe(real_logits, context)
        told = config.classifier_weight * (d_grade + drawn_grade)
        context.descend("discriminator", d_loss + told + penalty)

        for update in range(config.generator_updates):
            if update:  # the first takes what the discriminator was shown
                drawn = inside(fov, self._drawn(context.rngs, grades))
                fake = self.ada(drawn, context.rngs)
            logits, class_logits = self.discriminator(fake)
            g_loss, g_grade = logistic_g_loss(logits), grade_loss(class_logits, self._asked(grades))
            gap = variety_gap(plain, drawn)
            wanted = config.classifier_weight * g_grade + config.variety_weight * gap
            context.descend("generator", g_loss + wanted, share=1 / config.generator_updates)
        losses = {"d": d_loss, "g": g_loss, "grade_real": d_grade, "grade_drawn": g_grade, "gap": gap}
        return {
            **{name: loss.detach() for name, loss in losses.items()},
            "penalty": penalty.detach(),
            **self.ada.scalars(),
        }

    def _drawn(self, rngs: Sequence[torch.Generator], grades: Tensor) -> Tensor:
        """Maps (b k p p) in about [-1, 1] of grades (b), each from the noise of its own generator."""
        z = normal(rngs, self.config.latent).to(self.device)
        maps: Tensor = self.generator(z, grades.to(self.device), chance(rngs, int(self.generator.grown_px)))
        return maps

    def _filled(self, grades: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """Grades (b) with those that are not known, -1, drawn by the training set's shares; 0 where it has none.

        A batch of drawn maps then has the grades of the real one: else the discriminator could tell them by that.
        """
        shares = self.priors.grade_shares
        if not shares:
            return grades.clamp_min(0)
        known = torch.tensor(sorted(shares), device=grades.device)
        bounds = torch.tensor([shares[int(grade)] for grade in known], dtype=torch.float64).cumsum(0)
        draws = uniform(rngs, 1)[:, 0].double() * bounds[-1]
        places = torch.searchsorted(bounds, draws, right=True).clamp_max(len(known) - 1)
        return torch.where(grades >= 0, grades, known[places.to(grades.device)])

    def _asked(self, grades: Tensor) -> Tensor:
        """What the classifier is to see in drawn maps (b): -1, nothing, where no training map has a grade."""
        return grades if self.priors.grade_shares else torch.full_like(grades, -1)

    def _lazy_r1(self, real: Tensor, context: StepContext) -> Tensor:
        """R1, weighed as often as it is left out (Karras et al. 2020, arXiv 1912.04958, section 3).

        A coarser map has fewer pixels, each of which tells the discriminator more: the weight falls with their number,
        or it could not learn to tell coarse maps at all.
        """
        step = context.seen_images // context.phase.batch_size
        if not self.config.r1 or step % self.config.r1_every:
            return real.new_zeros(())
        real = real.detach().requires_grad_(True)
        # In float32: the penalty squares small slopes, and bf16 has 8 bits for them.
        with torch.autocast(real.device.type, enabled=False):
            logits, _ = self.discriminator(real)
            of_size = (real.shape[-1] / self.config.resolution) ** 2
            return r1_penalty(logits, real) * (self.config.r1 * of_size * self.config.r1_every)

    @torch.no_grad()
    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        """Soft label maps (b k h w) in [0, 1] of grades (b), or of grades by the training set's shares."""
        unknown = torch.full((len(rngs),), -1, dtype=torch.int64)
        asked = self._filled(unknown if grades is None else grades.to("cpu", torch.int64), rngs)
        maps = self._drawn(rngs, asked)  # b k p p
        if maps.shape[-1] < self.resolution:
            size = (self.resolution, self.resolution)
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)  # b k h w
        return ((maps + 1) / 2).clamp(0, 1)

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Drawn maps of the batch's grades, each channel in its colour."""
        return label_picture(self.sample(rngs, grades=self._filled(batch.grades.cpu(), rngs)))

    def extra_state(self) -> dict[str, Any]:
        """The strength of the discriminator's augmentation, and what it follows."""
        return {"ada": self.ada.state()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.ada.load_state(state["ada"])


def inside(fov: Tensor, maps: Tensor) -> Tensor:
    """Maps (b k p p) with nothing marked outside the fov (b 1 p p), as in real ones, and as they are cut once drawn.

    Else the two networks fight over marks along the frame.
    """
    return (maps - BACKGROUND) * fov + BACKGROUND
