"""Phantom eyes as a data set on disk, in the layout that the reader ``folder`` knows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.errors import PathError
from retina_core.formats.atomic import replacing_folder
from retina_core.phantom import (
    CHANNELS,
    LESIONS,
    LESIONS_VERSION,
    PHANTOM_VERSION,
    PhantomEye,
    dealt_grade,
    phantom_eye,
)

README = """# Phantom eyes

**No real eye is shown here.** These {count} photographs of {image_px} px and their label maps were drawn by a program
(retina, phantom version {version}, seed {seed}). They are for first runs, tests and pretraining, and say nothing about
any patient.

- `images/`: photographs
- `labels/<channel>/`: exact label maps, 0 and 255 ({channels})
- `fov/`: what the camera would have filled, 0 and 255
- `metadata.jsonl`: one row for each eye{grades}

The same command makes the same files: `retina data phantom --count {count} --size {image_px} --seed {seed}{option}`.
"""

GRADES_IN_README = """, with its grade of diabetic retinopathy (ICDR, 0 to 4)

Maps of lesions are there where some eye has them; an eye whose map is black has none of them."""


def write_phantom_set(
    out: Path,
    count: int,
    image_px: int,
    seed: int = 0,
    *,
    grades: Sequence[int] = (),
    told: Callable[[int], None] | None = None,
) -> None:
    """Write eyes 0 to ``count`` - 1 of ``seed`` to a new folder, which appears when it is complete.

    Args:
        out: the folder; it must not hold anything yet.
        count: eyes.
        image_px: side of a photograph in pixels, at least 16.
        seed: the same seed, the same eyes.
        grades: of retinopathy, 0 to 4, dealt out in turn from the highest on; none: healthy eyes without a grade.
        told: called with the number of eyes drawn so far.

    Raises:
        PathError: the folder holds something, or its place is a file.
        StorageError: it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PathError(out, "is there already and not empty", "choose another --out, or remove it first")
    with replacing_folder(out.absolute()) as folder:
        rows, found = [], set(CHANNELS)
        for index in range(count):
            eye = phantom_eye(seed, index, image_px, dealt_grade(grades, index))
            found |= {channel for channel, mask in eye.labels.items() if mask.any()}
            rows.append(_write_eye(folder, eye, seed, index))
            if told:
                told(index + 1)
        _remove_never_marked(folder, rows, [lesion for lesion in LESIONS if grades and lesion not in found])
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
        channels = [channel for channel in (*CHANNELS, *LESIONS) if channel in found]
        _write_readme(folder, count, image_px, seed, grades, channels)


def _write_readme(
    folder: Path, count: int, image_px: int, seed: int, grades: Sequence[int], channels: Sequence[str]
) -> None:
    card = README.format(
        count=count,
        image_px=image_px,
        version=PHANTOM_VERSION,
        seed=seed,
        channels=", ".join(channels),
        grades=GRADES_IN_README if grades else "",
        option=f" --grade {','.join(map(str, grades))}" if grades else "",
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _write_eye(folder: Path, eye: PhantomEye, seed: int, index: int) -> dict[str, Any]:
    """Write one eye's pictures; gives its row of ``metadata.jsonl``."""
    file = f"{index:06}.png"
    maps = {f"{channel}_file_name": f"labels/{channel}/{file}" for channel in eye.labels}
    row: dict[str, Any] = {"file_name": f"images/{file}", **maps, "fov_file_name": f"fov/{file}"}
    _write_png(folder / row["file_name"], eye.photo)
    _write_png(folder / row["fov_file_name"], eye.fov * np.uint8(255))
    for channel, mask in eye.labels.items():
        _write_png(folder / row[f"{channel}_file_name"], mask * np.uint8(255))
    origin = {"seed": seed, "index": index, "eye": eye.side, "phantom_version": PHANTOM_VERSION}
    graded = {} if eye.grade is None else {"grade": eye.grade, "lesions_version": LESIONS_VERSION}
    return {**row, **graded, **origin, "phantom": True}


def _remove_never_marked(folder: Path, rows: list[dict[str, Any]], lesions: Sequence[str]) -> None:
    """Take away the maps of lesions that no eye has: a channel that is empty everywhere teaches nothing."""
    for lesion in lesions:
        shutil.rmtree(folder / "labels" / lesion)
        for row in rows:
            del row[f"{lesion}_file_name"]


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
