"""Photographs to annotate: any data set, or a plain folder without a single label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from retina_core.config import DataConfig
from retina_core.data.opening import Readers, check_source
from retina_core.data.readers.base import pictures_in
from retina_core.data.readers.folder import PHOTO_FOLDER, FolderReader
from retina_core.data.sample import Dataset
from retina_core.errors import DatasetError, UnknownLayoutError
from retina_core.specs import ReaderSpec


class PhotographReader(FolderReader):
    """The layout ``folder`` in which nothing needs a label; photographs may lie in the folder itself."""

    needs_labels = False

    def photo_folder(self, folder: Path) -> Path:
        return folder / PHOTO_FOLDER if (folder / PHOTO_FOLDER).is_dir() else folder


class _Lenient:
    """The readers that are installed, with one that asks for no labels in the place of ``folder``."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def readers(self) -> tuple[ReaderSpec, ...]:
        """All of them."""
        return self._readers.readers()

    def reader_class(self, spec: ReaderSpec) -> type:
        """The class of each."""
        found = self._readers.reader_class(spec)
        return PhotographReader if found is FolderReader else found


def open_photographs(
    images: Path | str,
    *,
    reader: str | None,
    readers: Readers,
    config: DataConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """As ``open_dataset``, but photographs need no label, and lie in any folder.

    Raises:
        PathError, UnknownLayoutError, UnknownStageError, InvalidValueError, DatasetError: as ``open_dataset``.
    """
    lenient = _Lenient(readers)
    try:
        checked = check_source(images, reader=reader, registry=lenient, config=config, progress=progress)
    except UnknownLayoutError as error:
        if error.fitting or not _holds_photographs(Path(images)):
            raise
        checked = check_source(images, reader="folder", registry=lenient, config=config, progress=progress)
    if checked.problems:
        raise DatasetError(images, checked.problems)
    return checked.dataset


def _holds_photographs(folder: Path) -> bool:
    return bool(pictures_in(PhotographReader().photo_folder(folder), folder))
