"""Every starter that a plugin ships: small, in half precision, whole, and made of nothing but the phantoms kept for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retina_core import DataConfig, Registry, load_stage, open_dataset
from retina_core.formats.stage_card import MODEL, is_complete, read_card, read_seen
from retina_core.specs import ROLES, StageSpec
from retina_core.starters import MOST_BYTES

REGISTRY = Registry.discover()
SPECS = [REGISTRY.stage(name, role) for role in ROLES for name in REGISTRY.names(role)]
SHIPPED = [spec for spec in SPECS if spec.starter and spec.role != "evaluator"]
SIZES_PX = (128, 256)
"""Sides of the phantoms that starters are trained on."""
GRADES = ((), (0, 1, 2, 3, 4))
"""Their grades: none, or all in turn."""


@pytest.fixture(params=SHIPPED, ids=[spec.name for spec in SHIPPED])
def spec(request: pytest.FixtureRequest) -> StageSpec:
    found: StageSpec = request.param
    return found


@pytest.fixture
def folder(spec: StageSpec) -> Path:
    found = REGISTRY.starter(spec)
    assert found is not None
    return found


def test_it_loads_as_the_stage_that_it_is_the_starter_of(spec: StageSpec, folder: Path) -> None:
    stage = load_stage(folder, role=spec.role, device="cpu")
    assert stage.name == spec.name
    assert "optic_disc" in stage.channels
    assert {"vessel", "hard_exudate"} & set(stage.channels)
    assert stage.resolution >= 128
    assert is_complete(folder)


def test_it_is_small_and_in_half_precision(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= MOST_BYTES
    kinds = {value.dtype for value in load_file(folder / MODEL).values() if value.is_floating_point()}
    assert kinds == {torch.float16}


def test_its_card_says_what_makes_it_and_names_no_place(folder: Path) -> None:
    told = read_card(folder).provenance
    assert told["made_by"] == "make starters"
    assert told["data"] == ["phantom"]
    assert "/" not in str(told["init"])


def test_it_saw_the_phantoms_that_are_kept_for_starters_and_no_others(folder: Path) -> None:
    seen = read_seen(folder)
    assert len(seen) == read_card(folder).provenance["samples"]
    kinds = [(px, grades) for px in SIZES_PX for grades in GRADES]
    assert any(prints(px, "starter", 3, grades) <= seen for px, grades in kinds)
    others = set().union(*(prints(px, "training", 12, grades) for px, grades in kinds))
    assert not others & seen


def prints(px: int, series: str, count: int, grades: tuple[int, ...]) -> set[str]:
    """Content hashes of the first phantoms of a series, for training and (but for starters) for testing."""
    settings = {
        "phantom_px": px,
        "phantom_count": max(count, 5),
        "phantom_series": series,
        "phantom_grades": grades,
    }
    config = DataConfig.resolve("data", "quick", settings)
    samples = open_dataset("phantom", config=config).samples[:count]
    return {sample.fingerprint for sample in samples}
