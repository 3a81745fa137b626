"""A stage of a few weights, to try the loop with."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from retina_core.config import LearningConfig, setting
from retina_core.optimizers import fused_adam
from retina_core.roles import LabelGenerator
from retina_core.stages import LearningStage, Phase
from retina_core.training.previews import label_picture


class ToyConfig(LearningConfig):
    resolution: int = setting(16, "side", ge=8)
    batch_size: int = setting(4, "batch", ge=1)
    seen_images: int = setting(40, "length", ge=1)
    explode_after: int = setting(10**9, "seen images after which the loss is not a number", ge=0)
    grow_at: int = setting(10**9, "seen images after which the second half learns at full resolution", ge=0)


class ToyLabels(LearningStage, LabelGenerator):
    name: ClassVar[str] = "toy"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    reads_photos: ClassVar[bool] = False

    def __init__(self, config: ToyConfig, channels: tuple[str, ...]) -> None:
        super().__init__(config, channels)
        self.generator = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, len(channels), 1)
        )
        self.other = nn.Conv2d(len(channels), 1, 1)
        self.draws: list[float] = []

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "other": self.other}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {name: fused_adam(network, 1e-2, (0.5, 0.99)) for name, network in self.networks().items()}

    def plan(self, seen_images: int) -> Phase:
        rates = {"generator": self.config.learning_rate, "other": 1e-3}
        early = seen_images < self.config.grow_at
        trainable = ("generator.0", "other") if early and self.config.grow_at < 10**9 else ("",)
        return Phase(
            self.config.resolution // (2 if trainable != ("",) else 1),
            self.config.batch_size,
            rates,
            trainable,
        )

    def training_step(self, batch: Any, context: Any) -> dict[str, torch.Tensor]:
        labels, _, _ = context.augment(batch)
        side = labels.shape[-1]
        fake = self.generator(context.noise(1, side, side))
        self.draws.append(float(torch.rand(())))
        loss = (fake.float() - labels).square().mean()
        if context.seen_images >= self.config.explode_after:
            loss = loss * float("nan")
        context.descend("generator", loss + self.other(fake).float().square().mean())
        judged = self.other(fake.detach()).float().square().mean()
        context.descend("other", judged)
        return {"g": loss.detach(), "o": judged.detach()}

    def rehearse(self, batch: Any, context: Any) -> None:
        self.generator(context.noise(1, self.resolution, self.resolution))

    @torch.no_grad()
    def sample(self, rngs: Any, *, grades: Any = None) -> torch.Tensor:
        z = torch.stack([torch.randn(1, self.resolution, self.resolution, generator=rng) for rng in rngs])
        return self.generator(z).sigmoid()

    def preview(self, batch: Any, rngs: Any) -> torch.Tensor:
        return label_picture(self.sample(rngs))
