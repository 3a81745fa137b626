"""The style of a photograph, and which styles there are: mean and covariance of those met in training alone.

Park et al. 2019, arXiv 1903.07291, section 3 and figure 14. A style encoder is trained towards the standard normal distribution, but with a weight of 0.05 and some twenty
photographs it stays beside it: drawn from there, styles are ones that the generator has never met. So their mean and
covariance over the training are kept with the weights, and styles are drawn from that normal distribution. It tells
of the training set as a whole; the style of no photograph is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.norms import InstanceNorm2d
from retina_core.randomness import normal
from retina_spade.building import SLOPE, STEM_PX, block_sizes, init_layer
from retina_spade.spectral import spectral_norm

HALF_LIFE = 500
"""Seen images after which an old style counts half: the encoder moves on."""
JITTER = 1e-5


class StyleSpread(NamedTuple):
    """Where the style of a photograph lies: a normal distribution (b z)."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """A style (b z) from standard normal noise (b z)."""
        return self.mean + noise * (self.log_variance / 2).exp()


class StyleEncoder(nn.Module):
    """Photos (b c h w) in [-1, 1], -1 outside their fov, to mean and log variance (b z) of their style (figure 14).

    Works at ``resolution`` px at most. The paper's convolutions have instance norms, which take away brightness and
    colour as a whole: those are given to the last layers beside them, as mean and deviation of each colour.
    """

    def __init__(self, *, resolution: int, width: int, max_width: int, latent: int, colours: int = 3) -> None:
        super().__init__()
        self.resolution, self.latent = resolution, latent
        sizes = block_sizes(resolution)[:0:-1]  # h, h/2, ... 8: one halving from each
        widths = [colours, *(min(width * 2**step, max_width) for step in range(len(sizes)))]
        self.layers = nn.Sequential(*(encoder_layer(a, b) for a, b in pairwise(widths)))
        f = widths[-1] * STEM_PX**2 + 2 * colours
        self.mean, self.log_variance = nn.Linear(f, latent), nn.Linear(f, latent)
        self.apply(init_layer)
        self.prior = StylePrior(latent)

    def forward(self, photos: Tensor) -> StyleSpread:
        colours = colour_statistics(photos)  # b 2c
        small = F.interpolate(photos, (self.resolution, self.resolution), mode="area")
        x = self.layers(small)  # b f 4 4
        x = torch.cat([x.flatten(1).float(), colours], dim=1)  # b 16f+2c
        return StyleSpread(self.mean(x).float(), self.log_variance(x).float())


class StylePrior(nn.Module):
    """Mean and covariance of the styles (b z) met lately; they begin as those of the standard normal distribution."""

    mean: Tensor
    covariance: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("covariance", torch.eye(latent))

    @torch.no_grad()
    def observe(self, styles: Tensor) -> None:
        """Move towards the mean and covariance of styles (b z) of training photographs."""
        share = 1 - 0.5 ** (len(styles) / HALF_LIFE)
        styles = styles.detach().float()
        self.mean.lerp_(styles.mean(0), share)
        away = styles - self.mean  # b z
        self.covariance.lerp_(
            (away[:, :, None] * away[:, None]).mean(0), share
        )  # not a product of matrices: bf16

    def sample(self, rngs: Sequence[torch.Generator]) -> Tensor:
        """Styles (b z), one per generator, float32 on the CPU."""
        noise, mean = normal(rngs, len(self.mean)), self.mean.float().cpu()  # b z, z
        covariance = self.covariance.float().cpu() + JITTER * torch.eye(len(mean))  # z z
        with torch.autocast("cpu", enabled=False):
            return torch.addmm(mean, noise, torch.linalg.cholesky(covariance).mT)


def encoder_layer(f_in: int, f_out: int) -> nn.Sequential:
    """One halving of the style encoder."""
    convolution = spectral_norm(nn.Conv2d(f_in, f_out, 3, stride=2, padding=1))
    return nn.Sequential(convolution, InstanceNorm2d(f_out), nn.LeakyReLU(SLOPE))


def colour_statistics(photos: Tensor) -> Tensor:
    """Mean and standard deviation (b 2c) of each colour of photos (b c h w) in [-1, 1], where they are not black."""
    photos = photos.float()
    lit = (photos.amax(1, keepdim=True) > -1).float()  # b 1 h w
    area = lit.sum((2, 3)).clamp_min(1)  # b 1
    mean = (photos * lit).sum((2, 3)) / area  # b c
    variance = ((photos - mean[:, :, None, None]).square() * lit).sum((2, 3)) / area  # b c
    return torch.cat([mean, (variance + 1e-6).sqrt()], dim=1)
