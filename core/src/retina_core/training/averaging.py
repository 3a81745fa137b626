"""Weights averaged over the training, which a GAN's generator is used through.

The average is exponential with a half-life in seen images (Karras et al. 2018, arXiv 1710.10196, section 4.1). Early
on, the half-life is a twentieth of what was seen, so that short trainings are not averaged with their noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

RAMP = 0.05


class WeightAverage:
    """The running average of one network's parameters."""

    def __init__(self, network: nn.Module, half_life: int) -> None:
        self._network, self._half_life = network, half_life
        self.weights: dict[str, Tensor] = {k: p.detach().clone() for k, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, seen_images: int, new_images: float) -> None:
        """Move the average towards the weights as they are now, by as much as ``new_images`` count."""
        half_life = min(float(self._half_life), max(seen_images, 1) * RAMP)
        keep = 0.5 ** (new_images / half_life)
        live = [p.detach() for p in self._network.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), live, 1 - keep)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take back a checkpoint's average, in the layout that the parameters have."""
        for key, value in self.weights.items():
            value.copy_(weights[key])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network holds the average; afterwards its own weights and buffers again, to the bit."""
        own = {k: v.detach().clone() for k, v in self._network.state_dict().items()}
        mode = self._network.training
        with torch.no_grad():
            for key, parameter in self._network.named_parameters():
                parameter.copy_(self.weights[key])
        try:
            yield
        finally:
            with torch.no_grad():
                for key, value in self._network.state_dict().items():
                    value.copy_(own[key])
            self._network.train(mode)


def batch_norms(networks: Iterable[nn.Module]) -> list[nn.modules.batchnorm._BatchNorm]:
    """Every batch normalisation of some networks."""
    kind = nn.modules.batchnorm._BatchNorm
    return [module for network in networks for module in network.modules() if isinstance(module, kind)]


@contextmanager
def fresh_statistics(networks: Sequence[nn.Module]) -> Iterator[bool]:
    """Inside, batch statistics start anew and average over all passes; gives whether there are any.

    An average of weights has other activations than any weights that it averages: their statistics do not fit.
    """
    norms = batch_norms(networks)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield bool(norms)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
