"""The direction in which vessels run at each place of the retina.

Main vessels leave the disc and bend around the macula, so evenly that the disc can be found from their
directions alone (Foracchia, Grisan and Ruggeri, IEEE Trans. Med. Imaging 23:1189, 2004). The field here has
that shape and a closed form: the plane potential flow of a source in the disc and a uniform stream towards
the temple, around a circle centred on the fovea (the circle theorem; Milne-Thomson, Theoretical
Hydrodynamics, 1968).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def flow_heading(
    x: Floats, y: Floats, stream: Floats, fovea: tuple[float, float], avoided_mm: float
) -> Floats:
    """The field's heading (n), radians, at points (n) in mm.

    ``stream`` (n) is the uniform stream's speed, 1/mm, where the source's is 1/distance: the larger, the
    sooner a vessel bends towards the temple. No heading leads into the circle of ``avoided_mm`` around the
    fovea.
    """
    centre = complex(*fovea)
    z = x + 1j * y - centre
    # Points within the circle take the heading at its rim, where the field runs along it.
    distance = np.abs(z) + 1e-9
    z = z * np.maximum(1.0, 1.02 * avoided_mm / distance)
    squared = avoided_mm**2
    disc = -centre
    image = squared / disc.conjugate()
    axis = centre / abs(centre)
    uniform = stream * (axis.conjugate() - axis * squared / z**2)
    source = 1 / (z - disc + 1e-9) + 1 / (z - image) - 1 / z
    return np.asarray(-np.angle(uniform + source))


def fibre_heading(x: Floats, y: Floats, fovea: tuple[float, float]) -> Floats:
    """The heading (n), radians, of the nerve fibres at points (n) in mm, away from the disc.

    They too run like lines between a source in the disc and something that the macula repels (Airaksinen, Doro and
    Veijola, PNAS 105:19690, 2008), and closer around the fovea than vessels.
    """
    return flow_heading(x, y, np.full_like(x, 0.3), fovea, 0.6)
