"""The conditional game of pix2pix, its distance to the true photograph, and pix2pixHD's in the discriminators' features.

Isola et al. 2017, arXiv 1611.07004, equations 1 to 4; the least-squares game is Mao et al. 2017, arXiv 1611.04076.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Game = Literal["logistic", "least_squares"]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, game: Game) -> Tensor:
    """Half the sum of both errors, which slows the discriminator down (paper, section 3.3), over all patches.

    Logistic: -log D(x, y) - log(1 - D(x, G(x))); least squares: (D(x, y) - 1)^2 + D(x, G(x))^2.
    """
    if game == "logistic":
        return (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()) / 2.0
    return ((real_logits - 1.0).square().mean() + fake_logits.square().mean()) / 2.0


def generator_loss(fake_logits: Tensor, game: Game) -> Tensor:
    """Mean over all patches of -log D(x, G(x)), logistic, or of (D(x, G(x)) - 1)^2, least squares."""
    if game == "logistic":
        return F.softplus(-fake_logits).mean()
    return (fake_logits - 1.0).square().mean()


def photo_distance(painted: Tensor, photo: Tensor) -> Tensor:
    """Mean of |y - G(x)| over pixels and colours, both in [-1, 1] (paper, equation 3)."""
    return (painted - photo).abs().mean()


def feature_distance(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean over discriminators k of the sum over layers i of mean |D_k^i(x, y) - D_k^i(x, G(x))|, logits left out.

    Wang et al. 2018, arXiv 1711.11585, equation 4; the mean over discriminators is the released code's.
    """
    pairs = [zip(r[:-1], f[:-1], strict=True) for r, f in zip(real, fake, strict=True)]
    distances = [(r.detach() - f).abs().mean() for layers in pairs for r, f in layers]
    return torch.stack(distances).sum() / len(pairs)
