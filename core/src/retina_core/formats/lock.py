"""One process at a time in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from retina_core.errors import RunFolderError, StorageError


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when the process ends, however it ends.

    Raises:
        RunFolderError: another process holds it.
        StorageError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise RunFolderError(
            folder, "another process is working in it", "wait for it to end or choose another --out"
        ) from None
    except OSError as error:
        raise StorageError(folder, error.strerror or str(error)) from error
    try:
        yield
    finally:
        lock.release()
