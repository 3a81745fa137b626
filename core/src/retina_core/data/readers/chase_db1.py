"""CHASE_DB1: 28 photographs of both eyes of 14 children, with the vessels by two observers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import DERIVED_FOV, Reader, channels_in_use, pictures_in, without_photo
from retina_core.data.sample import Dataset, Sample

_NAME: Final = re.compile(r"(?P<eye>Image_(?P<patient>\d\d)[LR])(?P<kind>|_1stHO|_2ndHO)", re.IGNORECASE)

_LAST_TRAINING_PATIENT: Final = 10
"""The first 20 photographs train and the last 8 test (Fraz et al. 2012, IEEE Trans. Biomed. Eng. 59:2538)."""


class ChaseDB1Reader(Reader):
    """A flat folder: ``Image_01L.jpg``, ``Image_01L_1stHO.png`` (the truth), ``Image_01L_2ndHO.png``.

    No field of view is given; it is derived from the photograph.
    """

    name = "chase_db1"

    def matches(self, folder: Path) -> bool:
        return any(_NAME.fullmatch(picture.path.stem) for picture in pictures_in(folder, folder))

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        eyes: dict[str, dict[str, FilePicture]] = {}
        for picture in pictures_in(folder, folder):
            if match := _NAME.fullmatch(picture.path.stem):
                eyes.setdefault(match["eye"], {})[match["kind"].lower()] = picture
        samples = [sample for eye, files in eyes.items() if (sample := _sample(eye, files, problems))]
        return Dataset(
            name="CHASE_DB1",
            reader=self.name,
            root=folder,
            samples=tuple(samples),
            channels=channels_in_use(samples, config),
            citation="Fraz et al. 2012, IEEE Trans. Biomed. Eng. 59(9):2538-2548",
            licence="CC BY 4.0, Kingston University, researchdata.kingston.ac.uk/96",
            notes=(DERIVED_FOV,),
        )


def _sample(eye: str, files: dict[str, FilePicture], problems: list[str]) -> Sample | None:
    photo, truth, second = files.get(""), files.get("_1stho"), files.get("_2ndho")
    if photo is None:
        problems.extend(without_photo(label for label in (truth, second) if label))
        return None
    if truth is None:
        problems.append(f"{photo.name}: has no label; add {eye}_1stHO.png or leave the photograph out")
        return None
    patient = eye[len("Image_") : -1]
    return Sample(
        id=eye,
        patient=patient,
        photo=photo,
        labels={"vessel": truth},
        fov_rule="derive",
        official="train" if int(patient) <= _LAST_TRAINING_PATIENT else "test",
        observers={"observer2": {"vessel": second}} if second else {},
    )
