"""Progressive growing as it is usually written: Karras et al. 2018, arXiv 1710.10196, at its full size.

The same networks and losses as ours, float32, default layout, eager: doubling and then a convolution, a convolution
and then means of 2 x 2 pixels. The step makes two generator passes, one for each update, judges real and drawn maps
apart, lets the generator's update compute the discriminator's gradients too, and averages the generator's weights one
tensor at a time. The penalty is as lazy as ours.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from usual import Step, usual_network

from retina_core.stages import Batch
from retina_core.training.averaging import RAMP
from retina_pgan.layers import DoublingConv2d, EqualConv2d, HalvingConv2d
from retina_pgan.losses import logistic_d_loss, logistic_g_loss, r1_penalty
from retina_pgan.network import Discriminator, Generator, Growth, sizes
from retina_pgan.stage import PGANLabels

SLOPE, TINY = 0.2, 1e-8


def convolution(ours: DoublingConv2d | HalvingConv2d) -> EqualConv2d:
    """The convolution alone, with the same weights."""
    plain = EqualConv2d(ours.in_channels, ours.out_channels, 3, padding=1)
    plain.load_state_dict(ours.state_dict())
    return plain


USUAL = {
    DoublingConv2d: lambda ours: nn.Sequential(nn.Upsample(scale_factor=2), convolution(ours)),
    HalvingConv2d: lambda ours: nn.Sequential(convolution(ours), nn.AvgPool2d(2)),
}


class UsualGenerator(nn.Module):
    """Our generator's weights, and what it is called with; grown to its full size."""

    def __init__(self, ours: Generator) -> None:
        super().__init__()
        plain = usual_network(ours, USUAL)
        self.growth = Growth(max(int(px) for px in plain.to_maps))
        self.dense, self.conv = plain.stem.dense, plain.stem.conv
        blocks = [plain.blocks[str(px)] for px in sizes(self.growth.px)[1:]]
        self.layers = nn.ModuleList([layer for block in blocks for layer in (block.up, block.conv)])
        self.to_maps = plain.to_maps[str(self.growth.px)]

    def forward(self, z: Tensor, growth: Growth) -> Tensor:
        # As ours, features last within a pixel.
        x = self.dense(pixel_norm(z)).view(len(z), 4, 4, -1).permute(0, 3, 1, 2).contiguous()  # b f 4 4
        x = pixel_norm(F.leaky_relu(x, SLOPE))
        for layer in (self.conv, *self.layers):
            x = pixel_norm(F.leaky_relu(layer(x), SLOPE))  # b f 4 4, b f 8 8, b f 8 8, ... b f h w
        maps: Tensor = self.to_maps(x)  # b k h w
        return maps


def pixel_norm(x: Tensor) -> Tensor:
    """Each pixel's features (b f ...) scaled to a root mean square of 1."""
    return x / torch.sqrt((x**2).mean(dim=1, keepdim=True) + TINY)


def usual_discriminator(ours: Discriminator) -> Discriminator:
    """Ours with convolutions that are halved afterwards."""
    return usual_network(ours, USUAL)


def pgan_step(stage: PGANLabels, batch: Batch) -> Step:
    """The logistic game on maps of the full size."""
    config, betas = stage.config, (stage.config.beta1, stage.config.beta2)
    generator, discriminator = UsualGenerator(stage.generator), usual_discriminator(stage.discriminator)
    average = copy.deepcopy(generator).requires_grad_(False)
    g_adam = torch.optim.Adam(generator.parameters(), config.learning_rate, betas)
    d_adam = torch.optim.Adam(discriminator.parameters(), config.discriminator_learning_rate, betas)
    real, growth, count = batch.labels * 2 - 1, generator.growth, 0

    def noise() -> Tensor:
        return torch.randn(len(batch), config.latent)

    def penalty() -> Tensor:
        maps = real.detach().requires_grad_(True)
        return config.r1 * config.r1_every * r1_penalty(discriminator(maps, growth), maps)

    def step() -> None:
        nonlocal count
        with torch.no_grad():
            fake = generator(noise(), growth)
        d_loss = logistic_d_loss(discriminator(real, growth), discriminator(fake, growth))
        if config.r1 and count % config.r1_every == 0:
            d_loss = d_loss + penalty()
        d_adam.zero_grad()
        d_loss.backward()
        d_adam.step()

        g_adam.zero_grad()
        logistic_g_loss(discriminator(generator(noise(), growth), growth)).backward()
        g_adam.step()

        count += 1
        half_life = min(config.average_half_life, count * len(batch) * RAMP)
        with torch.no_grad():
            for kept, live in zip(average.parameters(), generator.parameters(), strict=True):
                kept.lerp_(live, 1 - 0.5 ** (len(batch) / half_life))

    return step
