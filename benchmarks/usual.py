"""Training steps as they are usually written, and public networks: what ours are measured against.

The same networks and losses as ours: float32, default layout, torch's own norms, eager, Adam as it comes (one
tensor at a time on a CPU). One generator pass serves both updates, as in the code that pix2pix's authors published
and in torch's DCGAN example; as there, pix2pix freezes its discriminator in the generator's update and DCGAN does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import torch
from torch import Tensor, nn

from retina_core.norms import InstanceNorm2d
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch
from retina_dcgan import losses as dcgan_losses
from retina_dcgan.network import from_unit
from retina_dcgan.stage import DCGANLabels
from retina_pix2pix import losses as pix2pix_losses
from retina_pix2pix.stage import Pix2PixTranslator
from retina_unet import losses as unet_losses
from retina_unet.stage import UNetSegmenter

Step = Callable[[], object]
Network = TypeVar("Network", bound=nn.Module)
Usual = Mapping[type, Callable[..., nn.Module]]
"""Type of one of our modules -> what makes the usual one with the same weights."""


def torchs_norm(ours: InstanceNorm2d) -> nn.Module:
    """torch's own instance norm, with the same weights."""
    plain = nn.InstanceNorm2d(ours.num_features, affine=ours.affine)
    plain.load_state_dict(ours.state_dict())
    return plain


def usual_network(network: Network, others: Usual = MappingProxyType({})) -> Network:
    """A copy in the default layout, with torch's norms and other usual modules in place of ours."""
    plain, replaced = copy.deepcopy(network), {InstanceNorm2d: torchs_norm, **others}
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if type(child) in replaced:
                setattr(module, name, replaced[type(child)](child))
    return plain.to(memory_format=torch.contiguous_format)


def pix2pix_step(stage: Pix2PixTranslator, batch: Batch) -> Step:
    """pix2pix's step as its authors' code takes it."""
    config = stage.config
    generator, discriminator = usual_network(stage.generator), usual_network(stage.discriminator)
    g_adam, d_adam = (
        torch.optim.Adam(network.parameters(), config.learning_rate, (config.beta1, config.beta2))
        for network in (generator, discriminator)
    )
    labels, fov, real = batch.labels, batch.fov, batch.photos * 2 - 1

    def step() -> None:
        fake = generator(labels, fov, sample_rngs(0, len(batch)))
        discriminator.requires_grad_(True)
        d_adam.zero_grad()
        judged = discriminator(labels, fov, real), discriminator(labels, fov, fake.detach())
        pix2pix_losses.discriminator_loss(*judged, config.gan_loss).backward()
        d_adam.step()

        discriminator.requires_grad_(False)
        g_adam.zero_grad()
        g_gan = pix2pix_losses.generator_loss(discriminator(labels, fov, fake), config.gan_loss)
        (g_gan + config.l1_weight * pix2pix_losses.photo_distance(fake, real)).backward()
        g_adam.step()

    return step


def dcgan_step(stage: DCGANLabels, batch: Batch) -> Step:
    """DCGAN's step as torch's example takes it."""
    config = stage.config
    generator, discriminator = usual_network(stage.generator), usual_network(stage.discriminator)
    g_adam, d_adam = (
        torch.optim.Adam(network.parameters(), config.learning_rate, (config.beta1, config.beta2))
        for network in (generator, discriminator)
    )
    real = from_unit(batch.labels)

    def step() -> None:
        fake = generator(torch.randn(len(batch), config.latent))
        discriminator.zero_grad()
        judged = discriminator(real), discriminator(fake.detach())
        dcgan_losses.discriminator_loss(*judged, real_target=config.real_target).backward()
        d_adam.step()

        generator.zero_grad()
        dcgan_losses.generator_loss(discriminator(fake)).backward()
        g_adam.step()

    return step


def segmenter_step(stage: UNetSegmenter, batch: Batch, network: nn.Module | None = None) -> Step:
    """A supervised step of the stage's network, or of another from photographs to logits."""
    network = network or usual_network(stage.network)
    adam = torch.optim.AdamW(network.parameters(), stage.config.learning_rate)
    photos = (batch.photos - batch.photo_mean) / batch.photo_std * batch.fov
    present = batch.present.float()

    def step() -> None:
        logits = network(photos)
        entropy = unet_losses.cross_entropy_loss(logits, batch.labels, batch.fov, present)
        dice = unet_losses.dice_loss(logits, batch.labels, batch.fov, present)
        adam.zero_grad()
        (entropy + stage.config.dice_weight * dice).backward()
        adam.step()

    return step


def judge_step(network: nn.Module, pictures: Callable[[], tuple[Tensor, ...]]) -> Step:
    """Forward and backward of a discriminator, gradients to weights and pictures."""

    def step() -> None:
        network.zero_grad()
        logits = network(*pictures())
        # MONAI's gives each layer's maps, the logits last.
        (logits[-1] if isinstance(logits, list) else logits).float().mean().backward()

    return step
