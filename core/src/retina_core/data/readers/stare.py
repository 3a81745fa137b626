"""STARE: 20 photographs with the vessels by two observers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import DERIVED_FOV, Reader, channels_in_use, folders_in, without_photo
from retina_core.data.sample import Dataset, Sample

_NAME: Final = re.compile(r"(?P<eye>im\d{4})(?:\.(?P<observer>ah|vk))?\.ppm(?:\.gz)?", re.IGNORECASE)


class STAREReader(Reader):
    """``im0001.ppm``, ``im0001.ah.ppm`` (the truth), ``im0001.vk.ppm`` (second observer), or packed: ``.ppm.gz``.

    All in the folder, or in folders directly in it, as the owner's archives are unpacked. No field of view is
    given; it is derived from the photograph. There is no official split.
    """

    name = "stare"

    def matches(self, folder: Path) -> bool:
        return any(match["observer"] for _, match in _files(folder))

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        eyes: dict[str, dict[str, FilePicture]] = {}
        for path, match in _files(folder):
            picture = FilePicture(path, folder)
            files = eyes.setdefault(match["eye"].lower(), {})
            first = files.setdefault((match["observer"] or "").lower(), picture)
            if first is not picture:
                problems.append(f"{picture.name}: is there as {first.name} too; leave one out")
        samples = [sample for eye, files in sorted(eyes.items()) if (sample := _sample(eye, files, problems))]
        return Dataset(
            name="STARE",
            reader=self.name,
            root=folder,
            samples=tuple(samples),
            channels=channels_in_use(samples, config),
            citation="Hoover, Kouznetsova, Goldbaum 2000, IEEE Trans. Med. Imaging 19(3):203-210",
            licence="its owners give none (cecas.clemson.edu/~ahoover/stare)",
            notes=(DERIVED_FOV,),
        )


def _files(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """STARE's files in the folder and in the folders directly in it, by name."""
    paths = [path for each in (folder, *folders_in(folder)) for path in sorted(each.iterdir())]
    return [(path, match) for path in paths if (match := _NAME.fullmatch(path.name))]


def _sample(eye: str, files: dict[str, FilePicture], problems: list[str]) -> Sample | None:
    photo, truth, second = files.get(""), files.get("ah"), files.get("vk")
    if photo is None:
        problems.extend(without_photo(label for label in (truth, second) if label))
        return None
    if truth is None:
        problems.append(f"{photo.name}: has no label; add {eye}.ah.ppm or leave the photograph out")
        return None
    return Sample(
        id=eye,
        patient=eye,
        photo=photo,
        labels={"vessel": truth},
        fov_rule="derive",
        observers={"observer2": {"vessel": second}} if second else {},
    )
