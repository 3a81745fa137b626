"""Which filters look at a pair, what they are shown, and who finds the vessels that label maps lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import graded_stages as tiny
import numpy as np
import pytest

from retina_core import FitOptions, generate
from retina_core.api import FilterSpec
from retina_core.errors import ChannelError, StageFolderError, UnknownStageError, WrongRoleError
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import read_seen
from retina_core.screening import Screen
from retina_core.vessel_finder import VesselFinder

OPTIONS = FitOptions(device="cpu")
PHOTO = np.full((16, 16, 3), 200, np.uint8)
FOV = np.ones((16, 16), bool)
SEEN = "b" * 64


def screen(**filters: Any) -> Screen:
    return Screen(filters, dict.fromkeys(filters, "its-plugin"))


def test_a_filter_is_shown_what_its_parameters_ask_for() -> None:
    shown: dict[str, Any] = {}

    def two(labels: Any, photo: Any) -> None:
        shown["two"] = (labels, photo)

    def named_otherwise(fov: Any, vessels: Any) -> None:
        shown["named_otherwise"] = (fov, vessels)

    def three(labels: Any, photo: Any, fov: Any) -> None:
        shown["three"] = fov

    def keywords(labels: Any, photo: Any, *, vessels: Any, fov: Any) -> None:
        shown["keywords"] = (fov, vessels)

    def optional(labels: Any, photo: Any, strictness: int = 3, **more: Any) -> None:
        shown["optional"] = (strictness, more)

    labels = {"cell": FOV}
    filters = {f.__name__: f for f in (two, named_otherwise, three, keywords, optional)}
    assert screen(**filters).reason(labels, PHOTO, FOV) is None
    assert shown["two"] == shown["named_otherwise"] == (labels, PHOTO)
    assert shown["three"] is FOV
    assert shown["keywords"] == (FOV, None)
    assert shown["optional"] == (3, {})


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Finished stages: a generator, a translator and segmenters."""
    return {
        "labels": tiny.saved(tmp_path / "labels", tiny.Plain),
        "translator": tiny.saved(tmp_path / "translator", tiny.Copyist),
        "finder": tiny.saved(tmp_path / "finder", tiny.Finder, ("vessel",), seen=[SEEN]),
        "strict": tiny.saved(tmp_path / "strict", tiny.Finder, ("vein",), thresholds={"vein": 0.7}),
        "lesions": tiny.saved(tmp_path / "lesions", tiny.Finder, ("haemorrhage",)),
    }


def pairs(
    folders: dict[str, Path], out: Path, filters_of_plugins: Any = (), **more: Any
) -> list[dict[str, Any]]:
    registry = tiny.registry(*filters_of_plugins)
    stages = (folders["labels"], folders["translator"])
    generate(*stages, count=8, out=out, options=OPTIONS, registry=registry, **more)
    return read_rows(out)


def test_filters_are_chosen_by_name_or_switched_off(folders: dict[str, Path], tmp_path: Path) -> None:
    mine = [FilterSpec("mine", "test_filters_chosen_mine:accept", "Made up by a test.")]
    everything = pairs(folders, tmp_path / "all")
    assert any(row["attempt"] for row in everything)
    assert not any("filters" in row for row in everything)
    none = pairs(folders, tmp_path / "none", filters=())
    assert not any(row["attempt"] or row["refused"] for row in none)
    assert {tuple(row["filters"]) for row in none} == {()}
    assert "looked at each pair: none (not asked: anatomy)" in (tmp_path / "none/README.md").read_text()
    same = pairs(folders, tmp_path / "same", filters=["anatomy"])
    assert same == everything
    alone = pairs(folders, tmp_path / "alone", mine, filters=["anatomy"])
    assert {tuple(row["filters"]) for row in alone} == {("anatomy",)}


