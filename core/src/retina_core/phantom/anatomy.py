"""Where an eye's landmarks lie, in millimetres on the retina.

Eye coordinates are the same for both eyes: the optic disc's centre is the origin, x grows towards the
temple (where the fovea lies), y grows downwards. Only the camera knows left from right.
"""

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Plane = NDArray[np.float32]

FOVEA_RADIUS_MM = 0.75
"""Half of the fovea's 1.5 mm (Hogan, Alvarado and Weddell, Histology of the Human Eye, 1971)."""

FAZ_RADIUS_MM = 0.25
"""Half of the foveal avascular zone's 0.5 mm (Bird and Weale, Exp. Eye Res. 19:409, 1974)."""


@dataclass(frozen=True)
class Outline:
    """A closed, nearly elliptic outline given by its radius in every direction."""

    x: float
    y: float
    width: float
    """Half the horizontal axis, mm."""
    height: float
    """Half the vertical axis, mm."""
    wobble: tuple[tuple[float, float], ...] = ()
    """Amplitude (a share of the radius) and phase of the harmonics 2, 3, ..."""

    def distance(self, x: Plane, y: Plane) -> Plane:
        """Signed distance along the ray from the centre, mm: positive inside, 0 on the outline."""
        dx, dy = x - self.x, y - self.y
        length = np.hypot(dx, dy) + 1e-9
        cosine, sine = dx / length, dy / length
        radius = self.width * self.height / np.hypot(self.height * cosine, self.width * sine)
        angle = np.arctan2(dy, dx)
        for harmonic, (amplitude, phase) in enumerate(self.wobble, start=2):
            radius = radius * (1 + amplitude * np.cos(harmonic * angle + phase))
        return np.asarray(radius - length, dtype=np.float32)


@dataclass(frozen=True)
class Anatomy:
    """The landmarks of one eye, mm from the centre of its disc."""

    disc: Outline
    cup: Outline
    fovea: tuple[float, float]

    @property
    def fovea_distance(self) -> float:
        """From the disc's centre to the fovea's, mm."""
        return hypot(*self.fovea)


def draw_anatomy(rng: Generator) -> Anatomy:
    """An eye's landmarks.

    Disc: 1.77 mm wide and 1.88 mm high on average (Quigley et al., Arch. Ophthalmol. 108:51, 1990). Cup: 0.39
    of the disc's width and 0.34 of its height (Jonas et al., Invest. Ophthalmol. Vis. Sci. 29:1151, 1988),
    here without the cupless eyes. Fovea: 4.76 +- 0.34 mm from the disc's centre (Jonas et al., PLoS ONE
    10:e0138701, 2015), temporal and 5.6 +- 3.3 degrees below it (Rohrschneider, Invest. Ophthalmol. Vis. Sci.
    45:3257, 2004).
    """
    width = float(np.clip(rng.normal(0.885, 0.06), 0.75, 1.02))
    height = width * float(rng.uniform(1.0, 1.13))
    wobble = tuple((float(rng.uniform(0, 0.028)) / k, float(rng.uniform(0, 2 * np.pi))) for k in range(1, 4))
    share = float(np.clip(rng.normal(0.4, 0.09), 0.22, 0.62))
    cup = Outline(
        x=width * float(rng.uniform(0.02, 0.16)),
        y=height * float(rng.uniform(-0.06, 0.06)),
        width=width * share,
        height=height * share * float(rng.uniform(0.8, 1.0)),
        wobble=((float(rng.uniform(0, 0.05)), float(rng.uniform(0, 2 * np.pi))),),
    )
    distance = float(np.clip(rng.normal(4.76, 0.34), 4.2, 5.4))
    dip = float(np.deg2rad(np.clip(rng.normal(5.6, 3.3), 0.5, 12)))
    return Anatomy(
        disc=Outline(0.0, 0.0, width, height, wobble),
        cup=cup,
        fovea=(distance * float(np.cos(dip)), distance * float(np.sin(dip))),
    )
