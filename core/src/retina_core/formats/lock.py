"""One process at a time in one folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from retina_core.errors import RunFolderError, StorageError
from retina_core.formats.atomic import is_temporary

LOCK = ".lock"
_DEEPEST = 3
"""Folders below the locked one in which our files lie: ``labels/<channel>/``, ``checkpoints/<seen images>/``."""


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when the process ends, however it ends.

    What killed processes left half written in the folder is removed.

    Raises:
        RunFolderError: another process holds it.
        StorageError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise RunFolderError(
            folder, "another process is working in it", "wait for it to end or choose another --out"
        ) from None
    except NotImplementedError:
        raise StorageError(folder, "its file system knows no locks") from None
    except OSError as error:
        raise StorageError(folder, error.strerror or str(error)) from error
    try:
        _remove_leftovers(folder)
        yield
    finally:
        lock.release()


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files; folders with a lock of their own are left to whoever holds that."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if here != folder and LOCK in files:
            folders.clear()
            continue
        for name in filter(is_temporary, files):
            with suppress(OSError):  # it is in nobody's way
                (here / name).unlink()
        for name in filter(is_temporary, folders):
            shutil.rmtree(here / name, ignore_errors=True)
        deep = len(here.relative_to(folder).parts) >= _DEEPEST
        folders[:] = [] if deep else [name for name in folders if not is_temporary(name)]
