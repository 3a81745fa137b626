"""The vessel tree as a structure: centre lines with radii, joined at branchings."""

from dataclasses import dataclass
from math import acos
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["artery", "vein"]


@dataclass(frozen=True)
class Vessel:
    """One vessel from where it leaves its parent to its end."""

    kind: Kind
    points: NDArray[np.float64]
    """The centre line (n 2) in eye coordinates, mm."""
    radii: NDArray[np.float64]
    """The lumen's radius (n) at each of them, mm."""
    parent: int
    """Its parent's place in the tree, -1 for a root."""


@dataclass(frozen=True)
class Branching:
    """Where a vessel of radius ``before`` goes on as ``after`` and gives off a ``side`` branch, mm."""

    parent: int
    child: int
    before: float
    after: float
    side: float


@dataclass(frozen=True)
class VesselTree:
    """All vessels of an eye, each after its parent, and all of their branchings."""

    vessels: tuple[Vessel, ...]
    branchings: tuple[Branching, ...]


def remaining_radius(before: float, side: float) -> float:
    """The radius that is left after a side branch: r0^3 = r1^3 + r2^3 (Murray, PNAS 12:207, 1926)."""
    return float((before**3 - side**3) ** (1 / 3))


def branching_angles(before: float, after: float, side: float) -> tuple[float, float]:
    """How far the going-on vessel and the side branch turn away, radians.

    The angles of least work, cos a1 = (r0^4 + r1^4 - r2^4) / (2 r0^2 r1^2) and its mirror image (Murray,
    J. Gen. Physiol. 9:835, 1926).
    """

    def turn(own: float, other: float) -> float:
        cosine = (before**4 + own**4 - other**4) / (2 * before**2 * own**2)
        return acos(min(1.0, max(-1.0, cosine)))

    return turn(after, side), turn(side, after)
