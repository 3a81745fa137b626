"""Made-up folders of each layout, small enough to write for every test."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.readers.chase_db1 import ChaseDB1Reader
from retina_core.data.readers.drive import DRIVEReader
from retina_core.data.readers.fgadr import FGADRReader
from retina_core.data.readers.folder import FolderReader
from retina_core.data.readers.hrf import HRFReader
from retina_core.data.readers.idrid import IDRiDReader
from retina_core.data.readers.messidor import MessidorReader
from retina_core.data.readers.phantom import PhantomReader
from retina_core.data.readers.stare import STAREReader
from retina_core.specs import ReaderSpec

Picture = NDArray[np.uint8]


class CoreReaders:
    """The readers that come with the core, and no plugin that may be installed."""

    known: ClassVar = {
        reader.name: reader
        for reader in (
            ChaseDB1Reader,
            DRIVEReader,
            FGADRReader,
            FolderReader,
            HRFReader,
            IDRiDReader,
            MessidorReader,
            PhantomReader,
            STAREReader,
        )
    }

    def readers(self) -> tuple[ReaderSpec, ...]:
        return tuple(
            ReaderSpec(name, f"{cls.__module__}:{cls.__name__}", "") for name, cls in self.known.items()
        )

    def reader_class(self, spec: ReaderSpec) -> type:
        return self.known[spec.name]


class FolderMaker:
    """Writes data sets of made-up eyes: a bright disc on black, with a bright blob and a line as its labels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.drawn = 0

    def photo(self, width: int = 64, height: int = 56) -> Picture:
        """A photograph (h w 3) unlike any that was drawn before."""
        self.drawn += 1
        noise = np.random.default_rng(self.drawn).integers(80, 200, (height, width, 3), dtype=np.uint8)
        return np.where(self.disc(width, height)[:, :, None], noise, 0).astype(np.uint8)

    @staticmethod
    def disc(width: int = 64, height: int = 56) -> NDArray[np.bool_]:
        """The field of view (h w)."""
        y, x = np.mgrid[:height, :width]
        middle_x, middle_y, radius = (width - 1) / 2, (height - 1) / 2, min(width, height) / 2 - 3
        return np.hypot(x - middle_x, y - middle_y) <= radius

    @staticmethod
    def mask(width: int = 64, height: int = 56) -> Picture:
        """A label map (h w) of 0 and 255."""
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 2 : height // 2 + 4, width // 4 : width // 2] = 255
        return mask

    @staticmethod
    def save(path: Path, picture: Picture) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        return path

    def chase(self, patients: Iterable[int] = (1, 2, 11, 12)) -> Path:
        """CHASE_DB1's layout."""
        root = self.root / "chase"
        for patient in patients:
            for side in "LR":
                eye = f"Image_{patient:02}{side}"
                self.save(root / f"{eye}.jpg", self.photo())
                self.save(root / f"{eye}_1stHO.png", self.mask())
                self.save(root / f"{eye}_2ndHO.png", np.roll(self.mask(), 1, axis=0))
        return root

    def hrf(self, eyes: Sequence[str] = ("01_h", "02_h", "01_dr", "02_dr", "01_g", "02_g")) -> Path:
        """HRF's layout, its RGB masks and mixed endings included."""
        root = self.root / "hrf"
        for eye in eyes:
            ending = "JPG" if eye.endswith("dr") else "jpg"
            self.save(root / "images" / f"{eye}.{ending}", self.photo())
            self.save(root / "manual1" / f"{eye}.tif", self.mask())
            fov = self.disc().astype(np.uint8) * 255
            self.save(root / "mask" / f"{eye}_mask.tif", np.repeat(fov[:, :, None], 3, axis=2))
        return root

    def plain(self, count: int = 5, channels: Sequence[str] = ("cell",), name: str = "cells") -> Path:
        """Our own layout."""
        root = self.root / name
        for number in range(count):
            self.save(root / "images" / f"{number}.png", self.photo())
            for channel in channels:
                self.save(root / "labels" / channel / f"{number}.png", self.mask())
        return root

    @staticmethod
    def write_table(root: Path, rows: Iterable[object]) -> Path:
        """``metadata.jsonl`` with these rows."""
        table = root / "metadata.jsonl"
        table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return table


@pytest.fixture
def folders(tmp_path: Path) -> FolderMaker:
    return FolderMaker(tmp_path)


@pytest.fixture
def readers() -> CoreReaders:
    return CoreReaders()


_spec = importlib.util.spec_from_file_location("published", Path(__file__).with_name("published.py"))
assert _spec is not None
assert _spec.loader is not None
_published = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_published)


# Under its name too: a registry finds the classes of a stage by the name of their module.
_spec = importlib.util.spec_from_file_location("graded_stages", Path(__file__).with_name("graded_stages.py"))
assert _spec is not None
assert _spec.loader is not None
sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_spec.name])


@pytest.fixture
def published() -> ModuleType:
    """Layouts of published data sets, made up."""
    return _published


@pytest.fixture
def real_data() -> Path:
    """The folder that ``RETINA_DATA`` names; tests that need it are skipped without."""
    folder = os.environ.get("RETINA_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RETINA_DATA does not name a folder of real photographs")
    return Path(folder)
