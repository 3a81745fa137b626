"""Blood out of place: microaneurysms and haemorrhages.

A microaneurysm is a red spot of less than 125 um, about the width of a vein at the disc's rim, with sharp edges; a
haemorrhage is larger or of another shape (ETDRS report 10, Ophthalmology 98:786, 1991). Sizes within these words are
those of IDRiD (see ``lesions``), whose discs were taken for 1.8 mm.
"""

import numpy as np
from scipy.spatial import cKDTree

from retina_core.phantom.flow import fibre_heading
from retina_core.phantom.lesions import QUADRANT_LEAST, QUADRANT_MOST, Floats, Spots
from retina_core.phantom.sites import Law, Sites
from retina_core.phantom.vessels import VesselTree

SHARES = {"flame": 0.18, "blot": 0.14, "dot": 0.68}
"""Of the shapes of haemorrhages, where there is room. Chosen so that their size has IDRiD's median and upper decile."""

FLAME_MM = (1.0, 4.2)
"""How far from the disc's middle flames lie: where the nerve fibres, among which they spread, are thick."""

APART_MM = 0.1
"""Between two haemorrhages, so that each can be counted."""


def microaneurysms(sites: Sites, tree: VesselTree, count: int) -> Spots:
    """Round dots between the vessels, most of them around the macula."""
    rng = sites.rng
    # IDRiD: from the lowest to the highest decile 44 to 100 um, median 66.
    reach = np.clip(rng.lognormal(np.log(0.033), 0.3, count), 0.02, 0.06)
    # Nobody sees a dot on a vessel.
    wide = [vessel for vessel in tree.vessels if vessel.radii[0] > 0.015]
    vessels = cKDTree(np.concatenate([vessel.points for vessel in wide]))

    def between_vessels(number: int) -> Floats:
        places = sites.posterior(number, share=0.65, spread_mm=2.0)
        return np.asarray(places[vessels.query(places)[0] > 0.15])

    centre, settled = sites.settle(between_vessels, reach, gap_mm=0.1)
    angle, slenderness = rng.uniform(0, np.pi, count), rng.uniform(1, 1.2, count)
    spots = Spots.drawn(rng, centre, reach, slenderness, angle, wobble=0.05, strength=(0.6, 1.1))
    return spots.of(settled)


def haemorrhages(sites: Sites, count: int) -> Spots:
    """Dots, blots and flames, some alone and some in groups."""
    return _haemorrhages(sites, _grouped(sites), count)


def severe_haemorrhages(sites: Sites) -> Spots:
    """More than 20 in each quadrant of the photograph, as in grade 3."""
    law = _grouped(sites)
    counts = sites.rng.integers(QUADRANT_LEAST, QUADRANT_MOST, 4, endpoint=True)
    quadrants = [
        _haemorrhages(sites, _within(sites, law, quadrant), int(count))
        for quadrant, count in enumerate(counts)
    ]
    return Spots.joined(quadrants)


def _grouped(sites: Sites) -> Law:
    """Where haemorrhages like to be."""
    rng = sites.rng
    groups = sites.posterior(7, share=0.35, spread_mm=2.6)

    def near(number: int) -> Floats:
        grouped = groups[rng.integers(len(groups), size=number)] + rng.normal(0, 0.7, (number, 2))
        alone = sites.posterior(number, share=0.35, spread_mm=2.6)
        return np.where(rng.random((number, 1)) < 0.45, grouped, alone)

    return near


def _within(sites: Sites, law: Law, quadrant: int) -> Law:
    def places(number: int) -> Floats:
        everywhere = law(4 * number)
        x, y = everywhere.T
        return np.asarray(everywhere[sites.camera.quadrant(x, y) == quadrant][:number])

    return places


def _haemorrhages(sites: Sites, law: Law, count: int) -> Spots:
    """So many haemorrhages where the law likes them; those that find no room become dots, which always do."""
    flames, blots, _ = sites.rng.multinomial(count, list(SHARES.values()))
    spots = [_flames(sites, law, int(flames)), _blots(sites, law, int(blots))]
    spots.append(_dots(sites, law, count - sum(map(len, spots))))
    return Spots.joined(spots)


def _flames(sites: Sites, law: Law, count: int) -> Spots:
    """Splinters along the nerve fibres with ragged ends."""
    rng, fovea = sites.rng, sites.anatomy.fovea
    reach = np.clip(rng.lognormal(np.log(0.2), 0.4, count), 0.11, 0.5)

    def among_fibres(number: int) -> Floats:
        places = law(number)
        away = np.hypot(*places.T)
        to_fovea = np.hypot(*(places - fovea).T)
        return np.asarray(places[(away > FLAME_MM[0]) & (away < FLAME_MM[1]) & (to_fovea > 1.3)])

    centre, settled = sites.settle(among_fibres, reach, APART_MM)
    angle = fibre_heading(centre[:, 0], centre[:, 1], fovea) + rng.normal(0, 0.1, count)
    slenderness = rng.uniform(2.4, 4.5, count)
    spots = Spots.drawn(rng, centre, reach, slenderness, angle, wobble=0.06, fray=0.4, strength=(0.6, 1.15))
    return spots.of(settled)


def _blots(sites: Sites, law: Law, count: int) -> Spots:
    """Deep pools with uneven outlines. IDRiD's upper decile is 340 to 410 um."""
    reach = np.clip(sites.rng.lognormal(np.log(0.15), 0.35, count), 0.1, 0.45)
    return _pools(sites, law, reach, longest=1.7, roundest=1.05, wobble=0.2, strength=(0.65, 1.35))


def _dots(sites: Sites, law: Law, count: int) -> Spots:
    """Round spots that only their size tells from microaneurysms; IDRiD's median haemorrhage is 150 to 170 um."""
    reach = np.clip(sites.rng.lognormal(np.log(0.076), 0.18, count), 0.063, 0.12)
    return _pools(sites, law, reach, longest=1.25, roundest=1.0, wobble=0.1, strength=(0.45, 1.2))


def _pools(
    sites: Sites,
    law: Law,
    reach: Floats,
    *,
    longest: float,
    roundest: float,
    wobble: float,
    strength: tuple[float, float],
) -> Spots:
    """Spots of half lengths ``reach`` (n), mm, in any direction; their lengths are ``roundest`` to ``longest`` widths."""
    rng, count = sites.rng, len(reach)
    centre, settled = sites.settle(law, reach, APART_MM)
    angle, slenderness = rng.uniform(0, np.pi, count), rng.uniform(roundest, longest, count)
    return Spots.drawn(rng, centre, reach, slenderness, angle, wobble=wobble, strength=strength).of(settled)
