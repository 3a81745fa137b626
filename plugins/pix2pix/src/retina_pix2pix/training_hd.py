"""How pix2pixHD learns: the global generator alone, the local enhancer upon it, then both.

Wang et al. 2018, arXiv 1711.11585, section 3.2: the generators are trained in the order of their resolutions, then
together. The released code lets the global generator rest while the enhancer is new (``niter_fix_global``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from retina_core.perceptual import PerceptualFeatures, perceptual_distance
from retina_core.stages import Batch
from retina_pix2pix.losses import discriminator_loss, feature_distance, generator_loss, photo_distance
from retina_pix2pix.network_hd import HDGenerator, MultiScaleDiscriminator, halved

if TYPE_CHECKING:
    from retina_core.training.context import StepContext
    from retina_pix2pix.config import Pix2PixConfig

OVERALL, LOCAL, JUDGES = "generator.overall.", "generator.local.", "discriminator."
ALL = ("",)


class Stretch(NamedTuple):
    """A part of the training, from one number of seen images to another."""

    trainable: tuple[str, ...]
    begin: int
    end: int

    @property
    def small(self) -> bool:
        """Whether the global generator learns alone, at half of the size."""
        return OVERALL in self.trainable


def stretch_at(config: Pix2PixConfig, seen_images: int) -> Stretch:
    """The stretch that a number of seen images lies in; learning rates fall towards the ends of both phases."""
    total = config.seen_images
    enhancer = round(total * config.global_share)
    together = enhancer + round(total * config.enhancer_share)
    if seen_images < enhancer:
        return Stretch((OVERALL, JUDGES), 0, enhancer)
    return Stretch((LOCAL, JUDGES) if seen_images < together else ALL, enhancer, total)


def hd_step(
    generator: HDGenerator,
    discriminator: MultiScaleDiscriminator,
    batch: Batch,
    context: StepContext,
    config: Pix2PixConfig,
    perceptual: PerceptualFeatures | None = None,
) -> dict[str, Tensor]:
    """Update both networks on real pairs; return detached scalar losses."""
    stretch = stretch_at(config, context.seen_images)
    labels, fov, photos = context.augment(batch)  # b k h w, b 1 h w, b c h w
    real = photos * 2 - 1
    if stretch.small:
        # Halved after augmentation: the global generator sees here what it will see inside the whole.
        labels, fov, real = halved(labels), halved(fov), halved(real)
        fake = generator.paint_small(labels, fov, context.rngs)  # b c h/2 w/2
    else:
        fake = generator(labels, fov, context.rngs, overall_learns=stretch.trainable == ALL)  # b c h w

    judged = zip(discriminator(labels, fov, real), discriminator(labels, fov, fake.detach()), strict=True)
    d_losses = [discriminator_loss(r[-1], f[-1], config.gan_loss) for r, f in judged]
    d_loss = torch.stack(d_losses).sum()
    context.descend("discriminator", d_loss)

    with torch.no_grad():
        wanted = discriminator(labels, fov, real)
    found = discriminator(labels, fov, fake)
    g_gan = torch.stack([generator_loss(f[-1], config.gan_loss) for f in found]).sum()
    g_features = feature_distance(wanted, found)
    g_l1 = photo_distance(fake, real)
    g_loss = config.gan_weight * g_gan + config.feature_weight * g_features + config.l1_weight * g_l1
    losses = {"d": d_loss, "g": g_gan, "features": g_features, "l1": g_l1}
    if perceptual is not None:
        losses["perceptual"] = perceptual_distance(perceptual, (fake + 1) / 2, (real + 1) / 2)
        g_loss = g_loss + config.perceptual_weight * losses["perceptual"]
    context.descend("generator", g_loss)
    return {name: loss.detach() for name, loss in losses.items()}
