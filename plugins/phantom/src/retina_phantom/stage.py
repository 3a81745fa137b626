"""Phantoms in the role of a label generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from retina_core.errors import ChannelError
from retina_core.phantom import CHANNELS, LESIONS
from retina_core.roles import LabelGenerator
from retina_phantom.config import PhantomConfig
from retina_phantom.drawing import draw_maps, shows_lesions

KNOWN = (*CHANNELS, *LESIONS)


class PhantomLabels(LabelGenerator):
    """Label maps by rules of anatomy; nothing is learnt."""

    name: ClassVar[str] = "phantom"
    sharp: ClassVar[bool] = True
    takes_grades: ClassVar[bool] = True
    known_channels: ClassVar[tuple[str, ...] | None] = KNOWN
    config: PhantomConfig

    def __init__(self, config: PhantomConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        if missing := set(channels) - set(KNOWN):
            raise ChannelError("the stage", missing, self.name, KNOWN)

    @classmethod
    def shows_grades(cls, channels: Sequence[str]) -> bool:
        """Whether a lesion is among them: all else is alike in every grade."""
        return shows_lesions(channels)

    def at(self, size_px: int) -> PhantomLabels:
        """The same eyes at another size: a map that was drawn larger would lose its thinnest vessels in shrinking."""
        other = PhantomLabels(self.config.model_copy(update={"resolution": size_px}), self.channels)
        other.priors = self.priors
        return other

    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        """Label maps (b k h w), 0 and 1; without ``grades`` (b) lesions are those of grades as in the training set."""
        asked = [None] * len(rngs) if grades is None else [int(grade) for grade in grades]
        shares = self.priors.grade_shares
        return torch.stack(
            [
                draw_maps(rng, self.channels, self.resolution, grade, shares)
                for rng, grade in zip(rngs, asked, strict=True)
            ]
        )