def test_a_filter_that_is_not_there_is_refused_with_the_nearest_one(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(
        UnknownStageError, match=r"no filter is called 'anatomi' \(have: anatomy\); did you mean"
    ):
        pairs(folders, tmp_path / "pairs", filters=["anatomi"])
    assert not (tmp_path / "pairs").exists()


def test_vessels_that_a_segmenter_finds_must_reach_the_disc(folders: dict[str, Path], tmp_path: Path) -> None:
    """The tiny one finds vessels in the right half alone, and the discs lie in the left one."""
    rows = pairs(folders, tmp_path / "pairs", vessels=folders["finder"])
    assert {row["refused"][-1] for row in rows if len(row["refused"]) > row["attempt"]} <= {
        "anatomy: no vessel reaches the optic_disc",
        "anatomy: 2 pieces of optic_disc",
    }
    assert all(len(row["refused"]) == row["attempt"] + 1 for row in rows)
    assert {row["vessels_stage"]["name"] for row in rows} == {"finder"}
    card = " ".join((tmp_path / "pairs/README.md").read_text().split())
    assert "found on each photograph by finder" in card
    assert "not checked" not in card


def test_the_segmenter_s_own_threshold_says_what_is_a_vessel(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    kept = pairs(folders, tmp_path / "pairs", vessels=folders["strict"])
    assert not any("vessel" in reason for row in kept for reason in row["refused"])


def test_without_a_segmenter_the_card_says_what_was_not_checked(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = pairs(folders, tmp_path / "pairs")
    assert not any("vessels_stage" in row for row in rows)
    assert "Whether vessels reach the optic disc was not checked" in " ".join(
        (tmp_path / "pairs/README.md").read_text().split()
    )


def test_what_the_segmenter_has_seen_had_a_part_in_the_set(folders: dict[str, Path], tmp_path: Path) -> None:
    pairs(folders, tmp_path / "pairs", vessels=folders["finder"])
    pairs(folders, tmp_path / "unasked", vessels=folders["finder"], filters=())
    assert SEEN in read_seen(tmp_path / "pairs")
    assert SEEN not in read_seen(tmp_path / "unasked")


def test_a_generator_of_vessels_needs_no_segmenter(tmp_path: Path) -> None:
    stages = {
        "labels": tiny.saved(tmp_path / "labels", tiny.Plain, ("optic_disc", "vessel")),
        "translator": tiny.saved(tmp_path / "translator", tiny.Copyist, ("vessel",)),
    }
    finder = tiny.saved(tmp_path / "finder", tiny.Finder, ("vessel",), seen=[SEEN])
    without, given = pairs(stages, tmp_path / "a"), pairs(stages, tmp_path / "b", vessels=finder)
    assert without == given
    assert SEEN not in read_seen(tmp_path / "b")
    assert (tmp_path / "a/seen.json").read_text() == (tmp_path / "b/seen.json").read_text()
    assert "not checked" not in (tmp_path / "a/README.md").read_text()


def test_a_folder_that_finds_no_vessels_is_refused_before_any_work(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    wrong = {
        "translator": (WrongRoleError, "is an image-translator, not a segmenter"),
        "lesions": (ChannelError, r"--vessels needs the channel\(s\) vessel.*has: haemorrhage"),
        "nowhere": (StageFolderError, "there is no config.json"),
    }
    folders["nowhere"] = tmp_path / "nowhere"
    for name, (kind, said) in wrong.items():
        with pytest.raises(kind, match=said):
            pairs(folders, tmp_path / "pairs", vessels=folders[name])
    assert not (tmp_path / "pairs").exists()


def test_vessels_are_found_inside_the_field_of_view_at_any_size(folders: dict[str, Path]) -> None:
    finder = VesselFinder.load(folders["finder"], tiny.registry(), "cpu")
    fov = np.zeros((40, 40), bool)
    fov[10:30] = True
    found = finder.find(np.full((40, 40, 3), 128, np.uint8), fov)
    assert found.shape == (40, 40)
    assert not found[~fov].any()
    assert found[12:28, 22:].all()
    assert not found[:, :18].any()


def test_the_request_of_a_set_knows_the_segmenter(folders: dict[str, Path], tmp_path: Path) -> None:
    for name, more in {"a": {}, "b": {"vessels": folders["finder"]}, "c": {"filters": ()}}.items():
        pairs(folders, tmp_path / name, **more)
    requests = {json.loads((tmp_path / name / "seen.json").read_text())["request"] for name in "abc"}
    assert len(requests) == 3
