"""Writing safetensors files: whole or not at all, and a full disk said as such."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from retina_core.errors import StorageError
from retina_core.formats.atomic import replacing


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write contiguous tensors of the CPU that share no memory.

    Raises:
        StorageError: the folder cannot be written or the disk is full; what lay at ``path`` is untouched.
    """
    with replacing(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata=dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise StorageError(path, _reason(error)) from error


def _reason(error: SafetensorError) -> str:
    """The system's own words: the library, written in Rust, raises no OSError."""
    number = re.search(r"os error (\d+)", str(error))
    return os.strerror(int(number[1])) if number else str(error)
