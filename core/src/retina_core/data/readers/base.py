"""What a reader of a data set is."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final

from retina_core.config import DataConfig
from retina_core.data.pictures import SUFFIXES, FilePicture
from retina_core.data.sample import Dataset, Sample
from retina_core.names import composed

DERIVED_FOV: Final = "the field of view is derived from each photograph; the data set gives none"
"""What a reader notes of such a data set."""


class Reader(ABC):
    """Turns a folder, as a data set's owner distributes it, into samples.

    It looks at names only: no picture is decoded. Offer one with the hook ``retina_datasets``.
    """

    name: ClassVar[str]
    """As ``--reader`` and ``ReaderSpec`` have it."""

    @abstractmethod
    def matches(self, folder: Path) -> bool:
        """Whether the folder has this layout, told from its names; damaged or missing files do not matter."""

    @abstractmethod
    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        """The samples, sorted by id.

        What is wrong with the layout (a photograph without a label, a label without a photograph) is appended
        to ``problems``, one line per file, its path in ``folder`` first and what to do last; the sample is
        left out. The pictures themselves are checked by the caller.
        """


def pictures_in(folder: Path, root: Path) -> list[FilePicture]:
    """The picture files directly in a folder, by their endings, sorted by name; none if it is not there."""
    if not folder.is_dir():
        return []
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    return [FilePicture(folder / name, root) for name in names if Path(name).suffix.lower() in SUFFIXES]


def stem(picture: FilePicture) -> str:
    """A file's name without its ending, composed (NFC), so that files from any system can be paired by it."""
    return composed(picture.path.stem)


def picture_stem(name: str) -> str:
    """A photograph's name in a table, with or without the ending of a picture, as ``stem`` gives it."""
    path = PurePosixPath(name)
    return composed(path.stem if path.suffix.lower() in SUFFIXES else path.name)


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder that can be looked into, sorted; hidden ones are passed over."""
    entries = (entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return sorted(entry for entry in entries if os.access(entry, os.R_OK | os.X_OK))


def folder_called(parent: Path, name: str) -> Path | None:
    """The folder of this name, whatever its case and however it is numbered: ``1. Original Images``."""
    if not parent.is_dir():
        return None
    wanted = name.lower()
    return next(
        (entry for entry in folders_in(parent) if _NUMBER.sub("", entry.name).lower() == wanted), None
    )


def by_stem(pictures: Iterable[FilePicture], problems: list[str]) -> dict[str, FilePicture]:
    """Pictures by stem; of two that differ in their ending only (or in how accents are stored), one is a problem."""
    found: dict[str, FilePicture] = {}
    for picture in pictures:
        first = found.setdefault(stem(picture), picture)
        if first is not picture:
            alike = picture.path.suffix == first.path.suffix
            where = "in how its accents are stored" if alike else "in its ending"
            problems.append(f"{picture.name}: differs from {first.name} {where} only; leave one out")
    return found


def without_photo(labels: Iterable[FilePicture]) -> Iterator[str]:
    """A line for each label that belongs to no photograph."""
    for label in labels:
        yield f"{label.name}: a label without a photograph; add the photograph or leave the label out"


_NUMBER: Final = re.compile(r"^\w+\.\s*")
"""What stands before the names of IDRiD's folders: ``A. ``, ``1. ``, ``b. ``."""


def channels_in_use(samples: Sequence[Sample], config: DataConfig) -> tuple[str, ...]:
    """The channels asked for; else those that all samples have; else (there is none such) all that any has.

    Retinal channels stand in the order of the vocabulary, others behind them by name.
    """
    if config.channels:
        return config.channels
    each = [set(sample.labels) for sample in samples]
    if not each:
        return ()
    chosen = set.intersection(*each) or set.union(*each)
    return tuple(sorted(chosen, key=lambda name: (_rank(name), name)))


VOCABULARY = (
    "vessel",
    "artery",
    "vein",
    "optic_disc",
    "optic_cup",
    "fovea",
    "microaneurysm",
    "haemorrhage",
    "hard_exudate",
    "soft_exudate",
    "irma",
    "neovascularisation",
)
"""Names of the structures that the field agrees on; any other name is allowed."""


def _rank(channel: str) -> int:
    return VOCABULARY.index(channel) if channel in VOCABULARY else len(VOCABULARY)
