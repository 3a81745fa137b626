"""Adaptive discriminator augmentation: a GAN that learns from twenty maps without knowing them by heart.

Karras et al. 2020, arXiv 2006.06676. Everything that the discriminator sees, real or fake, in its update and in the
generator's, is changed at random by :mod:`retina_core.training.adaptive_geometry`; each change happens with one
probability, the strength, which rises while the discriminator overfits and falls while it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from retina_core.config import AdaptiveConfig
from retina_core.training.adaptive_geometry import change_maps, draw_changes
from retina_core.training.context import StepContext

INTERVAL = 256
"""Seen images between two changes of the strength: the paper's four batches of 64."""


class AdaptiveAugmentation:
    """Changes maps on their way to a discriminator, at a strength that follows how much it overfits.

    Every process holds the same strength. Nothing is learnt by gradients; ``state`` belongs in a stage's
    ``extra_state``.

    Args:
        config: a stage's, whose ``ada`` switches it on.
        background: what lies outside a map, in the values of the maps that it is given: -1 inside a network
            that works in [-1, 1].
    """

    def __init__(self, config: AdaptiveConfig, *, background: float = 0.0) -> None:
        self._config, self._background = config, background
        self.strength = config.ada_strength if config.ada != "off" else 0.0
        """Probability of each change, in [0, 1]."""
        self.overfitting = 0.0
        """r_t or r_v at the last change of the strength: 0 for none, 1 for a discriminator that knows its maps."""
        self._images = 0
        self._sums: Tensor | None = None

    @property
    def on(self) -> bool:
        """Whether maps are changed at all."""
        return self._config.ada != "off"

    def __call__(self, maps: Tensor, rngs: Sequence[torch.Generator]) -> Tensor:
        """(b k h w) -> (b k h w), each changed by numbers of its own generator; differentiable, twice as well.

        Switched off it gives the maps back and draws nothing. At strength 0 it gives the maps back too, but each
        generator still gives as many numbers as at any other strength.
        """
        if not self.on:
            return maps
        matrices = draw_changes(rngs, self.strength, *maps.shape[2:])
        if self.strength == 0:
            return maps
        with torch.autocast(maps.device.type, enabled=False):
            exact = maps if maps.dtype == torch.float64 else maps.float()
            changed = change_maps(exact, matrices, self._background)
        return changed.to(maps.dtype).contiguous(memory_format=torch.channels_last)

    def observe(self, real_logits: Tensor, context: StepContext) -> None:
        """Follow r_t = E[sign(D(real))] of a loss whose logits have their centre at 0 (logistic; section 3).

        Args:
            real_logits: (b) or any other shape, of this process' training maps as the discriminator saw them.
            context: of the step.
        """
        self._observe([real_logits.detach().float().sign().mean()], context)

    def observe_held_out(self, real: Tensor, held_out: Tensor, fake: Tensor, context: StepContext) -> None:
        """Follow r_v = (E[D(real)] - E[D(held out)]) / (E[D(real)] - E[D(fake)]), for losses without a centre.

        Args:
            real, held_out, fake: what the discriminator said, each of any shape, of training maps, of maps that
                are never trained on (``context.held_out``), and of drawn ones, all changed alike.
            context: of the step.
        """
        self._observe([logits.detach().float().mean() for logits in (real, held_out, fake)], context)

    def scalars(self) -> dict[str, Tensor]:
        """What a stage may log of it: strength and overfitting; nothing where it is off."""
        if not self.on:
            return {}
        return {"ada_strength": torch.tensor(self.strength), "overfitting": torch.tensor(self.overfitting)}

    def state(self) -> dict[str, Any]:
        """What a resume must restore: exact at any moment, the same in every process."""
        sums = [] if self._sums is None else self._sums.tolist()
        return {
            "strength": self.strength,
            "overfitting": self.overfitting,
            "images": self._images,
            "sums": sums,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.strength, self.overfitting = float(state["strength"]), float(state["overfitting"])
        self._images = int(state["images"])
        self._sums = torch.tensor(state["sums"]) if state["sums"] else None

    def _observe(self, means: Sequence[Tensor], context: StepContext) -> None:
        if self._config.ada != "adaptive":
            return
        latest = torch.stack(list(means))
        # At every step rather than once an interval: a checkpoint then holds what all processes saw.
        context.learner.processes.average([latest])
        images = context.phase.batch_size
        weighed = latest * images
        self._sums = weighed if self._sums is None else self._sums.to(weighed.device) + weighed
        self._images += images
        if self._images >= INTERVAL:
            self._adapt((self._sums / self._images).tolist())

    def _adapt(self, means: Sequence[float]) -> None:
        self.overfitting = means[0] if len(means) == 1 else held_out_overfitting(*means)
        direction = (self.overfitting > self._config.ada_target) - (
            self.overfitting < self._config.ada_target
        )
        risen = self.strength + direction * self._images / self._config.ada_images
        self.strength = min(max(risen, 0.0), self._config.ada_limit)
        self._images, self._sums = 0, None


def held_out_overfitting(real: float, held_out: float, fake: float) -> float:
    """r_v = (E[D(real)] - E[D(held out)]) / (E[D(real)] - E[D(fake)]) of means; section 3, equation 1.

    0 where the discriminator does not place training maps above drawn ones: it cannot know what it cannot tell.
    """
    return (real - held_out) / (real - fake) if real > fake else 0.0
