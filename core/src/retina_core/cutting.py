"""How the soft maps of each kind of structure are cut: trees, discs, blots and specks are unsure in ways of their own.

Measured on real maps of IDRiD that went to 128 px and back to 256 (24 eyes): a lower level of half the upper one, which
thin vessels need, flows neighbouring hard exudates together, 12 pieces where it leaves 32 without, of 100 at 256 px.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from retina_core.channels import ANATOMY, SPECKLED, TREES
from retina_core.maps import Cut, match_marks, relief


class Manner(NamedTuple):
    """How one kind of channel is cut; lengths are parts of the map's side."""

    weak: float = 1.0
    """What is above this part of the threshold is marked where it is connected to what is above it all."""
    relief_share: float = 0.0
    """How far "nearby" is (the deviation of a Gaussian) where the mean nearby is taken off first; 0: it is not."""
    join_share: float = 0.0
    """The longest way over which a loose piece is joined to the rest; 0: none is."""
    surest: float = 1.0
    """The highest threshold; above it the border of what a generator is sure of is cut away, not what it doubts."""
    single: bool = False
    """An eye has one: of several pieces the surest is kept."""


TREE: Final = Manner(weak=0.5, relief_share=1 / 24, join_share=1 / 16)
"""Lines: in relief over nearly twice the widest vessel, else combs of haze; two levels and joined, else dashes."""
ORGAN: Final = Manner(weak=0.5, surest=0.8, single=True)
"""A disc or a fovea, of which a generator that is sure draws every pixel at nearly 1. Of 200 maps of one generator 178 had
exactly one disc; with the surest piece alone, 195."""
SPECKS: Final = Manner(relief_share=1 / 48)
"""Hundreds of points, which a generator draws as grain in a haze: cut as it is, the haze is one large lesion."""
BLOTS: Final = Manner()
"""Any other lesion."""


def manner_of(channel: str) -> Manner:
    """How maps of this channel are cut, by its name."""
    if channel in TREES:
        return TREE
    if channel in ANATOMY:
        return ORGAN
    return SPECKS if channel in SPECKLED else BLOTS


def cut_of(channel: str, threshold: float, speck_share: float, size_px: int) -> Cut:
    """How a drawn map of this channel becomes labels of ``size_px``; pieces below ``speck_share`` of the frame go."""
    manner = manner_of(channel)
    return Cut(
        threshold,
        weak=manner.weak,
        relief_px=manner.relief_share * size_px,
        join_px=manner.join_share * size_px,
        speck_px=round(speck_share * size_px**2),
        single=manner.single,
    )


def matched_threshold(channel: str, maps: Tensor, inside: NDArray[np.bool_], share: float) -> float:
    """The threshold at which maps (n h w) of this channel, cut in its manner, mark ``share`` of their fov (n h w)."""
    manner, soft = manner_of(channel), maps.float().numpy()
    if manner.relief_share:
        soft = np.stack([relief(one, manner.relief_share * maps.shape[-1]) for one in soft])
    return min(match_marks(soft, inside, share, manner.weak), manner.surest)
