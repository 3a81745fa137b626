"""Where lesions may lie: in view, off the disc, and apart from what is there already."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from retina_core.phantom.anatomy import Anatomy
from retina_core.phantom.camera import Camera
from retina_core.phantom.lesions import Floats

Law = Callable[[int], Floats]
"""Gives so many places (n 2) in eye coordinates, mm, wherever a lesion would like to be."""

MARGIN_MM = 0.15
"""Between a lesion and the rim of the field or of the disc: a pixel and a half of a picture of 128."""

_BATCH = 128

_ROUNDS = 40
"""Batches of places that are tried."""


class Sites:
    """The retina that one camera sees of one eye, and how much of it lesions have taken."""

    def __init__(self, rng: Generator, anatomy: Anatomy, camera: Camera) -> None:
        self.rng, self.anatomy, self.camera = rng, anatomy, camera
        self.taken: Floats = np.zeros((0, 2))
        self.reach: Floats = np.zeros(0)

    def anywhere(self, count: int) -> Floats:
        """Places spread evenly over the field of view (n 2)."""
        away = self.camera.radius_mm * np.sqrt(self.rng.random(count))
        angle = self.rng.uniform(0, 2 * np.pi, count)
        return np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1) + self.camera.centre

    def posterior(self, count: int, share: float, spread_mm: float) -> Floats:
        """Places (n 2) of which a ``share`` gathers around the fovea, so far from it along each axis."""
        gathered = self.rng.normal(0, spread_mm, (count, 2)) + self.anatomy.fovea
        return np.where(self.rng.random((count, 1)) < share, gathered, self.anywhere(count))

    def holds(self, places: Floats, reach: Floats) -> NDArray[np.bool_]:
        """Whether lesions of these half lengths (m), mm, would lie in view and off the disc.

        Places (m 2) are taken one by one, places (n 1 2) each with every lesion: (n m).
        """
        x, y = places[..., 0], places[..., 1]
        room, _ = self.camera.way_out(x, y)
        off_disc = -self.anatomy.disc.distance(x.astype(np.float32), y.astype(np.float32))
        return np.asarray((room > reach + MARGIN_MM) & (off_disc > reach + MARGIN_MM))

    def settle(self, law: Law, reach: Floats, gap_mm: float) -> tuple[Floats, NDArray[np.bool_]]:
        """Places (n 2) for lesions of these half lengths (n) at least ``gap_mm`` apart, and whether each (n) has one.

        The gap gives way where the field is crowded. Only a lesion that fits nowhere stays without a place.
        """
        found, settled = np.zeros((len(reach), 2)), np.zeros(len(reach), dtype=bool)
        for _ in range(_ROUNDS):
            waiting = np.flatnonzero(~settled).tolist()
            if not waiting:
                break
            places = law(_BATCH)
            fits = self.holds(places[:, None], reach[waiting])
            for place, fit in zip(places, fits, strict=True):
                chosen = next((i for i, one in enumerate(waiting) if fit[i] and not settled[one]), None)
                if chosen is None:
                    continue
                lesion = waiting[chosen]
                if self._is_free(place, float(reach[lesion]) + gap_mm):
                    self._take(place, float(reach[lesion]))
                    found[lesion], settled[lesion] = place, True
            gap_mm *= 0.9
        return found, settled

    def _is_free(self, place: Floats, reach: float) -> bool:
        away = np.hypot(self.taken[:, 0] - place[0], self.taken[:, 1] - place[1])
        return bool((away > self.reach + reach).all())

    def _take(self, place: Floats, reach: float) -> None:
        self.taken, self.reach = np.vstack([self.taken, place]), np.append(self.reach, reach)
