"""The adversarial game of DCGAN: cross-entropy with a non-saturating generator, and an optional penalty.

Goodfellow et al. 2014, arXiv 1406.2661, section 3; Radford et al. 2016, arXiv 1511.06434. SynthMed's printed loss
(arXiv 1709.01872, "Stage-I GAN") interchanges real and fake and lets the generator's term depend on real maps only;
the usual orientation is kept here, because the printed one has no gradient for the generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, *, real_target: float = 1.0) -> Tensor:
    """Mean of -t log D(x) - (1 - t) log(1 - D(x)) over real x plus mean of -log(1 - D(G(z))).

    ``real_target`` t below 1 is one-sided label smoothing (Salimans et al. 2016, arXiv 1606.03498, section 3.4).
    """
    real = real_target * F.softplus(-real_logits) + (1.0 - real_target) * F.softplus(real_logits)
    return real.mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Mean of -log D(G(z)), the non-saturating form (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake_logits).mean()


def r1_penalty(real_logits: Tensor, real_maps: Tensor) -> Tensor:
    """Mean over b of ||grad_x D(x)||^2 / 2 at real maps x (Mescheder et al. 2018, arXiv 1801.04406, equation 9)."""
    (slope,) = torch.autograd.grad(real_logits.sum(), real_maps, create_graph=True)  # b k h w
    return slope.float().square().sum(dim=(1, 2, 3)).mean() / 2.0
