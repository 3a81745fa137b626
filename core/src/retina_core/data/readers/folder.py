"""Our own layout, for photographs of any kind, and the one in which synthetic sets are written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import (
    Reader,
    by_stem,
    channels_in_use,
    folders_in,
    pictures_in,
    stem,
    without_photo,
)
from retina_core.data.readers.class_list import read_classes
from retina_core.data.readers.metadata import TABLES, Row, read_metadata
from retina_core.data.readers.place import Place
from retina_core.data.sample import Dataset, FovRule, Sample
from retina_core.errors import SampleSetError
from retina_core.formats.annotation import ANNOTATION, Annotation, read_annotation
from retina_core.names import composed, shown

PHOTO_FOLDER: Final = "images"
LABEL_FOLDERS: Final = ("labels", "masks")

OBSERVERS: Final = "observers"

PLAIN_CHANNEL: Final = "label"
"""The channel of maps directly in ``labels/`` or ``masks/`` where ``data.channels`` does not name it."""


class FolderReader(Reader):
    """``images/`` with ``labels/<channel>/``, or with maps directly in ``labels/`` or ``masks/``.

    Files belong together by their names without ending (a label may also end in ``_mask`` or ``_<channel>``),
    or by the columns of ``metadata.jsonl`` or ``metadata.csv``: ``file_name``, ``<channel>_file_name``,
    ``fov_file_name``, ``grade``, ``patient``, ``group``, ``split``. Without ``fov/`` the whole frame counts,
    or, with ``data.fov=derive``, what the camera filled.
    A label that is missing where another channel of the photograph has one is absent: not annotated.
    Where ``classes.txt``, ``.json`` or ``.csv`` names classes, maps directly in ``labels/`` or ``masks/`` hold
    their numbers: every class is a channel, annotated in each photograph that has a map.
    Further observers' maps lie in ``observers/<name>/<channel>/``. What ``retina annotate`` wrote says, in the column
    ``weak``, which maps and grades a stage filled in, and keeps citation and licence in ``annotation.json``.
    """

    name = "folder"
    needs_labels: ClassVar[bool] = True
    """Whether a photograph with neither label nor grade is a problem."""

    def matches(self, folder: Path) -> bool:
        has_labels = any((folder / name).is_dir() for name in LABEL_FOLDERS)
        has_table = any((folder / name).is_file() for name in TABLES)
        return (folder / "images").is_dir() and (has_labels or has_table)

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        contents = _Contents.of(folder, self.photo_folder(folder), problems, config)
        kept = self._annotation(folder, problems)
        rows = read_metadata(folder, problems)
        by_name = {row.photo: row for row in rows or ()}
        samples = []
        for photo in contents.photos.values():
            name = composed(photo.path.name)
            row = by_name.pop(f"{PHOTO_FOLDER}/{name}", None) or by_name.pop(name, None)
            if rows is not None and row is None:
                problems.append(f"{photo.name}: stands in no row of the metadata; add one or leave it out")
            elif sample := contents.sample(photo, row, problems, needs_labels=self.needs_labels):
                samples.append(sample)
        problems.extend(_without_file(folder, row) for row in by_name.values())
        problems.extend(without_photo(contents.unused()))
        return Dataset(
            name=shown(Path(os.path.realpath(folder)).name),
            reader=self.name,
            root=folder,
            samples=tuple(sorted(samples, key=lambda sample: sample.id)),
            channels=channels_in_use(samples, config),
            phantom=any(row.phantom for row in rows or ()),
            citation=kept.citation,
            licence=kept.licence,
            repeats=kept.repeats,
            notes=tuple(weak_notes(samples)),
        )

    def photo_folder(self, folder: Path) -> Path:
        """Where the photographs are."""
        return folder / PHOTO_FOLDER

    @staticmethod
    def _annotation(folder: Path, problems: list[str]) -> Annotation:
        """What an annotated folder says of itself; nothing where it is none, or cannot be believed."""
        try:
            found = read_annotation(folder)
        except SampleSetError as error:
            problems.append(f"{ANNOTATION}: {error.reason}; annotate again into another folder")
            return Annotation()
        if found is not None and not any((folder / name).is_file() for name in TABLES):
            reason = "the annotation is not complete: nothing tells which maps are weak"
            problems.append(f"{ANNOTATION}: {reason}; run the same retina annotate again")
        return found or Annotation()


def weak_notes(samples: Iterable[Sample]) -> Iterator[str]:
    """A line for all that one stage filled in of one kind."""
    told = Counter(pair for sample in samples for pair in zip(sample.weak, sample.weak_from, strict=True))
    for (name, stage), count in sorted(told.items()):
        yield f"{name}: {count} weak, by {stage}; no test is held to them"


@dataclass(frozen=True)
class _Contents:
    """The pictures of a folder, and which of its labels and fovs photographs have claimed."""

    root: Path
    photos: dict[str, FilePicture]
    labels: dict[str, Mapping[str, FilePicture]]
    """Channel -> name without ending -> map."""
    fovs: dict[str, FilePicture]
    fov_rule: FovRule
    """Where a photograph without its own fov has it from."""
    place: Place
    observers: Mapping[str, Mapping[str, Mapping[str, FilePicture]]]
    """Observer -> channel -> name without ending -> map."""
    claimed: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, root: Path, photos: Path, problems: list[str], config: DataConfig) -> _Contents:
        return cls(
            root,
            by_stem(pictures_in(photos, root), problems),
            dict(_labels(root, problems, config)),
            by_stem(pictures_in(root / "fov", root), problems),
            config.fov,
            Place(root),
            {
                composed(who.name): {
                    composed(channel.name): by_stem(pictures_in(channel, root), problems)
                    for channel in folders_in(who)
                }
                for who in (folders_in(root / OBSERVERS) if (root / OBSERVERS).is_dir() else ())
            },
        )

    def sample(
        self, photo: FilePicture, row: Row | None, problems: list[str], *, needs_labels: bool
    ) -> Sample | None:
        """The photograph with what belongs to it, by name or by its row of the table.

        Whether a file that a row names is there shows when all pictures are read.
        """
        eye = stem(photo)
        files = [photo]
        matches = {channel: _match(maps, eye, channel) for channel, maps in self.labels.items()}
        labels = {channel: picture for channel, picture in matches.items() if picture}
        fov = _match(self.fovs, eye, "fov")
        for channel, path in row.labels.items() if row else ():
            labels[channel] = FilePicture(self.place.of(path), self.root)
            files.append(labels[channel])
        if row and row.fov:
            fov = FilePicture(self.place.of(row.fov), self.root)
            files.append(fov)
        if row and (outside := [file for file in files if self.place.leads_out(file.path)]):
            advice = "put the file itself there"
            problems.extend(
                f"{row.where}: {file.name} is a link out of the folder; {advice}" for file in outside
            )
            return None
        self.claimed.update(picture.path for picture in (*labels.values(), fov) if picture)
        if needs_labels and not labels and (row is None or row.grade is None):
            problems.append(
                f"{photo.name}: has no label; add one of the same name or leave the photograph out"
            )
            return None
        return Sample(
            id=eye,
            patient=(row and row.patient) or eye,
            photo=photo,
            labels=labels,
            fov=fov,
            fov_rule="given" if fov else self.fov_rule,
            grade=row.grade if row else None,
            group=row.group if row else None,
            official=row.official if row else None,
            observers=self._observed(eye),
            weak=row.weak if row else (),
            weak_from=row.weak_from if row else (),
        )

    def _observed(self, eye: str) -> dict[str, Mapping[str, FilePicture]]:
        """Further observers' maps of a photograph, by its name."""
        every = {
            who: {channel: maps[eye] for channel, maps in drawn.items() if eye in maps}
            for who, drawn in self.observers.items()
        }
        return {who: maps for who, maps in every.items() if maps}

    def unused(self) -> Iterator[FilePicture]:
        """What no photograph claimed, each file once: several channels may lie in one."""
        every = (picture for maps in (*self.labels.values(), self.fovs) for picture in maps.values())
        unclaimed = {picture.path: picture for picture in every if picture.path not in self.claimed}
        yield from unclaimed.values()


