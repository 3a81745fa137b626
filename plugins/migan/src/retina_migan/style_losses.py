"""What painting in a style is held to: equations 7 to 11 of MI-GAN.

Iqbal and Ali 2018, J. Med. Syst. 42:231, "Style transfer variant for MI-GAN", after Gatys et al. 2015 (arXiv 1508.06576) and
Johnson et al. 2016 (arXiv 1603.08155). Departures, each with its reason:

- Sums over features, positions and samples are means. The paper's style loss, a sum of squares of sums over pixels, grows
  with the fourth power of a map's side and would leave nothing of the adversarial loss; with means, as Johnson et al. take
  them, the paper's weights (1, 10, 100) bring the terms to one size.
- The paper prints Λs = 1 and Λc = 0 for the layer of a block. If 1 is the first, 0 is none: the first is taken in both.
- Only what lies inside a field of view counts: the paper crops to the eye, and how much black a camera leaves around one is
  no style. The two fields of view need not be the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK_WEIGHT = 0.2
"""Of each block's Gram matrix (paper: the weight of every block is fixed to 0.2, and there are five)."""
CONTENT_BLOCK = 4
"""The block whose first layer the content is compared in; the last, where features come in fewer."""


def gram(maps: Tensor, fov: Tensor) -> Tensor:
    """G_ij = sum_k m_k F_ik F_jk / (f sum_k m_k), maps F (b f h w), m the share of fov (b 1 H W) in a place k: (b f f).

    Equation 7, as a mean over the f features and the places inside the field of view.
    """
    inside = F.adaptive_avg_pool2d(fov, (maps.shape[-2], maps.shape[-1]))  # b 1 h w
    weighed = (maps.float() * inside.sqrt()).flatten(2)  # b f hw
    with torch.autocast(maps.device.type, enabled=False):
        products = weighed @ weighed.mT  # b f f
    return products / (maps.shape[1] * inside.sum((1, 2, 3)).clamp_min(1e-6)[:, None, None])


def style_loss(painted: Sequence[Tensor], style: Sequence[Tensor]) -> Tensor:
    """Sum over blocks of 0.2 |G(x_s) - G(x^)|_F^2, Gram matrices (b f f) of either; mean over the batch (eq. 8)."""
    terms = [(s - p).square().sum((1, 2)).mean() for p, s in zip(painted, style, strict=True)]
    return BLOCK_WEIGHT * torch.stack(terms).sum()


def content_loss(painted: Sequence[Tensor], photos: Sequence[Tensor]) -> Tensor:
    """Mean of (F(x) - F(x^))^2 over features and places of the content block, maps (b f h w) of either (eq. 9)."""
    block = min(CONTENT_BLOCK, len(painted)) - 1
    return (painted[block].float() - photos[block].float()).square().mean()


def total_variation(painted: Tensor, fov: Tensor) -> Tensor:
    """Mean over places of the squared distances of a pixel's colours from its lower and its right neighbour's (eq. 10).

    painted (b c h w) in [-1, 1]; pairs of pixels that both lie inside fov (b 1 h w) count.
    """
    down = (painted[:, :, 1:] - painted[:, :, :-1]).square() * fov[:, :, 1:] * fov[:, :, :-1]
    right = (painted[..., 1:] - painted[..., :-1]).square() * fov[..., 1:] * fov[..., :-1]
    return (down.sum() + right.sum()) / fov.sum().clamp_min(1)


def missed_labels(found: Tensor, labels: Tensor, fov: Tensor) -> Tensor:
    """Mean inside fov of -y log S(x^) - (1 - y) log(1 - S(x^)), S (b k h w) a segmenter's probabilities (eq. 5, 12)."""
    found = found.float().clamp(1e-6, 1 - 1e-6)
    entropy = -labels * found.log() - (1 - labels) * (1 - found).log()
    return (entropy * fov).sum() / (fov.sum() * labels.shape[1]).clamp_min(1)
