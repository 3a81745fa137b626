"""Phantoms in the role of a label generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from retina_core.errors import ChannelError
from retina_core.phantom import CHANNELS
from retina_core.roles import LabelGenerator
from retina_phantom.config import PhantomConfig
from retina_phantom.drawing import draw_maps


class PhantomLabels(LabelGenerator):
    """Label maps by rules of anatomy; nothing is learnt."""

    name: ClassVar[str] = "phantom"
    sharp: ClassVar[bool] = True
    known_channels: ClassVar[tuple[str, ...] | None] = CHANNELS
    config: PhantomConfig

    def __init__(self, config: PhantomConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        if missing := set(channels) - set(CHANNELS):
            raise ChannelError("the stage", missing, self.name, CHANNELS)

    def at(self, size_px: int) -> PhantomLabels:
        """The same eyes at another size: a map that was drawn larger would lose its thinnest vessels in shrinking."""
        other = PhantomLabels(self.config.model_copy(update={"resolution": size_px}), self.channels)
        other.priors = self.priors
        return other

    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        """Label maps (b k h w), 0 and 1; phantoms have no lesions, so that grades make no difference."""
        return torch.stack([draw_maps(rng, self.channels, self.resolution) for rng in rngs])
