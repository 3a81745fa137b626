"""A photograph's signature: 1,024 bits by which it is known again, however it was saved, where only they were kept.

Each bit says on which side of a fixed plane a look lies (Charikar 2002, Proc. STOC, p. 380): looks whose correlation is r
differ in arccos(r)/pi of their bits. So a photograph at hand, shifted and scaled, is held against a signature alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retina_core.data.looks import LOOK_PX, Look
from retina_core.data.twins import resampled

BITS: Final = 1024

KNOWN: Final = 0.62
"""Correlation, as the bits tell it, from which a photograph counts as the one of a signature."""

_SCALES: Final = (0.94, 0.97, 1.0, 1.03, 1.06)
_SHIFTS: Final = tuple(step / LOOK_PX for step in (-3, -2, -1, 0, 1, 2, 3))


class Recognised(NamedTuple):
    """A photograph that a signature is of."""

    place: int
    """Of its look, among those given."""
    fingerprint: str
    """Of the photograph that was seen."""
    likeness: float
    """Correlation as the bits tell it."""


def signature_of(look: Look) -> str:
    """256 digits in hexadecimal; empty for a look of nothing."""
    if not look.any():
        return ""
    return np.packbits(_sides(look[None].astype(np.float32))[0] > 0).tobytes().hex()


def recognised(looks: Sequence[Look], signatures: Mapping[str, str]) -> list[Recognised]:
    """The looks that signatures (by fingerprint) are of, each with the one that fits best."""
    names = list(signatures)
    if not names:
        return []
    kept = _signs(signatures[name] for name in names)  # n 1024
    found = []
    for place, look in enumerate(looks):
        if not look.any():
            continue
        moved = np.concatenate([_moved(look, scale) for scale in _SCALES])
        agreeing = np.where(_sides(moved) > 0, np.float32(1), np.float32(-1)) @ kept.T  # v n
        differing = (1 - agreeing.max(axis=0) / BITS) / 2
        best = int(differing.argmin())
        likeness = float(np.cos(np.pi * differing[best]))
        if likeness >= KNOWN:
            found.append(Recognised(place, names[best], likeness))
    return found


def _moved(look: Look, scale: float) -> NDArray[np.float32]:
    """A look at another size, in all places near its own: (49 64 64)."""
    rows = [resampled(look[None], scale, down, 0.0, LOOK_PX)[0] for down in _SHIFTS]
    places = [round(shift * LOOK_PX) for shift in _SHIFTS]
    return np.stack([np.roll(row, -place, axis=1) for row in rows for place in places])


def _sides(looks: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n 64 64) -> (n 1024), beyond 0 on the one side of each plane."""
    sides: NDArray[np.float32] = looks.reshape(len(looks), -1) @ _planes()
    return sides


def _signs(signatures: Iterable[str]) -> NDArray[np.float32]:
    """Signatures as (n 1024) of 1 and -1."""
    bits = np.stack([np.unpackbits(np.frombuffer(bytes.fromhex(one), np.uint8)) for one in signatures])
    return bits.astype(np.float32) * 2 - 1


@cache
def _planes() -> NDArray[np.float32]:
    """(4096 1024) of 1 and -1, out of a hash: the same with every version of every library."""
    stream = hashlib.shake_256(b"retina signature 1").digest(LOOK_PX**2 * BITS // 8)
    return (np.unpackbits(np.frombuffer(stream, np.uint8)).astype(np.float32) * 2 - 1).reshape(-1, BITS)
