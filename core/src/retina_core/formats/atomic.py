"""Files that are written beside their place and renamed into it, so that a reader never meets half a file."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from retina_core.errors import StorageError

_TEMPORARY = re.compile(r"\..+\.\d+\.retina\.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name was begun and not yet renamed into its place."""
    return _TEMPORARY.fullmatch(name) is not None


def _beside(path: Path) -> Path:
    """Where a file or folder is written: hidden, so that no reader of the folder takes it for a sample."""
    return path.with_name(f".{path.name}.{os.getpid()}.retina.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on success its file is flushed to disk and renamed into place.

    Raises:
        StorageError: the folder cannot be written, the disk is full, or ``path`` is a device or a pipe, which renaming
            would replace by a file; what lay there is untouched.
    """
    if os.path.exists(path) and not (path.is_file() or path.is_dir()):
        raise StorageError(path, "it is a device or a pipe, not a file")
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # the error above says more than that its leftovers cannot be removed
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Make a file, or a folder's list of names, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read, whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, renamed into its place when complete.

    Raises:
        StorageError: there is no room or no permission; what lay at ``folder`` is untouched.
    """
    temporary = _beside(folder)
    try:
        for begun in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
            if is_temporary(begun.name):  # left by a process that was killed
                shutil.rmtree(begun, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
        _flush(folder.parent)
    except StorageError as error:  # of a file in it, whose temporary place says nothing to anybody
        raise StorageError(folder, error.reason) from error
    except OSError as error:
        raise StorageError(folder, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
