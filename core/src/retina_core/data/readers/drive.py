"""DRIVE: 40 photographs with vessels and fields of view, of the test half by two observers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import Reader, by_stem, channels_in_use, pictures_in, without_photo
from retina_core.data.sample import Dataset, Part, Sample

_HALVES: Final[Mapping[Part, str]] = {"train": "training", "test": "test"}
"""The official split, 20/20 (Staal et al. 2004)."""

_NAME: Final = re.compile(r"(?P<number>\d+)_(?:training|test|manual[12])(?:_mask)?", re.IGNORECASE)


class DRIVEReader(Reader):
    """``training/images/21_training.tif``, ``1st_manual/21_manual1.gif``, ``mask/21_training_mask.gif``.

    The half ``test`` is the same, with a second observer in ``2nd_manual``. Its vessels are no longer given
    out; where they are not there, its photographs are left out, and that is said.
    """

    name = "drive"

    def matches(self, folder: Path) -> bool:
        halves = [folder / name for name in _HALVES.values()]
        return any(
            (half / "images").is_dir() and ((half / "1st_manual").is_dir() or (half / "mask").is_dir())
            for half in halves
        )

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        samples: list[Sample] = []
        notes = []
        for half, name in _HALVES.items():
            if (folder / name).is_dir() and not (folder / name / "1st_manual").is_dir():
                notes.append(f"{name} comes without vessels (1st_manual); its photographs are left out")
            else:
                samples += _half(folder, half, problems)
        return Dataset(
            name="DRIVE",
            reader=self.name,
            root=folder,
            samples=tuple(sorted(samples, key=lambda sample: sample.id)),
            channels=channels_in_use(samples, config),
            citation="Staal et al. 2004, IEEE Trans. Med. Imaging 23(4):501-509",
            licence="its owners' terms: for research, not to be handed on (drive.grand-challenge.org)",
            notes=tuple(notes),
        )


def _half(root: Path, half: Part, problems: list[str]) -> Iterator[Sample]:
    folder = root / _HALVES[half]
    photos = by_stem(pictures_in(folder / "images", root), problems)
    vessels, second, fovs = (
        _by_number(pictures_in(folder / name, root), problems)
        for name in ("1st_manual", "2nd_manual", "mask")
    )
    for eye, photo in photos.items():
        number = _number(eye)
        vessel, fov, other = vessels.pop(number, None), fovs.pop(number, None), second.pop(number, None)
        if vessel is None:
            advice = f"add {folder.name}/1st_manual/{number}_manual1.gif or leave the photograph out"
            problems.append(f"{photo.name}: has no label; {advice}")
        elif fov is None:
            problems.append(f"{photo.name}: has no field of view; add {folder.name}/mask/{eye}_mask.gif")
        else:
            yield Sample(
                id=eye,
                patient=eye,
                photo=photo,
                labels={"vessel": vessel},
                fov=fov,
                fov_rule="given",
                official=half,
                observers={"observer2": {"vessel": other}} if other else {},
            )
    problems.extend(without_photo([*vessels.values(), *second.values(), *fovs.values()]))


def _by_number(pictures: list[FilePicture], problems: list[str]) -> dict[str, FilePicture]:
    return {_number(name): picture for name, picture in by_stem(pictures, problems).items()}


def _number(stem: str) -> str:
    """The photograph's number, which its maps' names begin with."""
    match = _NAME.fullmatch(stem)
    return match["number"] if match else stem
