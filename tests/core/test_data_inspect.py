"""What ``retina data inspect`` tells, and its contact sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retina_core.config import DataConfig
from retina_core.data.contact_sheet import COLOURS, contact_sheet, tile
from retina_core.data.inspect import inspect_dataset
from retina_core.data.opening import open_dataset
from retina_core.errors import StorageError


def told(inspection: Any) -> dict[str, Any]:
    """What a program reads."""
    return json.loads(json.dumps(inspection.to_json(), allow_nan=False))


def test_a_sound_data_set(folders: Any, readers: Any) -> None:
    found = told(inspect_dataset(folders.chase(), registry=readers))
    assert (found["reader"], found["problems"], found["twins"]) == ("chase_db1", [], [])
    assert found["counts"]["samples"] == 8
    assert found["counts"]["patients"] == 4
    assert found["sizes"] == {"64x56": 8}
    assert found["observers"] == {"observer2": 8}
    assert found["split"]["test"] == ["Image_11L", "Image_11R", "Image_12L", "Image_12R"]
    [vessel] = found["channels"]
    assert (vessel["name"], vessel["marked"], vessel["empty"], vessel["absent"]) == ("vessel", 8, 0, 0)
    assert 0.02 < vessel["fov_share"] < 0.05
    assert found["citation"]
    assert found["licence"]


def test_channels_marked_empty_and_absent(folders: Any, readers: Any) -> None:
    root = folders.plain(channels=("cell", "wall"))
    (root / "labels" / "wall" / "2.png").unlink()
    folders.save(root / "labels" / "wall" / "3.png", folders.mask() * 0)
    cell, wall = told(inspect_dataset(root, registry=readers))["channels"]
    assert (cell["in_use"], cell["marked"]) == (True, 5)
    assert (wall["in_use"], wall["marked"], wall["empty"], wall["absent"]) == (False, 3, 1, 1)


def test_problems_are_collected_not_raised(folders: Any, readers: Any) -> None:
    root = folders.chase()
    (root / "Image_01L.jpg").write_text("x")
    (root / "Image_02R.jpg").write_bytes((root / "Image_02L.jpg").read_bytes())
    found = told(inspect_dataset(root, registry=readers))
    assert found["twins"] == [["Image_02L", "Image_02R"]]
    assert {line.split(":")[0] for line in found["problems"]} == {"Image_01L.jpg", "Image_02R.jpg"}
    assert found["counts"]["samples"] == 7


def test_what_cannot_be_split_is_a_problem(folders: Any, readers: Any) -> None:
    found = told(inspect_dataset(folders.plain(count=1), registry=readers))
    assert found["split"] == {}
    assert "leaves" in found["problems"][0]


def test_nothing_sound_is_still_told(folders: Any, readers: Any) -> None:
    root = folders.plain(count=1)
    (root / "images" / "0.png").write_text("x")
    found = told(inspect_dataset(root, registry=readers))
    assert found["counts"]["samples"] == 0
    assert len(found["problems"]) == 1


def test_phantoms_say_that_they_are(readers: Any) -> None:
    config = DataConfig(phantom_count=5, phantom_px=32)
    found = told(inspect_dataset("phantom", registry=readers, config=config))
    assert found["phantom"]
    assert found["sizes"] == {"32x32": 5}
    assert "no real eye" in found["notes"][0]
    assert all(channel["marked"] == 5 for channel in found["channels"])


def test_progress_is_told(folders: Any, readers: Any) -> None:
    steps: list[tuple[int, int]] = []
    inspect_dataset(folders.plain(), registry=readers, progress=lambda *step: steps.append(step))
    assert steps == [(done, 5) for done in range(1, 6)]


def test_the_contact_sheet_shows_outlines(folders: Any, readers: Any) -> None:
    dataset = open_dataset(folders.chase(), registry=readers)
    path = contact_sheet(dataset, folders.root / "out" / "sheet.png", count=5)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    assert (pixels == COLOURS[0]).all(axis=2).sum() > 100
    assert sorted(path.parent.iterdir()) == [path]


def test_a_tile_without_labels_is_the_photograph(folders: Any, readers: Any) -> None:
    dataset = open_dataset(folders.chase(), registry=readers)
    plain, drawn = tile(dataset.samples[0], ()), tile(dataset.samples[0], ("vessel",))
    assert plain.shape == drawn.shape
    changed = (plain != drawn).any(axis=2).mean()
    assert 0.001 < changed < 0.1


def test_a_sheet_that_cannot_be_written_is_a_clear_error(folders: Any, readers: Any) -> None:
    dataset = open_dataset(folders.chase(), registry=readers)
    (folders.root / "file").write_text("x")
    with pytest.raises(StorageError):
        contact_sheet(dataset, Path(folders.root / "file" / "sheet.png"))
