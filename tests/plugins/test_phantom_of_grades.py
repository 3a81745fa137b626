"""The stage ``phantom`` on eyes with lesions: the maps of an asked grade, and healthy ones as they ever were."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from retina_core import DataConfig, FitOptions, Registry, fit, load_stage, open_dataset, sample_rngs
from retina_core.phantom import CHANNELS, LESIONS
from retina_core.testing import DrawingContract
from retina_phantom import PhantomConfig, PhantomLabels

SHOWN = ("optic_disc", "haemorrhage", "hard_exudate")

HEALTHY = "23f84d2ef2f97973ed3e629091025d916269b6fc4772237329513c0f24e175c0"
"""SHA-256 of maps that were drawn by the code before it knew lesions."""


class TestPhantomOfGrades(DrawingContract):
    stage = "phantom"
    settings = {"resolution": 64}
    channels = ("vessel", "microaneurysm", "haemorrhage")


def phantom(channels: tuple[str, ...], resolution: int = 128) -> PhantomLabels:
    return PhantomLabels(PhantomConfig(resolution=resolution), channels)


def drawn(channels: tuple[str, ...], grade: int, count: int = 3) -> torch.Tensor:
    return phantom(channels).sample(sample_rngs(0, count), grades=torch.full((count,), grade))


def test_lesions_are_those_of_the_asked_grade() -> None:
    areas = [drawn(LESIONS, grade).sum((0, 2, 3)).tolist() for grade in range(5)]
    assert areas[0] == [0] * 5
    assert [place for place, area in enumerate(areas[1]) if area] == [0]
    assert areas[2][1] > 0
    assert areas[3][1] > areas[2][1]
    assert [grade for grade in range(5) if areas[grade][4]] == [4]


def test_a_grade_changes_nothing_but_lesions() -> None:
    healthy = phantom(CHANNELS).sample(sample_rngs(0, 2))
    for grade in (0, 3):
        assert torch.equal(drawn((*CHANNELS, *LESIONS), grade, 2)[:, : len(CHANNELS)], healthy)
        assert torch.equal(drawn(CHANNELS, grade, 2), healthy)


def test_healthy_maps_are_those_of_before_there_were_grades() -> None:
    maps = phantom(("vessel", "optic_disc"), 64).sample(sample_rngs(7, 3)).numpy() > 0
    assert hashlib.sha256(maps.tobytes()).hexdigest() == HEALTHY


def test_without_a_grade_the_generator_chooses_one_as_often_as_in_training() -> None:
    stage = phantom(LESIONS, 64)
    stage.priors.grade_shares = {1: 1.0}
    maps = stage.sample(sample_rngs(0, 6))
    assert maps[:, 0].any()
    assert not maps[:, 1:].any()
    stage.priors.grade_shares = {}
    lesions = stage.sample(sample_rngs(0, 12)).flatten(2).any(2)
    assert 0 < lesions[:, 1].sum() < 12


def test_made_from_phantoms_of_grades_it_knows_their_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    config = DataConfig.resolve(
        "data", "quick", {"phantom_grades": "0,3,3", "phantom_count": 8, "phantom_px": 64}
    )
    eyes = open_dataset("phantom", config=config)
    fit("phantom", eyes, tmp_path / "labels", options=FitOptions(device="cpu"))
    stage = load_stage(tmp_path / "labels", registry=Registry.discover())
    assert isinstance(stage, PhantomLabels)
    assert stage.shows_grades(stage.channels)
    assert set(stage.priors.grade_shares) == {0, 3}
    assert stage.priors.grade_shares[3] > stage.priors.grade_shares[0]
