"""What leaks and what swells: hard exudates and cotton-wool spots (soft exudates)."""

import numpy as np
from numpy.random import Generator

from retina_core.phantom.flow import fibre_heading
from retina_core.phantom.lesions import Floats, Spots
from retina_core.phantom.sites import Sites

AROUND_FOVEA = 0.3
"""Clusters that are a ring around the fovea, if it is in view; four in ten of the others surround a leak elsewhere."""


def hard_exudates(sites: Sites, count: int) -> Spots:
    """Yellow grains in clusters and circinate rings, deposited where retina that leaks meets retina that does not.

    Most lie around the macula, by which they are graded (macular oedema of the ETDRS is theirs within a disc's diameter
    of the fovea).
    """
    rng = sites.rng
    clusters = 1 + count // 50 + int(rng.integers(0, 3))
    shares = rng.dirichlet(np.full(clusters, 1.5))
    spots = [_cluster(sites, max(1, round(float(share) * count))) for share in shares]
    return Spots.joined(spots)


def _cluster(sites: Sites, count: int) -> Spots:
    """So many grains, or those of them that lie in view: a ring around the fovea or a leak, or a patch."""
    rng = sites.rng
    ring_at_fovea, ring = rng.random() < AROUND_FOVEA, rng.random() < 0.4
    strength = float(rng.uniform(0.55, 1.05))
    # IDRiD: median 66 um, upper decile 150 to 160.
    reach = np.clip(rng.lognormal(np.log(0.033), 0.62, count), 0.015, 0.25)
    if ring_at_fovea:
        offsets, nearer = _ring(rng, count, float(rng.uniform(0.6, 1.3)))
        centre = np.array(sites.anatomy.fovea)
    else:
        offsets, nearer = _ring(rng, count, float(rng.uniform(0.3, 0.8))) if ring else _patch(rng, count)
        centre = _leak(sites)
    reach = reach * (0.75 + 0.6 * nearer)
    angle, slenderness = rng.uniform(0, np.pi, count), rng.uniform(1, 1.9, count)
    strengths = (0.85 * strength, min(1.1, 1.15 * strength))
    spots = Spots.drawn(rng, centre + offsets, reach, slenderness, angle, wobble=0.22, strength=strengths)
    seen = sites.holds(spots.centre, reach)
    if not seen.any():
        # The middle of every cluster but a ring's is in view, and one grain there is a cluster too.
        spots, seen = spots.of(np.array([0])), np.array([True])
        spots.centre[0] = _leak(sites)
    return spots.of(seen)


def _leak(sites: Sites) -> Floats:
    """A place in view where vessels leak, by preference around the fovea (2)."""
    while True:
        places = sites.posterior(16, share=0.85, spread_mm=1.7)
        seen = places[sites.holds(places, np.full(16, 0.25))]
        if len(seen):
            return np.asarray(seen[0])


def _ring(rng: Generator, count: int, radius_mm: float) -> tuple[Floats, Floats]:
    """Places (n 2) along an arc, in clumps, and how deep in its clump each (n) lies, 0 to 1."""
    clumps = int(rng.integers(5, 12))
    begin, arc = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.45, 1.0)) * 2 * np.pi
    middles = begin + arc * (np.arange(clumps) + rng.uniform(-0.3, 0.3, clumps)) / clumps
    clump = rng.integers(clumps, size=count)
    off_angle, off_radius = rng.normal(0, 1, (2, count))
    angle = middles[clump] + off_angle * 0.1 / radius_mm
    away = radius_mm * (1 + rng.normal(0, 0.06, clumps)[clump]) + 0.07 * off_radius
    depth = np.exp(-0.5 * (off_angle**2 + off_radius**2))
    # Seldom as round as a circle.
    flat = float(rng.uniform(0.75, 1.0))
    return np.stack([away * np.cos(angle), flat * away * np.sin(angle)], axis=1), depth


def _patch(rng: Generator, count: int) -> tuple[Floats, Floats]:
    """Places (n 2) around a middle, denser within, and how deep each (n) lies, 0 to 1."""
    spread = float(rng.uniform(0.12, 0.4)) * min(1.0, 0.4 + count / 60)
    scattered = rng.normal(0, 1, (count, 2))
    return scattered * (spread, spread * rng.uniform(0.5, 1)), np.exp(-0.5 * (scattered**2).sum(axis=1))


def soft_exudates(sites: Sites, count: int) -> Spots:
    """Swellings of the nerve fibre layer, in a chain like a C nasal to the disc and around the macula.

    So they lie in pre-proliferative retinopathy (McLeod, Br. J. Ophthalmol. 89:229, 2005). IDRiD: median 400 um, from
    the lowest to the highest decile 210 to 720.
    """
    rng, fovea = sites.rng, sites.anatomy.fovea
    reach = np.clip(rng.lognormal(np.log(0.23), 0.32, count), 0.12, 0.45)

    def along_the_chain(number: int) -> Floats:
        places = sites.anywhere(number)
        around_macula = np.abs(np.hypot(*(places - fovea).T) - 3.0) < 0.9
        nasal = (places[:, 0] < 0) & (np.abs(np.hypot(*places.T) - 2.2) < 0.9)
        return np.asarray(places[nasal | (around_macula & (places[:, 0] > 0))])

    centre, settled = sites.settle(along_the_chain, reach, gap_mm=0.2)
    angle = fibre_heading(centre[:, 0], centre[:, 1], fovea) + rng.normal(0, 0.5, count)
    slenderness = rng.uniform(1.05, 1.8, count)
    spots = Spots.drawn(rng, centre, reach, slenderness, angle, wobble=0.16, fray=0.16, strength=(0.75, 1.2))
    return spots.of(settled)
