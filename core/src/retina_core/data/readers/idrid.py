"""IDRiD: 81 photographs with lesions and optic discs, and 516 with grades of diabetic retinopathy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import (
    DERIVED_FOV,
    Reader,
    by_stem,
    channels_in_use,
    folder_called,
    folders_in,
    pictures_in,
    without_photo,
)
from retina_core.data.readers.grade_table import named_grades
from retina_core.data.sample import Dataset, Part, Sample
from retina_core.names import shown

_PHOTOS: Final = "Original Images"
_MAPS: Final = "All Segmentation Groundtruths"
_GRADES: Final = "Groundtruths"

_HALVES: Final[Mapping[Part, str]] = {"train": "Training Set", "test": "Testing Set"}
"""The official split, 54/27 and 413/103, as the owners' folders have it."""

_LESIONS: Final = {
    "microaneurysm": ("Microaneurysms", "MA"),
    "haemorrhage": ("Haemorrhages", "HE"),
    "hard_exudate": ("Hard Exudates", "EX"),
    "soft_exudate": ("Soft Exudates", "SE"),
}
"""Channel -> the folder, and what its maps' names end in. Of an eye without the lesion there is no map."""

_DISC: Final = {"optic_disc": ("Optic Disc", "OD")}
"""Every eye has one: where its map is missing, nobody has drawn it."""

_TABLES: Final[Mapping[Part, str]] = {"train": "training", "test": "testing"}
"""What the name of each half's table holds."""


class IDRiDReader(Reader):
    """``A. Segmentation`` and ``B. Disease Grading``, both of them, either beside others, or one as the folder.

    Photographs of the two parts, and of the grading part's halves, share their names: ids say which they are.
    No field of view is given; it is derived. The grades of macular oedema are not read.
    """

    name = "idrid"

    def matches(self, folder: Path) -> bool:
        return any(_is_segmentation(part) or _is_grading(part) for part in _parts(folder))

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        samples: list[Sample] = []
        notes = [DERIVED_FOV]
        for part in _parts(folder):
            if _is_segmentation(part):
                for half in _HALVES:
                    samples += _SegmentationHalf(part, half, folder, problems).samples()
            elif _is_grading(part):
                for half in _HALVES:
                    samples += _graded(part, half, folder, problems, notes)
            elif folder_called(part, _PHOTOS):
                notes.append(f"{shown(part.name)} is not read: its photographs are those of the grading part")
        return Dataset(
            name="IDRiD",
            reader=self.name,
            root=folder,
            samples=tuple(sorted(samples, key=lambda sample: sample.id)),
            channels=channels_in_use([sample for sample in samples if sample.labels], config),
            citation="Porwal et al. 2018, Data 3(3):25",
            licence="CC BY 4.0, Prasanna Porwal, Samiksha Pachade and Manesh Kokare",
            notes=tuple(notes),
            repeats=True,
        )


def _parts(folder: Path) -> list[Path]:
    """What may be a part of IDRiD: the folder itself, else the folders in it."""
    if folder_called(folder, _PHOTOS):
        return [folder]
    return folders_in(folder)


def _is_segmentation(part: Path) -> bool:
    return folder_called(part, _PHOTOS) is not None and folder_called(part, _MAPS) is not None


def _is_grading(part: Path) -> bool:
    """The localisation part has folders where the grading part has tables."""
    truths = folder_called(part, _GRADES)
    if truths is None or folder_called(part, _PHOTOS) is None:
        return False
    return not folders_in(truths)


@dataclass(frozen=True)
class _SegmentationHalf:
    part: Path
    half: Part
    root: Path
    problems: list[str]

    def samples(self) -> Iterator[Sample]:
        photos = by_stem(_photos(self.part, self.half, self.root), self.problems)
        maps = {channel: self._maps(*named) for channel, named in {**_LESIONS, **_DISC}.items()}
        for eye, photo in photos.items():
            labels: dict[str, FilePicture | None] = {}
            for channel, found in maps.items():
                if found is not None and (eye in found or channel in _LESIONS):
                    labels[channel] = found.pop(eye, None)
            if labels:
                yield _sample(f"segmentation_{eye}", photo, self.half, labels=labels)
            else:
                reason = "has no label; add the folders of maps or leave the photograph out"
                self.problems.append(f"{photo.name}: {reason}")
        for found in maps.values():
            self.problems.extend(without_photo((found or {}).values()))

    def _maps(self, name: str, ending: str) -> dict[str, FilePicture] | None:
        """Photograph -> map of one structure; None where the whole folder is missing: not annotated."""
        half = folder_called(folder_called(self.part, _MAPS) or self.part, _HALVES[self.half])
        folder = folder_called(half, name) if half else None
        if folder is None:
            return None
        pictures = by_stem(pictures_in(folder, self.root), self.problems)
        return {eye.removesuffix(f"_{ending}"): picture for eye, picture in pictures.items()}


def _graded(part: Path, half: Part, root: Path, problems: list[str], notes: list[str]) -> Iterator[Sample]:
    """The photographs of one half of the grading part."""
    photos = by_stem(_photos(part, half, root), problems)
    if not photos:
        return
    truths = folder_called(part, _GRADES) or part
    table = next((file for file in _tables(truths) if _TABLES[half] in file.name.lower()), None)
    if table is None:
        where = shown(truths.relative_to(root).as_posix())
        problems.append(f"{where}: has no table of the {half} part's grades; add the file that ends in .csv")
        return
    columns = ("image name", "retinopathy grade")
    grades = {row.photo: row for row in named_grades(table, root, problems, columns[:1], columns[1])}
    for eye, photo in photos.items():
        row = grades.pop(eye, None)
        if row and row.grades:
            yield _sample(f"grading_{half}_{eye}", photo, half, grade=row.grades[0])
        else:
            problems.append(f"{photo.name}: has no grade in {shown(table.name)}; add one or leave it out")
    if grades:
        notes.append(f"{len(grades)} rows of {shown(table.name)} have no photograph here")


def _photos(part: Path, half: Part, root: Path) -> list[FilePicture]:
    folder = folder_called(folder_called(part, _PHOTOS) or part, _HALVES[half])
    return pictures_in(folder, root) if folder else []


def _tables(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() == ".csv")


def _sample(
    name: str,
    photo: FilePicture,
    half: Part,
    *,
    labels: Mapping[str, FilePicture | None] | None = None,
    grade: int | None = None,
) -> Sample:
    return Sample(
        id=name,
        patient=name,
        photo=photo,
        labels=labels or {},
        fov_rule="derive",
        grade=grade,
        official=half,
    )
