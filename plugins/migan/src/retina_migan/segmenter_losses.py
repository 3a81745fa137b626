"""What segmenter and critic are trained to lower: Iqbal and Ali 2018, equations 4 to 6, as means, on logits.

On logits, since log D of a sigmoid that rounds to 0 or 1 is infinite, in half precision early on. A mean over verdicts and
pixels, where the paper has sums: one step size and one lambda then hold for every critic and resolution.
"""

from torch import Tensor
from torch.nn import functional as F


def segmentation_loss(logits: Tensor, labels: Tensor, fov: Tensor, present: Tensor) -> Tensor:
    """Equation 5: mean of -y log G(x) - (1 - y) log(1 - G(x)) over what is known, a scalar in nats.

    logits, labels (b k h w), labels in [0, 1]; fov (b 1 h w); present (b k), 0 where a sample was not annotated for the
    channel. Zero where nothing is known.
    """
    known = fov * present[:, :, None, None]  # b k h w
    entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (known * entropy).sum() / known.sum().clamp_min(1)


def adversarial_loss(fake: Tensor) -> Tensor:
    """First term of equation 6: mean of -log D(G(x), x); ``fake``: logits of what the segmenter found."""
    return F.softplus(-fake).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Equation 4 with its sign turned, to be lowered: mean of -log D(y, x) - log(1 - D(G(x), x)), from logits."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()
