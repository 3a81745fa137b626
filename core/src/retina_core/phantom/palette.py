"""An eye's colours and a camera's light, drawn once per eye."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

Colour = tuple[float, float, float]

FUNDI: Final = np.array(
    [
        *[
            (97, 52, 13),
            (124, 53, 9),
            (137, 66, 18),
            (161, 69, 18),
            (169, 55, 9),
            (181, 60, 9),
            (232, 79, 10),
        ],
        *[(245, 89, 11), (192, 57, 27), (195, 68, 41), (154, 68, 13), (169, 82, 18)],
    ]
)
"""Mean colours inside the field of view, as displayed, measured: eight photographs of CHASE_DB1 from dark to
bright, two of HRF, two of IDRiD."""

FUNDUS_SHARES: Final = np.array([0.06, 0.08, 0.1, 0.12, 0.15, 0.15, 0.12, 0.07, 0.05, 0.02, 0.04, 0.04])
"""How often each is the one that an eye's colour starts from."""


@dataclass(frozen=True)
class Palette:
    """How one eye looks and how it was lit. Strengths are exponents of light unless they say otherwise."""

    fundus: Colour
    """The mean colour, in (0, 1)."""
    rim: Colour
    """The mean colour of the disc's rim."""
    cup: Colour
    """The mean colour of the cup."""
    vignette: float
    tilt: tuple[float, float]
    """How the light falls off across the picture, per radius of the field of view."""
    cloud: float
    """Of large uneven patches."""
    tessellation: float
    """Of the choroid's vessels, which show through lightly pigmented eyes."""
    mottle: float
    sheen: float
    """Of the nerve fibres' reflexes, which children's eyes show."""
    macula: float
    halo: float
    """Of the light or dark ring around the disc; negative is dark."""
    vein: float
    artery: float
    reflex: float
    flare: float
    """Of a bluish crescent at the rim, from light that fell beside the pupil; mostly 0."""


def draw_palette(rng: Generator) -> Palette:
    """An eye's colours: a measured fundus, blended with a second one and shifted a little."""
    first, second = rng.choice(len(FUNDI), size=2, p=FUNDUS_SHARES)
    blend = rng.uniform(0, 0.5)
    mean = (FUNDI[first] * (1 - blend) + FUNDI[second] * blend) / 255
    mean = np.clip(mean * np.exp(rng.normal(0, 0.06) + rng.normal(0, [0.02, 0.06, 0.12])), 0.02, 0.96)
    red, green, blue = (float(value) for value in mean)

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    rim = (
        0.35 * red + 0.62,
        green + (between(0.42, 0.56) - green) * 0.85,
        min(0.6, blue * between(2.0, 3.2)),
    )
    pale = between(0.74, 0.9)
    cup = (0.985, pale, min(0.72 * pale, blue * between(4.0, 7.0)))
    return Palette(
        fundus=(red, green, blue),
        rim=rim,
        cup=cup,
        vignette=between(0.25, 0.85),
        tilt=(float(rng.normal(0, 0.26)), float(rng.normal(0, 0.18))),
        cloud=between(0.05, 0.14),
        tessellation=between(0.08, 0.22) if rng.random() < 0.4 else between(0.0, 0.06),
        mottle=between(0.025, 0.05),
        sheen=between(0.1, 0.5) if rng.random() < 0.75 else 0.0,
        macula=between(0.22, 0.55),
        halo=between(-0.2, 0.2),
        vein=between(0.65, 0.95),
        artery=between(0.45, 0.65),
        reflex=between(0.45, 1.1),
        flare=between(0.1, 0.35) if rng.random() < 0.1 else 0.0,
    )
