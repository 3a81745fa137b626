"""Pictures that their owners packed with gzip, unpacked in memory up to a bound."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from retina_core.errors import PathError

ENDING: Final = ".gz"

FORMATS: Final = ("PPM",)
"""What is looked for in it: PPM, PGM and PBM, which hold their pixels as they are; others are packed already."""

MOST_BYTES: Final = 16 * 2**20
"""What is unpacked at most: 5 million pixels as RGB; STARE's have 0.4. Gzip can pack a thousand times as much."""


def unpacked(path: Path, file: BinaryIO) -> io.BytesIO:
    """What a gzip file holds; no more than ``MOST_BYTES`` are ever unpacked.

    Raises:
        PathError: it holds more, or is no gzip file, or a damaged one.
        EOFError: it is truncated.
    """
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise PathError(path, f"cannot be unpacked ({error})", "replace the file or leave it out") from error
    if len(content) > MOST_BYTES:
        reason = f"unpacks to more than {MOST_BYTES // 2**20} MiB, the most that is read of a packed picture"
        raise PathError(path, reason, f"unpack it, if that is what it should be (gunzip {path.name})")
    return io.BytesIO(content)
