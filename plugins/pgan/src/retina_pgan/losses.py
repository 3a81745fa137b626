"""The two games of progressive growing, and their penalties on the discriminator's slope."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def logistic_d_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of -log D(x) plus mean of -log(1 - D(G(z))) (Goodfellow et al. 2014, arXiv 1406.2661, section 3)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def logistic_g_loss(fake_logits: Tensor) -> Tensor:
    """Mean of -log D(G(z)), the non-saturating form (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake_logits).mean()


def wasserstein_d_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of D(G(z)) - D(x) (Arjovsky et al. 2017, arXiv 1701.07875, equation 2)."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_g_loss(fake_logits: Tensor) -> Tensor:
    """Mean of -D(G(z)) (Arjovsky et al. 2017, algorithm 1)."""
    return -fake_logits.mean()


def drift_penalty(real_logits: Tensor) -> Tensor:
    """Mean of D(x)^2: keeps a critic's values near zero, which nothing else does (Karras et al. 2018, app. A.1)."""
    return real_logits.square().mean()


def r1_penalty(logits: Tensor, maps: Tensor) -> Tensor:
    """Mean over b of ||grad_x D(x)||^2 / 2 at real maps x (Mescheder et al. 2018, arXiv 1801.04406, equation 9)."""
    return _squared_slopes(logits, maps).mean() / 2.0


def gradient_penalty(logits: Tensor, maps: Tensor) -> Tensor:
    """Mean over b of (||grad_x D(x)|| - 1)^2 at x between real and fake (Gulrajani et al. 2017, arXiv 1704.00028, eq. 3)."""
    # The root's own slope is infinite at zero, where that of a fresh critic may be.
    lengths = (_squared_slopes(logits, maps) + 1e-12).sqrt()
    return (lengths - 1.0).square().mean()


def _squared_slopes(logits: Tensor, maps: Tensor) -> Tensor:
    """Squared lengths (b) of the gradients of logits (b) with respect to maps (b k h w)."""
    (slope,) = torch.autograd.grad(logits.sum(), maps, create_graph=True)  # b k h w
    return slope.float().square().sum(dim=(1, 2, 3))
