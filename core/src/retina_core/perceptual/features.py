"""Feature maps that a stage borrows, and the distance between two photographs in them.

Johnson, Alahi and Fei-Fei 2016, arXiv 1603.08155: two photographs are alike where a network trained for something else
sees the same in both. Departure: the distance is of absolute differences, as in pix2pixHD (Wang et al. 2018, arXiv
1711.11585, supplement) and SPADE (Park et al. 2019, arXiv 1903.07291, appendix A).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from retina_core.roles import Segmenter

FAINTEST = 1e-3
"""A map that is weaker than this in the mean is not scaled up any further: it holds nothing but rounding."""


class PerceptualFeatures(ABC):
    """Photographs to feature maps, by a frozen network; gradients pass through it to the photographs."""

    facts: Mapping[str, str]
    """What the provenance of a stage that learnt by it says: ``source``, its name, ``sha256`` of its weights."""

    @abstractmethod
    def __call__(self, photos: Tensor) -> list[Tensor]:
        """(b c h w) in [0, 1] -> feature maps (b f h' w'), fine ones first."""

    @abstractmethod
    def factors(self, wanted: Sequence[Tensor]) -> Sequence[Tensor | float]:
        """What the distance in each map counts, given the true photographs' maps."""

    @abstractmethod
    def move_to(self, device: torch.device | str) -> None:
        """Put the network on a device."""


class SegmenterFeatures(PerceptualFeatures):
    """What a segmenter of this very data sees: vessels and lesions, but no more of colours than it uses itself."""

    def __init__(self, segmenter: Segmenter, sha256: str) -> None:
        segmenter.eval_mode()
        self._segmenter = segmenter
        self.facts = {"source": "segmenter", "stage": segmenter.name, "sha256": sha256}

    def __call__(self, photos: Tensor) -> list[Tensor]:
        return self._segmenter.features(photos)

    def factors(self, wanted: Sequence[Tensor]) -> Sequence[Tensor]:
        """1 / (n s_i) for each of n maps, s_i the mean of |F_i| over the true photographs.

        Maps of any segmenter then weigh alike, and the distance, a relative error, is about as large as VGG-19's:
        one weight does for both.
        """
        return [1 / (len(wanted) * level.abs().mean().clamp_min(FAINTEST)) for level in wanted]

    def move_to(self, device: torch.device | str) -> None:
        self._segmenter.move_to(device)


def perceptual_distance(features: PerceptualFeatures, painted: Tensor, photos: Tensor) -> Tensor:
    """Sum over maps i of k_i mean |F_i(x) - F_i(y)|: a float32 scalar, 0 for equal photographs.

    painted x and photos y (b c h w) in [0, 1]; the k_i are the features' own (``factors``). Gradients reach ``painted``
    alone.
    """
    with torch.no_grad():
        wanted = [level.float() for level in features(photos.float())]  # b f h' w'
        factors = features.factors(wanted)
    found = zip(features(painted.float()), wanted, factors, strict=True)
    # In float32: of a sum of a million bf16 numbers hardly a digit is right.
    return cast(Tensor, sum((f.float() - w).abs().mean() * factor for f, w, factor in found))
