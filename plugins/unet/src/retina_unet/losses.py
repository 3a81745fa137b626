"""What the network is trained to lower: cross-entropy and Dice, over the pixels and channels that are known.

Milletari, Navab and Ahmadi 2016, "V-Net", arXiv 1606.04797, section 3, for Dice as a loss. U-Net itself (arXiv
1505.04597) used weighted cross-entropy alone.
"""

from torch import Tensor
from torch.nn import functional


def cross_entropy_loss(logits: Tensor, labels: Tensor, weights: Tensor, present: Tensor) -> Tensor:
    """Mean of -y ln p - (1 - y) ln(1 - p), weighted: a scalar in nats.

    logits, labels (b k h w), labels soft in [0, 1]; weights (b 1 h w), 0 outside the field of view; present (b k),
    0 where a sample was not annotated for the channel. Zero where nothing is known.
    """
    known = weights * present[:, :, None, None]  # b k h w
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (known * entropy).sum() / known.sum().clamp(min=1)


def dice_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, present: Tensor, smooth: float = 1.0
) -> Tensor:
    """1 - (2 sum py + s) / (sum p^2 + sum y^2 + s), each channel summed over the batch; mean of the channels marked there.

    Shapes as in ``cross_entropy_loss``. The squares (V-Net's form) have their optimum at p = y for soft labels too. Where
    nothing is marked the overlap is 0 whatever is found, so that the term would only press p to 0: with a patch to a
    step, of which few show a lesion, a network then learnt to find none.
    """
    known = weights * present[:, :, None, None]  # b k h w
    p, over = logits.sigmoid(), (0, 2, 3)
    overlap, total = (known * p * labels).sum(over), (known * (p.square() + labels.square())).sum(over)
    loss = 1 - (2 * overlap + smooth) / (total + smooth)  # k
    marked = ((known * labels).sum(over) > 0).to(loss.dtype)  # k
    return (loss * marked).sum() / marked.sum().clamp(min=1)
