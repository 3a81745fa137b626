"""The growing ends of a vessel tree, side by side in arrays so that all of them take a step at once."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from retina_core.phantom.vessels import Branching, Vessel, VesselTree

STEP_MM = 0.1
"""How far a tip grows in a step: as vessels bend, the chord strays less than 4 um from the arc."""

STEPS = 190
CAPACITY = 1024

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class Course(IntEnum):
    """What a vessel steers by once it has left the disc."""

    FLOW = 0
    """The field around the macula (see ``flow``), plus an offset that fades."""
    MACULAR = 1
    """The fovea, short of which it ends."""


class Tips:
    """Every vessel's growing end and the centre line it has left behind; row i is vessel i of the tree."""

    def __init__(self) -> None:
        self.count = 0
        self.paths: Floats = np.empty((CAPACITY, STEPS + 2, 2))
        self.calibres: Floats = np.empty((CAPACITY, STEPS + 2))
        self.x, self.y, self.heading, self.curvature = np.zeros((4, CAPACITY))
        self.radius, self.length, self.life, self.next_branching = np.zeros((4, CAPACITY))
        self.stream, self.offset, self.launch, self.stop = np.zeros((4, CAPACITY))
        self.kind, self.parent, self.course, self.points = np.zeros((4, CAPACITY), dtype=np.intp)
        self.alive: NDArray[np.bool_] = np.zeros(CAPACITY, dtype=bool)
        self.branchings: list[Branching] = []

    @property
    def full(self) -> bool:
        """Whether no vessel can be added."""
        return self.count == CAPACITY

    def add(self, x: float, y: float, heading: float, radius: float, kind: int, parent: int = -1) -> int:
        """Start a vessel and give its row; its course, life and branchings are the caller's to set."""
        tip = self.count
        self.count += 1
        self.x[tip], self.y[tip], self.heading[tip], self.radius[tip] = x, y, heading, radius
        self.kind[tip], self.parent[tip], self.alive[tip] = kind, parent, True
        self.points[tip] = 1
        self.paths[tip, 0], self.calibres[tip, 0] = (x, y), radius
        return tip

    def growing(self) -> Indices:
        """The rows of the tips that still grow."""
        return np.flatnonzero(self.alive[: self.count])

    def advance(self, tips: Indices) -> None:
        """Move tips one step along their headings and write their centre lines on."""
        self.x[tips] += STEP_MM * np.cos(self.heading[tips])
        self.y[tips] += STEP_MM * np.sin(self.heading[tips])
        self.length[tips] += STEP_MM
        place = self.points[tips]
        self.paths[tips, place, 0], self.paths[tips, place, 1] = self.x[tips], self.y[tips]
        self.calibres[tips, place] = self.radius[tips]
        self.points[tips] += 1

    def tree(self) -> VesselTree:
        """What has grown."""
        vessels = tuple(
            Vessel(
                kind="vein" if self.kind[tip] else "artery",
                points=self.paths[tip, : self.points[tip]].copy(),
                radii=self.calibres[tip, : self.points[tip]].copy(),
                parent=int(self.parent[tip]),
            )
            for tip in range(self.count)
        )
        return VesselTree(vessels, tuple(self.branchings))