def _labels(
    root: Path, problems: list[str], config: DataConfig
) -> Iterator[tuple[str, Mapping[str, FilePicture]]]:
    folder = next((root / name for name in LABEL_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        return
    channels = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    plain = pictures_in(folder, root)
    found: dict[str, str] = {}
    for channel in channels:
        if (first := found.setdefault(composed(channel), channel)) == channel:
            yield composed(channel), by_stem(pictures_in(folder / channel, root), problems)
        else:
            alike = f"differs from {folder.name}/{first} in how its accents are stored only"
            problems.append(f"{folder.name}/{channel}: {alike}; join them")
    if channels:
        advice = f"move it into {folder.name}/<channel>/"
        problems.extend(f"{picture.name}: lies beside the channels' folders; {advice}" for picture in plain)
    elif classes := read_classes(root, problems):
        yield from classes.channels_of(by_stem(plain, problems))
    else:
        name = config.channels[0] if len(config.channels) == 1 else PLAIN_CHANNEL
        yield name, by_stem(plain, problems)


def _match(maps: Mapping[str, FilePicture], eye: str, channel: str) -> FilePicture | None:
    """The map that belongs to a photograph by its name."""
    return maps.get(eye) or maps.get(f"{eye}_mask") or maps.get(f"{eye}_{channel}")


def _without_file(folder: Path, row: Row) -> str:
    if (folder / row.photo).exists():
        return f"{row.where}: {row.photo} does not lie directly in {PHOTO_FOLDER}/; move it there"
    return f"{row.where}: {row.photo} is not there; add the file"
