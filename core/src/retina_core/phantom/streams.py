"""Separate random streams, so that what one part of an eye draws never shifts what another part gets."""

from collections.abc import Callable
from typing import Final

from numpy.random import PCG64, Generator, SeedSequence

# The place in this tuple is part of the seed: append, never reorder.
STREAMS: Final = ("anatomy", "camera", "vessels", "palette", "light", "texture", "sensor", "lesions")

Streams = Callable[[str, int], Generator]
"""Gives the random stream of a name and a part."""


def stream(seed: int, index: int, name: str, part: int = 0) -> Generator:
    """The generator of one named part of eye ``index``; ``part`` numbers the streams within it.

    Raises ``ValueError`` for a name that is not in ``STREAMS`` and for a negative seed or index.
    """
    return Generator(PCG64(SeedSequence([seed, index, STREAMS.index(name), part])))
