"""SPADE as it is usually written: Park et al. 2019, arXiv 1903.07291, as its authors' and MONAI's code take it.

The same network and losses as ours, float32, default layout, eager. Each norm brings the condition from its full size
to its own, and has a convolution from it alone; a block normalises its doubled input twice, for itself and for its
shortcut; spectral norms are torch's, worked out at each call. The step makes two generator passes, one for each update, judges
real and painted photographs in one batch, as the authors do, and lets the generator's update compute the
discriminators' gradients too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized
from usual import Network, Step, usual_network

from retina_core.stages import Batch
from retina_spade.building import SLOPE, STEM_PX
from retina_spade.losses import (
    Findings,
    feature_distance,
    hinge_d_loss,
    hinge_g_loss,
    photo_distance,
    style_divergence,
)
from retina_spade.network import Block, Generator, Modulation
from retina_spade.stage import SPADETranslator
from retina_spade.styles import StyleSpread


class UsualGenerator(nn.Module):
    """Our generator's weights, and what it is called with; without grain, which the paper has not."""

    def __init__(self, ours: Generator) -> None:
        super().__init__()
        if ours.grain:
            raise ValueError("the usual network has no grain; set grain=False")
        ours = with_torchs_spectral_norms(usual_network(ours))
        self.stem, self.style_stem, self.head = ours.stem, ours.style_stem, ours.head
        self.blocks = nn.ModuleList([UsualBlock(cast(Block, block)) for block in ours.blocks.values()])
        self.encoder = ours.encoder

    def forward(
        self, labels: Tensor, fov: Tensor, style: Tensor | None = None, rngs: Sequence[object] | None = None
    ) -> Tensor:
        maps = torch.cat([labels, fov], dim=1)  # b k+1 h w
        x = self.stem(F.interpolate(maps, (STEM_PX, STEM_PX), mode="area"))  # b f 4 4
        if self.style_stem is not None and style is not None:
            x = x + self.style_stem(style).view_as(x)
        for step, block in enumerate(self.blocks):
            if step:
                x = F.interpolate(x, scale_factor=2, mode="nearest")  # b f 2h 2w
            x = block(x, maps, style)
        return torch.tanh(self.head(F.leaky_relu(x, SLOPE))) * fov + (fov - 1)  # b c h w


class UsualBlock(nn.Module):
    """The SPADE residual block (figure 3) with a norm of its own at each place."""

    def __init__(self, ours: Block) -> None:
        super().__init__()
        told = [cast(Modulation, modulation) for modulation in ours.modulations]
        self.norm_in, self.norm_mid = (
            UsualModulation(norm, one)
            for norm, one in zip((ours.norm_in, ours.norm_mid), told[:2], strict=True)
        )
        self.conv_in, self.conv_mid, self.shortcut = ours.conv_in, ours.conv_mid, ours.shortcut
        self.norm_shortcut = UsualModulation(copy.deepcopy(ours.norm_in), told[2]) if told[2:] else None

    def forward(self, x: Tensor, maps: Tensor, style: Tensor | None) -> Tensor:
        kept = x
        if self.shortcut is not None and self.norm_shortcut is not None:
            kept = self.shortcut(self.norm_shortcut(x, maps, style))
        x = self.conv_in(F.leaky_relu(self.norm_in(x, maps, style), SLOPE))
        return kept + self.conv_mid(F.leaky_relu(self.norm_mid(x, maps, style), SLOPE))


class UsualModulation(nn.Module):
    """A norm whose scale and shift come from the condition (figure 2)."""

    def __init__(self, norm: nn.Module, ours: Modulation) -> None:
        super().__init__()
        self.norm, self.hidden, self.style = norm, ours.hidden, ours.style
        self.scale, self.shift = ours.scale, ours.shift

    def forward(self, x: Tensor, maps: Tensor, style: Tensor | None) -> Tensor:
        told = F.relu(self.hidden(F.interpolate(maps, x.shape[2:], mode="area")))
        scale, shift = self.scale(told), self.shift(told)
        if self.style is not None and style is not None:
            more, up = self.style(style)[:, :, None, None].chunk(2, dim=1)
            scale, shift = scale + more, shift + up
        return self.norm(x) * (1 + scale) + shift


def with_torchs_spectral_norms(network: Network) -> Network:
    """The network, each convolution under a spectral norm replaced by one under torch's, with the same weights."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and is_parametrized(child, "weight"):
                plain = nn.Conv2d(
                    child.in_channels,
                    child.out_channels,
                    cast(int, child.kernel_size),
                    cast(int, child.stride),
                    cast(int, child.padding),
                    bias=child.bias is not None,
                )
                spectral_norm(plain).load_state_dict(child.state_dict())
                setattr(module, name, plain.train(child.training))
    return network


def spade_step(stage: SPADETranslator, batch: Batch) -> Step:
    """SPADE's step as its authors' code takes it, without features of a borrowed network."""
    config, betas = stage.config, (stage.config.beta1, stage.config.beta2)
    generator = UsualGenerator(stage.generator)
    discriminator = with_torchs_spectral_norms(usual_network(stage.discriminator))
    g_adam = torch.optim.Adam(generator.parameters(), config.learning_rate, betas)
    d_adam = torch.optim.Adam(discriminator.parameters(), config.discriminator_learning_rate, betas)
    labels, fov, real = batch.labels, batch.fov, batch.photos * 2 - 1
    twice = torch.cat([labels, labels]), torch.cat([fov, fov])

    def paint() -> tuple[Tensor, StyleSpread | None]:
        spread = generator.encoder(real) if generator.encoder is not None else None
        style = spread.draw(torch.randn(len(batch), config.latent)) if spread is not None else None
        return generator(labels, fov, style), spread

    def judged(fake: Tensor) -> tuple[Findings, Findings]:
        found = discriminator(*twice, torch.cat([real, fake]))
        halves = [[layer.chunk(2) for layer in judge] for judge in found]
        return [[r for r, _ in judge] for judge in halves], [[f for _, f in judge] for judge in halves]

    def step() -> None:
        fake, spread = paint()
        of_real, of_fake = judged(fake)
        loss = config.gan_weight * hinge_g_loss(of_fake)
        loss = loss + config.feature_weight * feature_distance(of_real, of_fake)
        loss = loss + config.l1_weight * photo_distance(fake, real)
        if spread is not None:
            loss = loss + config.style_weight * style_divergence(spread)
        g_adam.zero_grad()
        loss.backward()
        g_adam.step()

        with torch.no_grad():
            fake, _ = paint()
        d_adam.zero_grad()
        hinge_d_loss(*judged(fake)).backward()
        d_adam.step()

    return step
