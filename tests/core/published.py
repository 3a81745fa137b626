"""Made-up folders of published data sets, quirks included, small enough to write for every test."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def save_palette(path: Path, mask: Picture) -> None:
    """A map as IDRiD has them: a palette's indices 0 and 1, black and red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray((mask > 0).astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path, compression="tiff_lzw")


def idrid_segmentation(folders: Any, root: Path, eyes: Sequence[tuple[str, str]] | None = None) -> Path:
    """Part A: (half, eye) each, of which the first has no soft exudates and the last an RGBA map."""
    part = root / "A. Segmentation"
    halves = eyes or [("a. Training Set", f"IDRiD_{n:02}") for n in (1, 2, 3)] + [
        ("b. Testing Set", f"IDRiD_{n:02}") for n in (55, 56)
    ]
    names = ["1. Microaneurysms", "2. Haemorrhages", "3. Hard Exudates", "4. Soft Exudates", "5. Optic Disc"]
    for number, (half, eye) in enumerate(halves):
        folders.save(part / "1. Original Images" / half / f"{eye}.jpg", folders.photo())
        for name, ending in zip(names, ("MA", "HE", "EX", "SE", "OD"), strict=True):
            path = part / "2. All Segmentation Groundtruths" / half / name / f"{eye}_{ending}.tif"
            if ending == "EX" and number == len(halves) - 1:
                rgba = np.dstack([folders.mask(), *[folders.mask() * 0] * 2, folders.mask() * 0 + 255])
                folders.save(path, rgba)
            elif ending != "SE" or number:
                save_palette(path, folders.mask())
    return part


def idrid_grading(folders: Any, root: Path, counts: tuple[int, int] = (4, 2)) -> Path:
    """Part B: both halves begin with IDRiD_001; tables with a space in the header and empty columns."""
    part = root / "B. Disease Grading"
    tables = part / "2. Groundtruths"
    tables.mkdir(parents=True)
    for half, table, end, count in (
        ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv", "," * 9, counts[0]),
        ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv", "", counts[1]),
    ):
        rows = [f"Image name,Retinopathy grade,Risk of macular edema {end}"]
        for number in range(1, count + 1):
            folders.save(part / "1. Original Images" / half / f"IDRiD_{number:03}.jpg", folders.photo())
            rows.append(f"IDRiD_{number:03},{number % 5},0{end}")
        (tables / table).write_bytes("\r\n".join([*rows, ""]).encode())
    return part


def idrid(folders: Any) -> Path:
    """Both parts."""
    root = Path(folders.root / "IDRiD")
    idrid_segmentation(folders, root)
    idrid_grading(folders, root)
    return root


def drive(folders: Any, tested: bool = True) -> Path:
    """Both halves; the test half without its vessels where not ``tested``, as it is given out today."""
    root = Path(folders.root / "DRIVE")
    for half, numbers in {"training": ("21", "22", "23"), "test": ("01", "02")}.items():
        word = "training" if half == "training" else "test"
        for number in numbers:
            folders.save(root / half / "images" / f"{number}_{word}.tif", folders.photo())
            folders.save(
                root / half / "mask" / f"{number}_{word}_mask.gif", folders.disc().astype(np.uint8) * 255
            )
            if tested or half == "training":
                folders.save(root / half / "1st_manual" / f"{number}_manual1.gif", folders.mask())
            if tested and half == "test":
                second = np.roll(folders.mask(), 1, axis=0)
                folders.save(root / half / "2nd_manual" / f"{number}_manual2.gif", second)
    return root


def save_packed(path: Path, picture: Picture) -> None:
    """A PPM (h w 3) or PGM (h w), packed with gzip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = picture.shape[:2]
    kind = "P6" if picture.ndim == 3 else "P5"
    path.write_bytes(gzip.compress(f"{kind}\n{width} {height}\n255\n".encode() + picture.tobytes()))


def stare(folders: Any, packed: bool = True) -> Path:
    """Packed, each archive in a folder of its own; or unpacked, all in one."""
    root = Path(folders.root / "STARE")
    for number in (1, 2, 3, 4):
        eye, photo, second = f"im{number:04}", folders.photo(), np.roll(folders.mask(), 1, axis=0)
        if packed:
            save_packed(root / "stare-images" / f"{eye}.ppm.gz", photo)
            save_packed(root / "labels-ah" / f"{eye}.ah.ppm.gz", folders.mask())
            save_packed(root / "labels-vk" / f"{eye}.vk.ppm.gz", second)
        else:
            folders.save(root / f"{eye}.ppm", photo)
            folders.save(root / f"{eye}.ah.ppm", folders.mask())
            folders.save(root / f"{eye}.vk.ppm", second)
    return root


FGADR_MASKS = (
    "HardExudate_Masks",
    "Hemohedge_Masks",
    "Microaneurysms_Masks",
    "SoftExudate_Masks",
    "IRMA_Masks",
    "Neovascularization_Masks",
)


def fgadr(folders: Any, table: str | None = None, inside: str = "") -> Path:
    """Five eyes, without maps of new vessels but for the last; ``inside`` the archive's folder, maybe."""
    root = Path(folders.root / "FGADR")
    eyes = ["0001_1", "0002_1", "0003_2", "0004_3", "0005_3"]
    for eye in eyes:
        folders.save(root / inside / "Original_Images" / f"{eye}.png", folders.photo())
        for name in FGADR_MASKS:
            if name != "Neovascularization_Masks" or eye == eyes[-1]:
                folders.save(root / inside / name / f"{eye}.png", folders.mask())
    rows = "".join(f"{eye}.png,{number}\n" for number, eye in enumerate(eyes))
    (root / inside / "DR_Seg_Grading_Label.csv").write_text(rows if table is None else table)
    return root


def messidor(folders: Any) -> Path:
    """The original set: two of its twelve folders, one with its table as a sheet only."""
    root = Path(folders.root / "Messidor")
    rows = ["Image name,Ophthalmologic department,Retinopathy grade,Risk of macular edema "]
    for number in range(4):
        name = f"20051019_3855{number}_0100_PP.tif"
        folders.save(root / "Base11" / name, folders.photo())
        folders.save(root / "Base12" / f"20051020_4380{number}_0100_PP.tif", folders.photo())
        rows.append(f"{name},Service Ophtalmologie Lariboisiere,{number},0")
    (root / "Base11" / "Annotation_Base11.csv").write_text("\n".join(rows) + "\n")
    (root / "Base12" / "Annotation_Base12.xls").write_bytes(b"\xd0\xcf\x11\xe0 no table that is read")
    return root


def messidor_2(folders: Any) -> Path:
    """The second set: eyes in pairs, with their table, and grades by others."""
    root = Path(folders.root / "Messidor-2")
    names = [
        "20051020_44283_0100_PP.png",
        "20051020_44349_0100_PP.png",
        "IM000001.JPG",
        "IM000002.JPG",
    ]
    for name in names:
        folders.save(root / "IMAGES" / name, folders.photo())
    (root / "messidor-2.csv").write_text(f"left;right\n{names[0]};{names[1]}\n{names[2]};{names[3]}\n")
    rows = "".join(f"{name},{grade},0,1\n" for grade, name in enumerate(names))
    header = "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
    (root / "messidor_data.csv").write_text(header + rows)
    return root


LAYOUTS: dict[str, Callable[[Any], Path]] = {
    "idrid": idrid,
    "drive": drive,
    "stare": stare,
    "fgadr": fgadr,
    "messidor": messidor,
}
"""Reader -> a folder that it knows."""
