"""FGADR, its segmentation set: 1,842 photographs with six lesions and grades of diabetic retinopathy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from retina_core.config import DataConfig
from retina_core.data.map_pictures import SmoothedMap
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import (
    DERIVED_FOV,
    Reader,
    by_stem,
    channels_in_use,
    pictures_in,
    without_photo,
)
from retina_core.data.readers.grade_table import median_grade, rater_grades
from retina_core.data.sample import Dataset, Sample
from retina_core.names import shown

_PHOTOS: Final = "Original_Images"
_LESIONS: Final = {
    "microaneurysm": "Microaneurysms_Masks",
    "haemorrhage": "Hemohedge_Masks",
    "hard_exudate": "HardExudate_Masks",
    "soft_exudate": "SoftExudate_Masks",
    "irma": "IRMA_Masks",
    "neovascularisation": "Neovascularization_Masks",
}
"""Channel -> folder, spelt as the owners do. Of an eye without the lesion there may be no map."""

_SET: Final = "Seg-set"
"""The folder of the owners' archive that holds these."""

_NAME: Final = re.compile(r"\d+_(?P<batch>\d+)")
"""Photographs came in three batches, of other cameras and grades; the name's last number says which."""

_NOTES: Final = (
    DERIVED_FOV,
    "the grade is the median of the raters', the lower of two in the middle",
)


class FGADRReader(Reader):
    """``Original_Images/0001_1.png`` and a folder of maps for each lesion, with a table of grades beside them.

    The folder, or the archive's that holds it as ``Seg-set``. The table has a photograph's name and then a
    grade by each rater (the archive's own has one column, and no header). The name's last number is the group.
    """

    name = "fgadr"

    def matches(self, folder: Path) -> bool:
        root = _root(folder)
        return (root / _PHOTOS).is_dir() and any((root / name).is_dir() for name in _LESIONS.values())

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        root, notes = _root(folder), list(_NOTES)
        photos = by_stem(pictures_in(root / _PHOTOS, folder), problems)
        grades = _gradings(root, folder, problems, notes)
        samples = list(_samples(root, folder, photos, grades, problems))
        ungraded = sum(sample.grade is None for sample in samples)
        if ungraded:
            notes.append(f"{ungraded} of {len(samples)} photographs have no grade")
        if disputed := [sample.id for sample in samples if len(set(sample.gradings)) > 1]:
            named = ", ".join(disputed[:3]) + (" ..." if len(disputed) > 3 else "")
            notes.append(f"raters disagree on {len(disputed)} photographs ({named})")
        if missing := set(grades) - set(photos):
            notes.append(f"{len(missing)} rows of the table of grades have no photograph here")
        return Dataset(
            name="FGADR",
            reader=self.name,
            root=folder,
            samples=tuple(sorted(samples, key=lambda sample: sample.id)),
            channels=channels_in_use(samples, config),
            citation="Zhou et al. 2021, IEEE Trans. Med. Imaging 40(3):818-828",
            licence="its owners' terms: for non-commercial research, not to be handed on (csyizhou.github.io/FGADR)",
            notes=tuple(notes),
            repeats=True,
        )


def _root(folder: Path) -> Path:
    return folder / _SET if (folder / _SET / _PHOTOS).is_dir() else folder


def _gradings(root: Path, folder: Path, problems: list[str], notes: list[str]) -> dict[str, tuple[int, ...]]:
    """Photograph -> its raters' grades, from the one table beside the folders."""
    tables = sorted(entry for entry in root.iterdir() if entry.suffix.lower() == ".csv")
    if not tables:
        notes.append("there is no table of grades (.csv)")
        return {}
    table, *others = tables
    problems.extend(
        f"{shown(other.name)}: lies beside {shown(table.name)}; leave one of the tables out"
        for other in others
    )
    return {row.photo: row.grades for row in rater_grades(table, folder, problems)}


def _samples(
    root: Path,
    folder: Path,
    photos: dict[str, FilePicture],
    gradings: dict[str, tuple[int, ...]],
    problems: list[str],
) -> Iterator[Sample]:
    maps = {
        channel: by_stem(pictures_in(root / name, folder), problems)
        for channel, name in _LESIONS.items()
        if (root / name).is_dir()  # the whole folder missing: the lesion is not annotated
    }
    for eye, photo in photos.items():
        labels = {channel: found.pop(eye, None) for channel, found in maps.items()}
        match = _NAME.fullmatch(eye)
        yield Sample(
            id=eye,
            patient=eye,
            photo=photo,
            labels={channel: label and SmoothedMap(label.path, folder) for channel, label in labels.items()},
            fov_rule="derive",
            grade=median_grade(gradings.get(eye, ())),
            gradings=gradings.get(eye, ()),
            group=match["batch"] if match else None,
        )
    for found in maps.values():
        problems.extend(without_photo(found.values()))
