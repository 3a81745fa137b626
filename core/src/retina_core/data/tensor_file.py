"""uint8 tensors in one safetensors file that is written row by row and read through the page cache.

Neither takes memory that grows with the number of rows.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retina_core.errors import StorageError

Bytes = NDArray[np.uint8]

_ABANDONED_SECONDS = 86_400
"""A partial file that was not touched for so long belongs to a process that was killed."""


class TensorFile(NamedTuple):
    """Name and shape of the tensors of a file, rows first, and its metadata: all that its header says."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]

    @property
    def header(self) -> bytes:
        """The file's first bytes (safetensors format: length, JSON, padding to 8)."""
        entries: dict[str, object] = {"__metadata__": dict(self.metadata)}
        for name, (start, end) in self.spans().items():
            entries[name] = {"dtype": "U8", "shape": list(self.shapes[name]), "data_offsets": [start, end]}
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text

    def spans(self) -> dict[str, tuple[int, int]]:
        """Where each tensor's bytes lie behind the header."""
        spans, start = {}, 0
        for name, shape in self.shapes.items():
            end = start + int(np.prod(shape, dtype=np.int64))
            spans[name] = (start, end)
            start = end
        return spans

    @property
    def data_bytes(self) -> int:
        """How many bytes follow the header."""
        return max((end for _, end in self.spans().values()), default=0)

    def fits(self, path: Path) -> bool:
        """Whether the file is there, whole, and has exactly this header."""
        header = self.header
        if not path.is_file():
            return False
        try:
            with path.open("rb") as file:
                whole = path.stat().st_size == len(header) + self.data_bytes
                return whole and file.read(len(header)) == header
        except OSError:
            return False

    def map(self, path: Path) -> dict[str, Bytes]:
        """The tensors, read-only, mapped into memory page by page as they are touched."""
        offset = len(self.header)
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(self.data_bytes,))
        spans = self.spans().items()
        return {name: data[start:end].reshape(self.shapes[name]) for name, (start, end) in spans}

    def write(self, path: Path, fill: Callable[[RowWriter], None]) -> None:
        """Write the file beside its place, let ``fill`` write the rows, then rename it into its place.

        Raises:
            StorageError: the disk is full or the folder cannot be written; no partial file is left behind.
        """
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path.parent)
            with partial.open("wb") as file:
                file.write(self.header)
                file.truncate(len(self.header) + self.data_bytes)
                fill(RowWriter(file, self))
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            _sync_folder(path.parent)
        except OSError as error:
            reason = f"{error.strerror or error} (the cache; RETINA_CACHE names another folder)"
            raise StorageError(path.parent, reason) from error
        finally:
            with suppress(OSError):  # the first error is the one to tell
                partial.unlink()


class RowWriter:
    """Writes rows of the tensors of a file, in any order."""

    def __init__(self, file: BinaryIO, layout: TensorFile) -> None:
        self._file = file
        self._layout = layout
        self._start = len(layout.header)
        self._spans = layout.spans()

    def write(self, name: str, row: int, values: Bytes) -> None:
        """Set row ``row`` of tensor ``name``."""
        if values.shape != tuple(self._layout.shapes[name][1:]):
            raise ValueError(f"{name}: a row of shape {values.shape}, not {self._layout.shapes[name][1:]}")
        self._file.seek(self._start + self._spans[name][0] + row * values.nbytes)
        self._file.write(np.ascontiguousarray(values).data)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder, and renames durably
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    for partial in folder.glob("*.partial"):
        with suppress(FileNotFoundError):  # another process may be done with it, or remove it too
            if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                partial.unlink()
