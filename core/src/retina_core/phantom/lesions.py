"""What diabetic retinopathy adds to an eye: which lesions, how many at which grade, and what each is in space.

Grades are those of the International Clinical Diabetic Retinopathy scale, ICDR (Wilkinson et al., Ophthalmology
110:1677, 2003): 0 none; 1 microaneurysms only; 2 more than that and less than 3; 3 here by the first clause of its
4-2-1 rule, more than 20 haemorrhages in each of four quadrants (the other two, beaded veins and abnormal capillaries,
have no map); 4 new vessels.

"IDRiD" below is what was counted in the 60 eyes of its segmentation part (Porwal et al., Data 3:25, 2018) whose
photograph, or one very like it, is graded too: 37 of grade 2, 14 of grade 3, 9 of grade 4. Its eyes were chosen for
their lesions, and photographed through 50 degrees, where a phantom's camera sees 29 to 45.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from retina_core.phantom.vessels import VesselTree

Floats = NDArray[np.float64]

MICROANEURYSM: Final = "microaneurysm"
HAEMORRHAGE: Final = "haemorrhage"
HARD_EXUDATE: Final = "hard_exudate"
SOFT_EXUDATE: Final = "soft_exudate"
NEW_VESSELS: Final = "neovascularisation"

LESIONS: Final = (MICROANEURYSM, HAEMORRHAGE, HARD_EXUDATE, SOFT_EXUDATE, NEW_VESSELS)
"""The label maps of a graded phantom besides a healthy one's, in order."""

QUADRANT_LEAST: Final = 24
"""Haemorrhages in each quadrant of an eye of grade 3: "more than 20" (ICDR), even where a small map lets two touch."""

QUADRANT_MOST: Final = 30

SOFT_EXUDATE_SHARES: Final[Mapping[int, float]] = {2: 0.41, 3: 0.64, 4: 0.64}
"""Eyes that have any. IDRiD; its 9 eyes of grade 4 are too few to tell their 0.44 from grade 3."""

_QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)

_COUNTS: Final[Mapping[str, Mapping[int, tuple[float, ...]]]] = {
    # Grade 1 has no maps in IDRiD: a few, for even one or two count (Kohner et al., UKPDS 42, Diabetologia 42:1107,
    # 1999).
    MICROANEURYSM: {
        1: (1, 2, 4, 7, 12),
        2: (8, 11, 27, 41, 66),
        3: (27, 41, 61, 74, 80),
        4: (37, 43, 79, 87, 108),
    },
    # Grade 4 goes on from the 108 that grade 3 has here: from six tenths of them to six tenths more. In IDRiD, of whose
    # photographs hardly any shows what the rule asks of grade 3, the median rises from 32 to 48.
    HAEMORRHAGE: {2: (3, 4, 9, 19, 31), 4: (66, 96, 122, 146, 176)},
    HARD_EXUDATE: {2: (19, 36, 61, 138, 219), 3: (46, 51, 90, 302, 336), 4: (54, 80, 222, 249, 347)},
    # Where there are any; all grades together.
    SOFT_EXUDATE: dict.fromkeys((2, 3, 4), (1, 1, 3, 6, 8)),
}
"""Lesion -> grade -> how many an eye has at each of the quantiles. IDRiD, but where a comment says otherwise."""


@dataclass(frozen=True)
class Spots:
    """Lesions of one kind: blots with uneven outlines, each longest along its own direction."""

    centre: Floats
    """(n 2) In eye coordinates, mm."""
    half_length: Floats
    """(n) mm"""
    half_width: Floats
    """(n) mm"""
    angle: Floats
    """(n) Of the length in eye coordinates, radians."""
    wobble: Floats
    """(n 4) Amplitudes of the outline's harmonics 2 to 5, as shares of the radius."""
    phase: Floats
    """(n 4) Theirs, radians."""
    fray: Floats
    """(n) How far strands reach beyond the ends or stay behind them, as a share of the length."""
    strength: Floats
    """(n) How dark or bright, about 1."""

    def __len__(self) -> int:
        return len(self.centre)

    @staticmethod
    def drawn(
        rng: Generator,
        centre: Floats,
        half_length: Floats,
        slenderness: Floats,
        angle: Floats,
        *,
        wobble: float,
        fray: float = 0.0,
        strength: tuple[float, float],
    ) -> "Spots":
        """Lesions (n) at these places with outlines and strengths of their own; a length is ``slenderness`` widths."""
        count = len(centre)
        amplitude = wobble * rng.uniform(-1, 1, (count, 4)) / np.sqrt(np.arange(1, 5))
        phase = rng.uniform(0, 2 * np.pi, (count, 4))
        strengths = rng.uniform(*strength, count)
        strands = np.full(count, fray)
        return Spots(
            centre, half_length, half_length / slenderness, angle, amplitude, phase, strands, strengths
        )

    def of(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Spots":
        """Some of them."""
        return Spots(*(values[chosen] for values in vars(self).values()))

    @staticmethod
    def joined(parts: "list[Spots]") -> "Spots":
        """All of several, in order; of none, none."""
        if not parts:
            return Spots(np.zeros((0, 2)), *np.zeros((3, 0)), *np.zeros((2, 0, 4)), *np.zeros((2, 0)))
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Spots(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Disease:
    """All lesions of one eye, without any pixel: the same at every size of picture."""

    grade: int
    spots: Mapping[str, Spots]
    """Lesion -> where it is, for every one of ``LESIONS`` but the new vessels."""
    new_vessels: tuple[VesselTree, ...]
    """One for each tangle."""

    def count(self, lesion: str) -> int:
        """How many of a lesion the eye has; of new vessels, tangles."""
        return len(self.new_vessels) if lesion == NEW_VESSELS else len(self.spots[lesion])


def lesions_of(grade: int) -> tuple[str, ...]:
    """The lesions that an eye of a grade may have."""
    return {0: (), 1: LESIONS[:1], 2: LESIONS[:4], 3: LESIONS[:4], 4: LESIONS}[grade]


def lesions_of_any(grades: Iterable[int]) -> tuple[str, ...]:
    """The lesions that eyes of these grades may have, in the order of ``LESIONS``."""
    found = {lesion for grade in grades for lesion in lesions_of(grade)}
    return tuple(lesion for lesion in LESIONS if lesion in found)


def dealt_grade(grades: Sequence[int], place: int) -> int | None:
    """The grade of the eye at a place: these in turn, the highest first; without any, None.

    So that few eyes hold most lesions; a grade that is named twice comes twice as often.
    """
    return sorted(grades, reverse=True)[place % len(grades)] if grades else None


def draw_count(rng: Generator, lesion: str, grade: int) -> int:
    """How many of a lesion an eye has of a grade that may have it; haemorrhages of grade 3 are counted elsewhere.

    The same stream never gives a higher grade fewer.
    """
    has, at = rng.random(), rng.uniform(_QUANTILES[0], _QUANTILES[-1])
    if lesion == SOFT_EXUDATE and has >= SOFT_EXUDATE_SHARES[grade]:
        return 0
    return max(1, round(float(np.interp(at, _QUANTILES, _COUNTS[lesion][grade]))))
