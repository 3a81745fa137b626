"""From a sample's generator to the maps of an eye.

The eyes are those of ``retina_core.phantom``: a vessel tree that branches by Murray's law (PNAS 12:207, 1926), bends
around the macula and hangs on a disc of measured size; each number stands there beside its source.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from retina_core.data.readers.phantom import LABELS_SEED
from retina_core.phantom import phantom_labels

EYES = 2**62
"""Eyes to choose from: of a million that are drawn, two are the same with odds of one in ten million."""


def draw_maps(rng: torch.Generator, channels: Sequence[str], image_px: int) -> Tensor:
    """The maps (k h w), 0 and 1, of an eye that the generator chooses; other sizes show the same eye.

    The choice is made in a series of its own: the eye is in no phantom data, neither to train on nor to test on.
    """
    index = int(torch.randint(EYES, (), generator=rng))
    maps = phantom_labels(LABELS_SEED, index, image_px)
    return torch.from_numpy(np.stack([maps[channel] for channel in channels]).astype(np.float32))
