"""HRF: 45 photographs of healthy eyes, diabetic retinopathy and glaucoma, with vessels and fields of view."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from retina_core.config import DataConfig
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.base import (
    Reader,
    by_stem,
    channels_in_use,
    pictures_in,
    without_photo,
)
from retina_core.data.sample import Dataset, Sample

_NAME: Final = re.compile(r"\d\d_(?P<group>h|dr|g)", re.IGNORECASE)


class HRFReader(Reader):
    """``images/01_h.jpg``, ``manual1/01_h.tif`` (vessels), ``mask/01_h_mask.tif`` (field of view).

    The name's end is the group: ``h`` healthy, ``dr`` diabetic retinopathy, ``g`` glaucoma. Each photograph
    is of another patient; there is no official split.
    """

    name = "hrf"

    def matches(self, folder: Path) -> bool:
        return (folder / "images").is_dir() and (folder / "manual1").is_dir()

    def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
        photos = by_stem(pictures_in(folder / "images", folder), problems)
        labels = by_stem(pictures_in(folder / "manual1", folder), problems)
        fovs = by_stem(pictures_in(folder / "mask", folder), problems)
        samples = []
        for eye, photo in photos.items():
            label, fov = labels.pop(eye, None), fovs.pop(f"{eye}_mask", None)
            if label is None:
                problems.append(
                    f"{photo.name}: has no label; add manual1/{eye}.tif or leave the photograph out"
                )
            elif fov is None:
                problems.append(f"{photo.name}: has no field of view; add mask/{eye}_mask.tif")
            else:
                samples.append(_sample(eye, photo, label, fov))
        problems.extend(without_photo([*labels.values(), *fovs.values()]))
        return Dataset(
            name="HRF",
            reader=self.name,
            root=folder,
            samples=tuple(samples),
            channels=channels_in_use(samples, config),
            citation="Budai et al. 2013, Int. J. Biomed. Imaging 2013:154860",
            licence="CC BY 4.0, Friedrich-Alexander-Universität Erlangen-Nürnberg",
        )


def _sample(eye: str, photo: FilePicture, label: FilePicture, fov: FilePicture) -> Sample:
    match = _NAME.fullmatch(eye)
    return Sample(
        id=eye,
        patient=eye,
        photo=photo,
        labels={"vessel": label},
        fov=fov,
        fov_rule="given",
        group=match["group"].lower() if match else None,
    )
