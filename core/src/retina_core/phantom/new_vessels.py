"""New vessels of proliferative retinopathy: thin, winding, looping tangles on the disc or off a vein.

On the disc or within a disc's diameter of it they are NVD, elsewhere NVE (ETDRS report 10, Ophthalmology 98:786, 1991).
"""

import numpy as np
from numpy.random import Generator

from retina_core.phantom.anatomy import Anatomy
from retina_core.phantom.camera import Camera
from retina_core.phantom.lesions import Floats
from retina_core.phantom.sites import MARGIN_MM
from retina_core.phantom.vessels import Vessel, VesselTree

STEP_MM = 0.025

ON_DISC_SHARE = 73 / 174
"""Eyes with new vessels on the disc (Jansson et al., Invest. Ophthalmol. Vis. Sci. 53:8246, 2012: 73 in 174 eyes)."""

ELSEWHERE = 391 / 174
"""Tangles elsewhere, on average (the same)."""

QUADRANT_SHARES = {(1, -1): 0.355, (1, 1): 0.235, (-1, -1): 0.129, (-1, 1): 0.281}
"""Where they sprout, as (temporal, lower) signs about the disc: superotemporally most often (Feman et al., Invest.
Ophthalmol. Vis. Sci. 37(3), 1996, and Am. J. Ophthalmol. 125:704, 1998)."""

DISC_DIAMETER_MM = 1.8


def grow_new_vessels(
    rng: Generator, anatomy: Anatomy, camera: Camera, tree: VesselTree
) -> tuple[VesselTree, ...]:
    """The tangles of an eye, at least one."""
    on_disc = rng.random() < ON_DISC_SHARE
    elsewhere = min(int(rng.poisson(ELSEWHERE)), 5)
    tangles = [_tangle_on_disc(rng, anatomy)] if on_disc else []
    sprouts = _sprouts(anatomy, camera, tree)
    for _ in range(elsewhere if on_disc else max(1, elsewhere)):
        x, y = _choose(rng, sprouts)
        # Of high risk they cover half a disc's area (ETDRS), so that most of these are below it.
        reach = DISC_DIAMETER_MM / 2 * float(rng.uniform(0.3, 0.8))
        tangles.append(_tangle(rng, (x, y), float(rng.uniform(-np.pi, np.pi)), reach, 1.3))
    return tuple(tangles)


def _tangle_on_disc(rng: Generator, anatomy: Anatomy) -> VesselTree:
    """New vessels that begin at the disc's rim, by preference above and temporally (Jansson et al., 2012)."""
    angle = float(rng.normal(-np.pi / 4, 1.2))
    away = float(rng.uniform(0.45, 0.9))
    start = (away * anatomy.disc.width * np.cos(angle), away * anatomy.disc.height * np.sin(angle))
    # Of high risk they cover a quarter to a third of the disc (ETDRS), as many of these do.
    reach = DISC_DIAMETER_MM / 2 * float(rng.uniform(0.45, 0.9))
    return _tangle(rng, (float(start[0]), float(start[1])), angle, reach, 2.2)


def _sprouts(anatomy: Anatomy, camera: Camera, tree: VesselTree) -> Floats:
    """The places (n 2) on veins off which new vessels can grow: in view, elsewhere than at disc or fovea."""
    points = np.concatenate([v.points for v in tree.vessels if v.kind == "vein"])
    radii = np.concatenate([v.radii for v in tree.vessels if v.kind == "vein"])
    x, y = points.T
    room, _ = camera.way_out(x, y)
    to_fovea = np.hypot(x - anatomy.fovea[0], y - anatomy.fovea[1])
    # Cameras that see less than a disc's diameter around the disc get them nearer by.
    for nearest in (0.5 * DISC_DIAMETER_MM + DISC_DIAMETER_MM, DISC_DIAMETER_MM, 0.0):
        away = np.hypot(x, y) > nearest
        fit = away & (room > 2 * MARGIN_MM) & (to_fovea > 1.0) & (radii > 0.02)
        if fit.any():
            break
    return np.asarray(points[fit])


def _choose(rng: Generator, sprouts: Floats) -> tuple[float, float]:
    """One of the sprouts (n 2), in a quadrant of the retina as often as new vessels are."""
    signs = list(QUADRANT_SHARES)
    quadrant = signs[int(rng.choice(len(signs), p=list(QUADRANT_SHARES.values())))]
    there = sprouts[(np.sign(sprouts[:, 0]) == quadrant[0]) & (np.sign(sprouts[:, 1]) == quadrant[1])]
    chosen = there if len(there) else sprouts
    x, y = chosen[int(rng.integers(len(chosen)))]
    return float(x), float(y)


def _tangle(
    rng: Generator, start: tuple[float, float], heading: float, reach_mm: float, fan: float
) -> VesselTree:
    """A fan of stems from one point, their twigs, and the loops in which some end."""
    vessels: list[Vessel] = []
    for _ in range(int(rng.integers(4, 8))):
        length = reach_mm * float(rng.uniform(0.7, 1.6))
        stem = _wander(rng, start, heading + float(rng.uniform(-fan, fan)) / 2, length)
        vessels.append(_vessel(stem, float(rng.uniform(0.018, 0.028)), -1))
        parent = len(vessels) - 1
        for _ in range(int(rng.integers(2, 5))):
            place = int(rng.integers(len(stem) // 4, len(stem)))
            ahead = stem[place] - stem[place - 1]
            turn = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.5))
            course = float(np.arctan2(ahead[1], ahead[0])) + turn
            curl = -3.0 * turn * float(rng.uniform(0, 1.5))
            twig = _wander(rng, stem[place], course, length * float(rng.uniform(0.3, 0.8)), curl)
            vessels.append(_vessel(twig, float(rng.uniform(0.011, 0.02)), parent))
    return VesselTree(tuple(vessels), ())


def _wander(
    rng: Generator, start: tuple[float, float] | Floats, heading: float, length_mm: float, curl: float = 0.0
) -> Floats:
    """A winding line (n 2) of so many mm, which turns by ``curl`` radians a mm besides."""
    steps = max(6, round(length_mm / STEP_MM))
    # Bends of about a tenth of a millimetre, several times as tight as any of a healthy vessel.
    bends = np.convolve(rng.normal(0, 1, steps + 4), np.ones(5) / np.sqrt(5), mode="valid")
    course = heading + np.cumsum((11.0 * bends + curl) * STEP_MM)
    moves = STEP_MM * np.stack([np.cos(course), np.sin(course)], axis=1)
    return np.asarray(np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)]) + np.asarray(start))


def _vessel(points: Floats, radius: float, parent: int) -> Vessel:
    return Vessel("vein", points, np.linspace(radius, 0.7 * radius, len(points)), parent)
