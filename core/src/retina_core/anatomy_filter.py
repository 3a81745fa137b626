"""The filter ``anatomy``: what every eye has and a generated map may lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.measure import label

from retina_core.channels import TREES

SINGLE: Final = ("optic_disc", "fovea")
"""Structures of which an eye has one."""
REACH_SHARE: Final = 1 / 32
"""How far from the disc a vessel may begin, as a part of the side: annotators stop at its rim, or a little before."""


def accept(labels: Mapping[str, NDArray[np.bool_]], _photo: NDArray[np.uint8]) -> str | None:
    """Why a pair is drawn again; None where each channel of it is as in an eye. The photograph (h w c) is not looked at.

    Only channels that are there are asked about: one disc, one fovea, and vessels that reach the disc. A map whose
    vessels are missing altogether passes; whether that may be is for its generator's training set to say.
    """
    for channel in SINGLE:
        pieces = label(labels[channel], connectivity=2).max() if channel in labels else 1  # type: ignore[no-untyped-call]
        if pieces != 1:
            return f"no {channel}" if not pieces else f"{pieces} pieces of {channel}"
    disc = labels.get("optic_disc")
    trees = [labels[channel] for channel in sorted(TREES & set(labels)) if labels[channel].any()]
    if disc is not None and trees:
        near = binary_dilation(disc, np.ones((3, 3)), iterations=max(round(REACH_SHARE * len(disc)), 1))
        if not any((tree & near).any() for tree in trees):
            return "no vessel reaches the optic_disc"
    return None
