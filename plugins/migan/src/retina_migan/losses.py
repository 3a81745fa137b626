"""The game of MI-GAN and what its generator is held to besides: the true photograph, or a style (``style_losses.py``).

Iqbal and Ali 2018, J. Med. Syst. 42:231, equations 1 to 4. Sums over samples and pixels are means here, so that a weight
means the same at every size and batch; the sigmoid and the logarithm after it are one function of the logit.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of -log D(x, y) - log(1 - D(G(y, z), y)), D the sigmoid of a logit (eq. 4, with the sign of a loss)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Mean of -log D(G(y, z), y) (eq. 3)."""
    return F.softplus(-fake_logits).mean()


def deviation(painted: Tensor, photo: Tensor) -> Tensor:
    """Mean of |x - G(y, z)| over pixels and colours, both in [-1, 1] (eq. 2)."""
    return (painted - photo).abs().mean()
