"""The hinge game of SPADE's discriminators, the distances to the true photograph, and the styles' to the prior.

Park et al. 2019, arXiv 1903.07291, section 3 and appendix A: pix2pixHD's losses with the least-squares game replaced
by the hinge of Lim and Ye 2017, arXiv 1705.02894.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from retina_spade.styles import StyleSpread

Findings = Sequence[Sequence[Tensor]]
"""What each discriminator finds: its features (b f h w), fine ones first, and last a logit per patch (b 1 h w)."""


def hinge_d_loss(real: Findings, fake: Findings) -> Tensor:
    """Mean over discriminators and patches of max(0, 1 - D(x, y)) + max(0, 1 + D(x, G(x)))."""
    losses = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def hinge_g_loss(fake: Findings) -> Tensor:
    """Mean over discriminators and patches of -D(x, G(x))."""
    return torch.stack([-f[-1].mean() for f in fake]).mean()


def feature_distance(real: Findings, fake: Findings) -> Tensor:
    """Mean over discriminators k of the sum over layers i of mean |D_k^i(x, y) - D_k^i(x, G(x))|, logits left out.

    Wang et al. 2018, arXiv 1711.11585, equation 4.
    """
    pairs = [zip(r[:-1], f[:-1], strict=True) for r, f in zip(real, fake, strict=True)]
    distances = [(r.detach() - f).abs().mean() for layers in pairs for r, f in layers]
    return torch.stack(distances).sum() / len(pairs)


def photo_distance(painted: Tensor, photo: Tensor) -> Tensor:
    """Mean of |y - G(x)| over pixels and colours, both in [-1, 1]."""
    return (painted - photo).abs().mean()


def style_divergence(spread: StyleSpread) -> Tensor:
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - log s^2 - 1) / 2, in nats, summed over the latent, mean over the batch."""
    mean, log_variance = spread
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2
