"""Pairs of asked grades: what their rows, their maps and their set's card say; drawn again, a grade stays."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import graded_stages as tiny
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from retina_core import FitOptions, generate, open_dataset
from retina_core.errors import GradeError
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import read_card
from retina_core.roles import CALIBRATION_MAPS
from retina_core.stages import Priors

SHARES = {0: 0.5, 2: 0.25, 4: 0.25}
OPTIONS = FitOptions(device="cpu")


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, progress: Any) -> None:
        pass


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Finished stages: a graded generator, one that saw no grade, a plain one, and a translator."""
    return {
        "graded": tiny.saved(tmp_path / "graded", tiny.Graded, shares=SHARES),
        "ungraded": tiny.saved(tmp_path / "ungraded", tiny.Graded),
        "plain": tiny.saved(tmp_path / "plain", tiny.Plain, shares=SHARES),
        "translator": tiny.saved(tmp_path / "translator", tiny.Copyist),
    }


def pairs(
    folders: dict[str, Path], out: Path, *, labels: str = "graded", count: int = 12, **more: Any
) -> list[dict[str, Any]]:
    options = more.pop("options", OPTIONS)
    translator = folders["translator"]
    generate(
        folders[labels],
        translator,
        count=count,
        out=out,
        options=options,
        registry=tiny.registry(),
        **more,
    )
    return read_rows(out)


def lengths(out: Path, rows: list[dict[str, Any]]) -> list[int]:
    """How long the haemorrhage of each pair is: by ``tiny.Graded``, one more than its grade."""
    found = []
    for row in rows:
        with Image.open(out / row["haemorrhage_file_name"]) as picture:
            found.append(int(np.count_nonzero(np.asarray(picture))))
    return found


def test_every_row_has_the_grade_that_its_map_was_drawn_for(folders: dict[str, Path], tmp_path: Path) -> None:
    for wish in (None, "as-data", "uniform", 2):
        out = tmp_path / f"pairs-{wish}"
        rows = pairs(folders, out, grade=wish)
        assert [row["grade"] + 1 for row in rows] == lengths(out, rows)
        assert not any("grade_unseen" in row for row in rows)
    assert [row["grade"] for row in read_rows(tmp_path / "pairs-uniform")] == [0, 2, 4] * 4
    assert {row["grade"] for row in read_rows(tmp_path / "pairs-2")} == {2}
    assert set(Counter(row["grade"] for row in read_rows(tmp_path / "pairs-None"))) == set(SHARES)


