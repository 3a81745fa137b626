"""Pictures, read lazily and safely: nothing in a file can run, hang, warn, or take memory without bound."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from retina_core.errors import PathError

Picture = NDArray[np.uint8]
"""(h w) where the picture is grey, else (h w 3)."""

MAX_PIXELS: Final = 100_000_000
"""What a header may claim before anything is decoded: 300 MB as RGB. Cameras give 0.5 to 50 million."""

FORMATS: Final = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "WEBP", "JPEG2000")
"""Formats that are decoded. Not among them: those that start another program (EPS) or follow references."""

_JPEG_SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jp2", ".j2k")
_PPM_SUFFIXES: Final = (".ppm", ".pgm", ".pbm", ".pnm")
SUFFIXES: Final = frozenset(
    (".png", *_JPEG_SUFFIXES, ".tif", ".tiff", ".gif", ".bmp", ".dib", *_PPM_SUFFIXES, ".webp")
)
"""Endings, in lower case, by which a folder's pictures are told from its other files."""

_ADVICE: Final = "replace the file or leave it out"
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (EXIF 2.32, tag 274) -> what brings the picture upright."""


class PictureSource(Protocol):
    """A picture that is decoded when it is asked for."""

    @property
    def name(self) -> str:
        """What a message calls it: a path relative to its data set, or what it was drawn from."""

    def size(self) -> tuple[int, int]:
        """Width and height, px, as ``read`` gives them; of a file from its header only."""

    def read(self) -> Picture:
        """The decoded picture, uint8, (h w) or (h w 3)."""


@dataclass(frozen=True)
class FilePicture:
    """A picture in a file: upright by its EXIF tag, transparency over black, the first frame of several."""

    path: Path
    root: Path | None = field(default=None, compare=False)
    """The data set's folder, which ``name`` leaves out."""

    @property
    def name(self) -> str:
        """The path within ``root``."""
        return self.path.relative_to(self.root).as_posix() if self.root else str(self.path)

    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, px, from the header.

        Raises:
            PathError: the file is not there, is no picture, or claims more than ``MAX_PIXELS``.
        """
        with _opened(self.path) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)

    def read(self) -> Picture:
        """The upright picture, uint8, (h w) or (h w 3), writable.

        Raises:
            PathError: as ``size``, or the file is truncated, damaged, or of a kind that 8 bits cannot hold.
        """
        with _opened(self.path) as image:
            turn = _TURNS.get(_orientation(image))
            image.load()
            return _as_uint8(image if turn is None else image.transpose(turn))


@dataclass(frozen=True, eq=False)
class ArrayPicture:
    """A picture that is in memory, or that a function draws when it is asked for."""

    name: str
    width: int
    height: int
    draw: Callable[[], Picture]
    """Gives the picture, uint8, (h w) or (h w 3)."""

    @classmethod
    def of(cls, name: str, picture: Picture) -> ArrayPicture:
        """A picture (h w) or (h w 3) that is in memory."""
        return cls(name, picture.shape[1], picture.shape[0], lambda: picture)

    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.width, self.height

    def read(self) -> Picture:
        """The picture, uint8, (h w) or (h w 3)."""
        return self.draw()


class _PillowSilence:
    """Keeps Pillow's warnings (about metadata, mostly) from the user while any thread reads a picture.

    ``warnings.catch_warnings`` alone is not safe with threads: the last to leave would restore wrong filters.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.|retina_core\.data\.pictures")
            self._readers += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._saved.__exit__(None, None, None)


_silence = _PillowSilence()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture with its header read; whatever goes wrong with it is one PathError."""
    if not path.is_file():  # a pipe or device would be waited for without end
        reason = "is a folder, not a picture" if path.is_dir() else "is not there"
        raise PathError(path, reason, _ADVICE)
    with _silence:
        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                yield image
        except PathError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly every class there is
            raise PathError(path, _reason(path, error), _ADVICE) from error


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError) and path.stat().st_size == 0:
        return "is empty"
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return reason
    if "truncated" in str(error).lower():
        return "is truncated"
    return f"is damaged or of an unknown kind ({str(error) or type(error).__name__})"


_Kinds = tuple[type[Exception], ...]
_REASONS: Final[tuple[tuple[_Kinds, str], ...]] = (
    (
        (Image.DecompressionBombError,),
        f"its header claims more than {MAX_PIXELS // 1_000_000} million pixels, the most that is read",
    ),
    ((PermissionError,), "may not be read by this user"),
    (
        (UnidentifiedImageError,),
        "is not a picture that can be read (PNG, JPEG, TIFF, GIF, BMP, PPM, WebP, JPEG 2000)",
    ),
    ((MemoryError,), "does not fit into memory"),
    ((EOFError, struct.error), "is truncated"),
)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that is still to be applied."""
    if image.format == "TIFF":
        return 1  # Pillow turns these upright by itself, size included
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # getexif would decode the whole picture to look behind it
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in _TURNS else 1


def _as_uint8(image: Image.Image) -> Picture:
    """Any mode as uint8: (h w) for grey, else (h w 3)."""
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return np.array(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode.startswith("I"):
        return _from_integers(np.asarray(image))
    if image.mode == "F":
        raise ValueError("it holds fractions; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.array(image.convert("RGB"))


def _from_integers(values: NDArray[np.integer]) -> Picture:
    """16-bit grey (h w) as 8-bit; a file that uses 8 of its 16 bits only (masks mostly) keeps its values."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError("it holds 32-bit values; save it with 8 or 16 bits")
    if high <= 255:
        return values.astype(np.uint8)
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
