"""From a sample's generator to the maps of an eye.

The eyes are those of ``retina_core.phantom``: a vessel tree that branches by Murray's law (PNAS 12:207, 1926), bends
around the macula and hangs on a disc of measured size, and lesions by grade; each number stands there beside its source.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from retina_core.asked_grades import at_quantile
from retina_core.data.readers.phantom import LABELS_SEED
from retina_core.phantom import GRADES, LESIONS, phantom_labels

EYES = 2**62
"""Eyes to choose from: of a million that are drawn, two are the same with odds of one in ten million."""


def shows_lesions(channels: Sequence[str]) -> bool:
    """Whether one of the channels is of a lesion, which only an eye with a grade has."""
    return not set(LESIONS).isdisjoint(channels)


def draw_maps(
    rng: torch.Generator,
    channels: Sequence[str],
    image_px: int,
    grade: int | None = None,
    shares: Mapping[int, float] | None = None,
) -> Tensor:
    """The maps (k h w), 0 and 1, of an eye that the generator chooses; other sizes show the same eye.

    The choice is made in a series of its own: the eye is in no phantom data, neither to train on nor to test on. Without
    channels of lesions the grade makes no difference.

    Args:
        grade: 0 to 4; None: the generator chooses it too, after the eye.
        shares: grade -> how often it is chosen then; all alike where none is given.
    """
    index = int(torch.randint(EYES, (), generator=rng))
    if not shows_lesions(channels):
        maps = phantom_labels(LABELS_SEED, index, image_px)
    else:
        own = at_quantile(shares or dict.fromkeys(GRADES, 1.0), float(torch.rand((), generator=rng)))
        maps = phantom_labels(LABELS_SEED, index, image_px, own if grade is None else grade)
    return torch.from_numpy(np.stack([maps[channel] for channel in channels]).astype(np.float32))
