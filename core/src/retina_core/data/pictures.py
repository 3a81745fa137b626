"""Pictures, read lazily and safely: nothing in a file can run, hang, warn, or take memory without bound."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

from PIL import Image, ImageFile, UnidentifiedImageError

from retina_core.data import packed
from retina_core.data.pixels import TURNS, Decoded, Picture, as_uint8, changes_of, orientation_of
from retina_core.errors import PathError
from retina_core.names import shown

MAX_PIXELS: Final = 100_000_000
"""What a header may claim before anything is decoded: 300 MB as RGB. Cameras give 0.5 to 50 million."""

MAX_SIDE: Final = 20_000
"""Pixels of the longer side: a strip is cropped to a square, whose memory grows with the square of it."""

FORMATS: Final = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "WEBP", "JPEG2000")
"""Formats that are decoded. Not among them: those that start another program (EPS) or follow references."""

_JPEG_SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jp2", ".j2k")
_PPM_SUFFIXES: Final = (".ppm", ".pgm", ".pbm", ".pnm")
SUFFIXES: Final = frozenset(
    (".png", *_JPEG_SUFFIXES, ".tif", ".tiff", ".gif", ".bmp", ".dib", *_PPM_SUFFIXES, ".webp")
)
"""Endings, in lower case, by which a folder's pictures are told from its other files."""

_MOST_PIXELS_PER_BYTE: Final = {"JPEG": 1_000, "PNG": 10_000, "PPM": 8}
"""JPEG needs a bit for each block of 64 pixels and colour; deflate packs 1,032 bytes, of 8 pixels, into one; PBM
packs nothing."""

_ADVICE: Final = "replace the file or leave it out"


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
    """A picture in a file: upright by its EXIF tag, transparency over black, the first frame of several.

    A PPM may be packed with gzip (``.ppm.gz``).
    """

    path: Path
    root: Path | None = field(default=None, compare=False)
    """The data set's folder, which ``name`` leaves out."""

    @property
    def name(self) -> str:
        """The path within ``root``; what cannot be printed is escaped."""
        return shown(self.path.relative_to(self.root).as_posix() if self.root else self.path)

    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, px, from the header.

        Raises:
            PathError: the file is not there, is no picture, or claims more than ``MAX_PIXELS``.
        """
        with opened(self.path) as image:
            width, height = image.size
            return (height, width) if orientation_of(image) >= 5 else (width, height)

    def read(self) -> Picture:
        """The upright picture, uint8, (h w) or (h w 3), writable.

        Raises:
            PathError: as ``size``, or the file is truncated, damaged, or of a kind that 8 bits cannot hold.
        """
        return self.decode().picture

    def decode(self) -> Decoded:
        """As ``read``, with what was done to the pixels."""
        with opened(self.path) as image:
            refuse_emptiness(self.path, image)
            turn = TURNS.get(orientation_of(image))
            changes = changes_of(image, turned=turn is not None)
            image.load()
            return as_uint8(image if turn is None else image.transpose(turn), changes)


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


def decoded(source: PictureSource) -> Decoded:
    """A picture, with what was done to a file's pixels."""
    return source.decode() if isinstance(source, FilePicture) else Decoded(source.read())


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
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The picture with its header read; whatever goes wrong with it is one PathError."""
    with _silence:
        try:
            _refuse_no_file(path)
            # Given a path, Pillow maps raw files into memory: grey TIFFs that are to be turned come out garbled then
            # (Pillow 13.0), and a file that shrinks meanwhile would end the process.
            with path.open("rb") as file:
                is_packed = path.suffix.lower() == packed.ENDING
                content = packed.unpacked(path, file) if is_packed else file
                with Image.open(content, formats=packed.FORMATS if is_packed else FORMATS) as image:
                    _refuse_size(path, *image.size)
                    yield image
        except PathError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly every class there is
            raise PathError(path, _reason(path, error), _ADVICE) from error


def _refuse_no_file(path: Path) -> None:
    """A pipe or device would be waited for without end."""
    if not path.is_file():
        reason = "is a folder, not a picture" if path.is_dir() else "is not there"
        reason = "is a link that leads nowhere" if path.is_symlink() and not path.exists() else reason
        raise PathError(path, reason, _ADVICE)


def _refuse_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if max(width, height) > MAX_SIDE:
        reason = f"its header claims {width}x{height} px; a side of {MAX_SIDE} px is the most that is read"
        raise PathError(path, reason, _ADVICE)


def refuse_emptiness(path: Path, image: ImageFile.ImageFile) -> None:
    """Refuse what would take seconds to decode into nothing: fewer bytes than its format needs for one colour."""
    held = _held_bytes(path, image) * _MOST_PIXELS_PER_BYTE.get(image.format or "", MAX_PIXELS)
    if held < image.width * image.height:
        reason = (
            f"is truncated: its header claims {image.width}x{image.height} px, which it is too small to hold"
        )
        raise PathError(path, reason, _ADVICE)


def _held_bytes(path: Path, image: ImageFile.ImageFile) -> int:
    """The length of an open picture's content, unpacked where it is packed."""
    if image.fp is None or path.suffix.lower() != packed.ENDING:
        return path.stat().st_size
    here = image.fp.tell()
    length = image.fp.seek(0, os.SEEK_END)
    image.fp.seek(here)
    return length


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read ({error.strerror})"
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
    (
        (UnidentifiedImageError,),
        "is not a picture that can be read (PNG, JPEG, TIFF, GIF, BMP, PPM, WebP, JPEG 2000)",
    ),
    ((MemoryError,), "does not fit into memory"),
    ((EOFError, struct.error), "is truncated"),
)