def test_a_set_of_grades_is_read_with_its_grades(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = pairs(folders, tmp_path / "pairs", grade="uniform")
    assert [sample.grade for sample in open_dataset(tmp_path / "pairs")] == [row["grade"] for row in rows]


def test_a_pair_that_is_drawn_again_keeps_its_grade(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = pairs(folders, tmp_path / "pairs", count=16)
    assert sum(row["attempt"] > 0 for row in rows) > 2
    alone = pairs(folders, tmp_path / "alone", count=16, filters=())
    assert [row["grade"] for row in rows] == [row["grade"] for row in alone]
    assert not any(row["attempt"] for row in alone)


@pytest.mark.parametrize("wish", ["uniform", "as-data"])
def test_shards_agree_on_grades(wish: str, folders: dict[str, Path], tmp_path: Path) -> None:
    whole = pairs(folders, tmp_path / "whole", grade=wish)
    parts = [pairs(folders, tmp_path / f"{i}", grade=wish, shard=(i, 3)) for i in range(3)]
    merged = sorted((row for part in parts for row in part), key=lambda row: row["index"])
    assert merged == whole


def test_an_unseen_grade_is_marked_in_its_rows_and_on_the_card(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = pairs(folders, tmp_path / "pairs", count=10, grade="uniform", unseen_grade=True)
    assert [row["grade"] for row in rows] == [0, 1, 2, 3, 4] * 2
    assert [row.get("grade_unseen", False) for row in rows] == [False, True, False, True, False] * 2
    card = " ".join((tmp_path / "pairs/README.md").read_text().split())
    assert "Of grade 1 and 3 the label generator has seen no eye: such rows say `grade_unseen`" in card


def test_uniform_says_which_grades_are_missing(folders: dict[str, Path], tmp_path: Path) -> None:
    told = Told()
    pairs(folders, tmp_path / "pairs", grade="uniform", options=FitOptions(device="cpu", listener=told))
    assert [line for line in told.lines if "no training eye has grade 1 and 3" in line]


def test_the_end_says_how_many_draws_were_refused_before_and_after(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    told = Told()
    options = FitOptions(device="cpu", listener=told)
    rows = pairs(folders, tmp_path / "pairs", count=8, options=options)
    first = sum(bool(row["refused"]) for row in rows)
    (said,) = [line for line in told.lines if "filters refused" in line]
    assert f"refused {first} of 8 first draws ({first / 8:.1%}".replace("%", " %") in said
    assert "0 of those that are kept (0.0 %)" in said
    pairs(folders, tmp_path / "unfiltered", count=8, options=options, filters=())
    assert len([line for line in told.lines if "filters refused" in line]) == 1


@pytest.mark.parametrize(
    ("labels", "wish", "said"),
    [
        ("plain", 3, r"plain: it takes no grades; .*\(have: graded\)"),
        ("ungraded", "uniform", "graded: no sample that it learns from has a grade"),
        ("graded", 3, r"graded: no sample .* \(have: 0, 2, 4\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_any_work(
    labels: str, wish: Any, said: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(GradeError, match=said):
        pairs(folders, tmp_path / "pairs", labels=labels, grade=wish)
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize("labels", ["plain", "ungraded"])
def test_without_grades_a_set_is_the_request_and_the_rows_that_it_ever_was(
    labels: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """So that a set which was begun before there were grades goes on."""
    rows = pairs(folders, tmp_path / "pairs", labels=labels, count=3)
    cards = [read_card(folders[labels]), read_card(folders["translator"])]
    parts: list[object] = [[card.name, card.files] for card in cards]
    parts += [[3, 0, [0, 1]], ["filters", ["anatomy"]]]
    request = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert json.loads((tmp_path / "pairs/seen.json").read_text())["request"] == request
    columns = ("optic_disc_file_name", "haemorrhage_file_name", "fov_file_name", "index", "seed", "attempt")
    more = ("refused", "grade", "style", "labels_stage", "translator_stage", "phantom")
    assert list(rows[0]) == ["file_name", *columns, *more]
    assert [row["grade"] for row in rows] == [None] * 3


def test_another_grade_is_another_set(folders: dict[str, Path], tmp_path: Path) -> None:
    from retina_core.errors import SampleSetError

    pairs(folders, tmp_path / "pairs", grade=2)
    pairs(folders, tmp_path / "pairs", grade="2")
    with pytest.raises(SampleSetError, match="another request"):
        pairs(folders, tmp_path / "pairs", grade=4)


class Soft(tiny.Graded):  # type: ignore[misc]  # it is found at run time
    """Marks a part of its map that only its grade decides, and notes what it was asked for."""

    sharp = False
    asked: tuple[list[int] | None, ...] = ()

    def sample(self, rngs: Any, *, grades: Tensor | None = None) -> Tensor:
        self.asked = (*self.asked, None if grades is None else grades.tolist())
        maps = torch.zeros(len(rngs), 2, 16, 16)
        for one, grade in zip(maps, [0] * len(rngs) if grades is None else grades.tolist(), strict=True):
            one[1, : 4 * (grade // 4)] = 0.8
        return maps


@pytest.mark.parametrize("shares", [SHARES, {}])
def test_thresholds_are_matched_on_maps_of_the_training_set_s_grades(shares: dict[int, float]) -> None:
    stage = Soft(tiny.Config(), tiny.CHANNELS)
    fovs = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    stage.priors = Priors(fovs=fovs, shares={"optic_disc": 0.0, "haemorrhage": 0.0625}, grade_shares=shares)
    stage.calibrate((), 0)
    if not shares:
        assert stage.asked == (None,) * 4
        return
    grades = Counter(grade for batch in stage.asked for grade in batch or ())
    assert {grade: count / CALIBRATION_MAPS for grade, count in grades.items()} == SHARES
    assert stage.priors.thresholds["haemorrhage"] < 0.8
