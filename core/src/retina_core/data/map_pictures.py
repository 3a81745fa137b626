"""Label maps whose files hold something else than two values: smoothed edges, or the number of a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.masks import SMOOTHED, brightest
from retina_core.data.pictures import FilePicture, opened, refuse_emptiness
from retina_core.data.pixels import OVER_BLACK, TURNS, Decoded, changes_of, orientation_of
from retina_core.errors import PathError
from retina_core.names import shown

_DARK, _BRIGHT = 32, 223
_MOST_MIDDLE: Final = 0.1
"""Of a map with smoothed edges this share of the pixels may lie between these levels; of a photograph most do."""

_MODES: Final = frozenset({"1", "L", "P", "I", "I;16"})
"""Pillow's modes of one channel; of a palette (``P``) the numbers are the indices, not the colours."""

_MOST_CLASSES: Final = 2**16

_ROWS: Final = 64
"""Rows of a map that are looked at together: counting and choosing take eight bytes for each pixel."""


@dataclass(frozen=True)
class SmoothedMap(FilePicture):
    """A mask with smoothed edges, cut at half of full scale, however many edges there are.

    Lesions by the hundred have more edge than the share of grey that a mask is allowed elsewhere.
    """

    def decode(self) -> Decoded:
        """The mask, 0 and 255 (h w); what is no such map comes as it is, for the caller to refuse."""
        found = super().decode()
        grey = found.picture if found.picture.ndim == 2 else brightest(found.picture)
        counts = np.array(Image.fromarray(grey).histogram())
        is_smooth = np.count_nonzero(counts) > 2 and counts[_BRIGHT + 1 :].any()
        if not is_smooth or counts[_DARK : _BRIGHT + 1].sum() > _MOST_MIDDLE * grey.size:
            return found
        cut = np.where(grey > 127, np.uint8(255), np.uint8(0))
        return Decoded(cut, (*found.changes, SMOOTHED), found.alpha)


@dataclass(frozen=True)
class ClassMap(FilePicture):
    """One channel of a picture whose pixels are numbers of classes."""

    numbers: frozenset[int] = frozenset()
    """The classes that are the channel."""
    classes: Mapping[int, str] = field(default_factory=dict, compare=False)
    """All classes that there may be, by name, for messages."""
    named_in: str = field(default="", compare=False)
    """The file that names them."""

    def decode(self) -> Decoded:
        """The channel's mask, 0 and 255 (h w).

        Raises:
            PathError: as any picture's; or it holds colours, or a number that no class has.
        """
        with opened(self.path) as image:
            refuse_emptiness(self.path, image)
            turn = TURNS.get(orientation_of(image))
            changes = tuple(one for one in changes_of(image, turned=turn is not None) if one != OVER_BLACK)
            if image.mode not in _MODES:
                advice = "save it with one channel, grey or indexed"
                raise PathError(self.path, "holds colours, and no numbers of classes", advice)
            image.load()
            numbers = np.asarray(image if turn is None else image.transpose(turn))
            return Decoded(self._marked(numbers.astype(np.uint8) if image.mode == "1" else numbers), changes)

    def _marked(self, numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Where the channel is, 0 and 255, in the numbers of classes (h w)."""
        if numbers.min() < 0 or numbers.max() >= _MOST_CLASSES:
            raise PathError(
                self.path, "holds 32-bit values, and no numbers of classes", "save it with 8 bits"
            )
        bands = range(0, len(numbers), _ROWS)
        found = sorted({int(number) for top in bands for number in np.unique(numbers[top : top + _ROWS])})
        if unknown := [number for number in found if number not in self.classes]:
            known = ", ".join(f"{number} {shown(name)}" for number, name in sorted(self.classes.items()))
            reason = f"holds the value {unknown[0]}, which {self.named_in} does not name (has: {known:.200})"
            raise PathError(self.path, reason, f"add the class, or remove {self.named_in} if these are masks")
        marks = np.zeros(found[-1] + 1, dtype=np.uint8)
        marks[[number for number in found if number in self.numbers]] = 255
        return np.concatenate([marks[numbers[top : top + _ROWS]] for top in bands])
