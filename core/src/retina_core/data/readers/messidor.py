"""Messidor and Messidor-2: photographs, 1,200 and 1,748, with grades where their table is there, and no maps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import DERIVED_FOV, Reader, by_stem, folders_in, picture_stem, pictures_in
from retina_core.data.readers.folder import LABEL_FOLDERS
from retina_core.data.readers.grade_table import named_grades, table_rows
from retina_core.data.readers.metadata import TABLES
from retina_core.data.sample import Dataset, Sample
from retina_core.names import shown

_NAME: Final = re.compile(r"\d{8}_\d{5}_\d{4}_PP", re.IGNORECASE)
"""A photograph of the original set, as ``20051019_38557_0100_PP.tif``; Messidor-2 has others beside them."""

_FOLDER: Final = re.compile(r"base ?\d\d|images", re.IGNORECASE)
"""Where photographs are: ``Base11`` to ``Base34``, Messidor-2's ``IMAGES``, or the folder itself."""

_SCALE: Final = 3
"""Messidor's own grades run from 0 to 3, by numbers of microaneurysms and haemorrhages; they are not ICDR's."""

_ORIGINAL: Final = ("image name", "retinopathy grade")
_ADJUDICATED: Final = (("image_id", "image", "id_code"), "adjudicated_dr_grade")
"""Columns of the table of grades (ICDR) for Messidor-2 by Krause et al. 2018, ``messidor_data.csv``."""

_PAIRS: Final = "messidor-2.csv"
"""Both eyes of each patient of Messidor-2, in a row."""


class MessidorReader(Reader):
    """``Base11/20051019_38557_0100_PP.tif`` ..., or ``IMAGES/``; tables of grades (``.csv``) beside them.

    Grades of the original set are on a scale of their own: they are the group that a split is stratified by,
    not the grade. Adjudicated grades of Messidor-2 are. No field of view is given; it is derived.
    """

    name = "messidor"

    def matches(self, folder: Path) -> bool:
        if any((folder / name).exists() for name in (*LABEL_FOLDERS, *TABLES)):
            return (
                False  # Messidor's photographs with maps that somebody drew: the layout of the reader folder
            )
        return _is_messidor(folder)

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        notes = [DERIVED_FOV]
        photos = by_stem(_photos(folder), problems) if _is_messidor(folder) else {}
        tables = _Tables.of(folder, problems, notes)
        samples = [
            Sample(
                id=eye,
                patient=tables.patients.get(eye, eye),
                photo=photo,
                fov_rule="derive",
                grade=tables.grades.get(eye),
                group=tables.groups.get(eye),
            )
            for eye, photo in photos.items()
        ]
        if tables.groups:
            notes.append(
                "Messidor's own grades, 0 to 3, are groups (R0 to R3) of the split; they are not ICDR's"
            )
        if not tables.patients:
            notes.append("whose eyes they are is not known: each photograph counts as a patient")
        return Dataset(
            name="Messidor",
            reader=self.name,
            root=folder,
            samples=tuple(sorted(samples, key=lambda sample: sample.id)),
            channels=(),
            citation="Decencière et al. 2014, Image Anal. Stereol. 33(3):231-234",
            licence="its owners' terms: for research and education, not to be handed on (adcis.net)",
            notes=tuple(notes),
            repeats=True,
        )


class _Tables(NamedTuple):
    """What the tables say, by the photographs' names."""

    grades: dict[str, int]
    """0 to 4 (ICDR)."""
    groups: dict[str, str]
    patients: dict[str, str]

    @classmethod
    def of(cls, folder: Path, problems: list[str], notes: list[str]) -> _Tables:
        found = cls({}, {}, {})
        for table in _tables(folder):
            header = next(table_rows(table, folder, []), None)
            columns = [cell.lower() for cell in header.cells] if header else []
            if table.name.lower() == _PAIRS:
                found.patients.update(_pairs(table, folder, problems))
            elif _ADJUDICATED[1] in columns:
                rows = named_grades(table, folder, problems, *_ADJUDICATED)
                found.grades.update({row.photo: row.grades[0] for row in rows if row.grades})
            elif _ORIGINAL[1] in columns:
                rows = named_grades(table, folder, problems, _ORIGINAL[:1], _ORIGINAL[1], most=_SCALE)
                found.groups.update({row.photo: f"R{row.grades[0]}" for row in rows if row.grades})
            else:
                notes.append(f"{shown(table.name)} is not read: it has no column of grades that is known")
        if sheets := [path.name for path in _files(folder) if path.suffix.lower() in {".xls", ".xlsx"}]:
            notes.append(f"{shown(sheets[0])} is not read: save it as CSV, with commas, to have its grades")
        return found


def _pairs(table: Path, folder: Path, problems: list[str]) -> dict[str, str]:
    """Photograph -> patient, called by the first of the two."""
    patients: dict[str, str] = {}
    for row in table_rows(table, folder, problems):
        eyes = [picture_stem(cell) for cell in re.split("[;,]", ",".join(row.cells)) if "." in cell]
        patients.update(dict.fromkeys(eyes, next(iter(eyes), "")))
    return patients


def _is_messidor(folder: Path) -> bool:
    """Whether a photograph has the original set's kind of name; the second set has others beside them."""
    return any(_NAME.fullmatch(photo.path.stem) for photo in _photos(folder))


def _photos(folder: Path) -> list[FilePicture]:
    places = [folder, *(place for place in folders_in(folder) if _FOLDER.fullmatch(place.name))]
    return [photo for place in places for photo in pictures_in(place, folder)]


def _files(folder: Path) -> list[Path]:
    """Files in the folder, and in the folders of photographs, that are not hidden."""
    places = [folder, *(place for place in folders_in(folder) if _FOLDER.fullmatch(place.name))]
    return sorted(
        path for place in places for path in place.iterdir() if path.name[0] != "." and path.is_file()
    )


def _tables(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if path.suffix.lower() == ".csv"]
