"""The pixels of any file as they are used: upright, 8 bits, grey or RGB; and what was done to them for that."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

Picture = NDArray[np.uint8]
"""(h w) where the picture is grey, else (h w 3)."""

TURNED: Final = "turned upright as the EXIF tag says; labels must fit the upright picture"
FIRST_FRAME: Final = "the first of several frames is read"
REDUCED: Final = "16 bits are reduced to 8"
CMYK: Final = "CMYK is turned into RGB, without a colour profile"
OVER_BLACK: Final = "transparent parts are laid over black"
"""What may be done to a file's pixels while they are read, as it is told."""


class Decoded(NamedTuple):
    """A picture as it is used, and what was done to the file's pixels for that."""

    picture: Picture
    changes: tuple[str, ...] = ()
    alpha: NDArray[np.uint8] | None = None
    """(h w) The opacity that was laid over black, where there is any transparency."""


_ROWS: Final = 64
"""Rows of a picture that are converted at once."""

_ORIENTATION: Final = 0x0112
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (EXIF 2.32, tag 274) -> what brings the picture upright."""


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that is still to be applied."""
    if image.format == "TIFF":
        return 1  # Pillow turns these upright by itself, size included
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # getexif would decode the whole picture to look behind it
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in TURNS else 1


def changes_of(image: ImageFile.ImageFile, *, turned: bool) -> tuple[str, ...]:
    """What reading will do to the pixels, told from the header."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        turned = image.tag_v2.get(_ORIENTATION, 1) in TURNS
    told = {
        TURNED: turned,
        FIRST_FRAME: bool(getattr(image, "is_animated", False)),
        REDUCED: ";16" in _raw_mode(image),
        CMYK: image.mode == "CMYK",
        OVER_BLACK: image.has_transparency_data,
    }
    return tuple(change for change, done in told.items() if done)


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How the file lays out its pixels, e.g. ``RGB;16B``."""
    arguments = image.tile[0][3] if image.tile else None
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def as_uint8(image: Image.Image, changes: tuple[str, ...]) -> Decoded:
    """Any mode as uint8: (h w) for grey, else (h w 3)."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        kept = tuple(change for change in changes if change != REDUCED or values.max() > 255)
        return Decoded(_from_integers(values), kept)
    if image.mode == "F":
        raise ValueError("it holds fractions; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return _over_black(image.convert("RGBA"), changes)
    wanted = "L" if image.mode in {"L", "1"} else "RGB"
    return Decoded(np.array(image if image.mode == wanted else image.convert(wanted)), changes)


def _over_black(image: Image.Image, changes: tuple[str, ...]) -> Decoded:
    alpha = np.array(image.getchannel("A"))
    if alpha.min() == 255:
        return Decoded(np.array(image.convert("RGB")), tuple(c for c in changes if c != OVER_BLACK))
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Decoded(np.array(Image.alpha_composite(black, image).convert("RGB")), changes, alpha)


def _from_integers(values: NDArray[np.integer]) -> Picture:
    """16-bit grey (h w) as 8-bit; a file that uses 8 of its 16 bits only (masks mostly) keeps its values."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError("it holds 32-bit values; save it with 8 or 16 bits")
    if high <= 255:
        return values.astype(np.uint8)
    reduced = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):  # whole, a large picture would take six times its size
        rows = values[start : start + _ROWS].astype(np.uint32)
        reduced[start : start + _ROWS] = (rows * 255 + 32767) // 65535
    return reduced
