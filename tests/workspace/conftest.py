"""One tiny chain on made-up cell pictures, trained once for all tests of the whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retina_core import FitOptions, PipelineRequest, Registry, run_pipeline

TINY = {
    "labels": {
        "resolution": 32,
        "width": 8,
        "max_width": 16,
        "discriminator_width": 8,
        "seen_images": 64,
        "batch_size": 8,
    },
    "translator": {
        "resolution": 32,
        "width": 8,
        "max_width": 16,
        "discriminator_width": 8,
        "seen_images": 32,
        "batch_size": 4,
    },
    "unet": {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2, "seen_images": 64, "batch_size": 4},
}


def drawn_cells(folder: Path, count: int = 10, side: int = 48) -> Path:
    """Pale cells on grey, their outlines as the channel ``cell``, in the project's own layout; no field of view."""
    rows, columns = np.mgrid[:side, :side]
    for name in ("images", "labels/cell"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        cell = np.zeros((side, side), bool)
        for _ in range(4):
            y, x, r = [*rng.uniform(0.15, 0.85, 2).tolist(), rng.uniform(0.06, 0.14)]
            cell |= (rows / side - y) ** 2 + (columns / side - x) ** 2 < r**2
        photo = 90 + 70 * cell[:, :, None] + rng.normal(0, 8, (side, side, 3))
        Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(folder / f"images/{index:02d}.png")
        Image.fromarray((cell * 255).astype(np.uint8)).save(folder / f"labels/cell/{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def draw_cells() -> Callable[..., Path]:
    """As ``drawn_cells``."""
    return drawn_cells


@dataclass(frozen=True)
class Chain:
    """A finished run and what it was asked."""

    run: Path
    data: Path
    request: PipelineRequest


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """``dcgan``, ``pix2pix`` and ``unet`` on cells, in a few seconds."""
    root = tmp_path_factory.mktemp("chain")
    os.environ["RETINA_CACHE"] = str(root / "cache")
    data = drawn_cells(root / "cells")
    request = PipelineRequest(
        labels="dcgan",
        translator="pix2pix",
        evaluators=("unet",),
        data=str(data),
        preset="quick",
        count=12,
        seed=3,
        out=root / "run",
        settings=TINY,
    )
    run = run_pipeline(request, options=FitOptions(device="cpu"), registry=Registry.discover())
    return Chain(run, data, request)
