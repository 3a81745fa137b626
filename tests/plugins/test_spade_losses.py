"""SPADE's losses and its training step, each held against a second way to work them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from retina_core.perceptual import PerceptualFeatures
from retina_core.testing import tiny_eyes
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_spade.losses import (
    feature_distance,
    hinge_d_loss,
    hinge_g_loss,
    photo_distance,
    style_divergence,
)
from retina_spade.stage import SPADETranslator
from retina_spade.styles import StyleSpread

TINY = {
    "resolution": 32,
    "width": 4,
    "width_px": 32,
    "max_width": 8,
    "hidden": 4,
    "discriminator_width": 4,
    "latent": 4,
    "style_width": 4,
    "style_px": 16,
    "seen_images": 8,
    "batch_size": 4,
}
REAL, FAKE = [[-3.0, 0.0], [0.5, 20.0]], [[-20.0, 0.0], [2.0, 0.3]]


def findings(*logits: list[list[float]]) -> list[list[Tensor]]:
    """What as many judges find: one feature map, and the logits."""
    return [[torch.zeros(1, 2, 3, 3), torch.tensor(values)[None]] for values in logits]


def trained(folder: Path, **settings: Any) -> tuple[SPADETranslator, list[dict[str, float]]]:
    stage = fit(
        "spade",
        tiny_eyes(),
        folder,
        preset="quick",
        settings={**TINY, **settings},
        options=FitOptions(device="cpu"),
    )
    assert isinstance(stage, SPADETranslator)
    return stage, [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def test_the_hinge_asks_for_a_margin_of_one_on_either_side() -> None:
    real, fake = np.array(REAL), np.array(FAKE)
    expected = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    assert float(hinge_d_loss(findings(REAL), findings(FAKE))) == pytest.approx(expected)
    assert float(hinge_g_loss(findings(FAKE))) == pytest.approx(-fake.mean())


def test_judges_count_alike_however_many_there_are() -> None:
    assert float(hinge_d_loss(findings(REAL, REAL), findings(FAKE, FAKE))) == pytest.approx(
        float(hinge_d_loss(findings(REAL), findings(FAKE)))
    )
    assert float(hinge_g_loss(findings(FAKE, REAL))) == pytest.approx(
        -(np.array(FAKE).mean() + np.array(REAL).mean()) / 2, abs=1e-6
    )


def test_beyond_the_margin_a_judge_learns_nothing() -> None:
    logits = torch.tensor([[[1.5, 0.5]]], requires_grad=True)
    hinge_d_loss([[logits]], findings([[-2.0]])).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[[0.0, -0.5]]]


def test_feature_distance_is_a_sum_over_layers_and_a_mean_over_judges() -> None:
    real = [[torch.ones(1, 2, 4, 4), torch.zeros(1, 3, 2, 2), torch.zeros(1)] for _ in range(2)]
    fake = [[torch.zeros(1, 2, 4, 4), torch.full((1, 3, 2, 2), 0.5), torch.full((1,), 9.0)] for _ in range(2)]
    assert float(feature_distance(real, fake)) == pytest.approx(1.5)


def test_feature_distance_moves_the_painted_side_alone() -> None:
    real, fake = (torch.randn(1, 2, 4, 4, requires_grad=True) for _ in range(2))
    feature_distance([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None


def test_the_distance_is_the_mean_absolute_difference() -> None:
    painted, photo = torch.tensor([[0.5, -1.0, 1.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    assert float(photo_distance(painted, photo)) == pytest.approx((0.5 + 2.0 + 0.0) / 3)


def test_the_styles_divergence_is_torchs() -> None:
    mean, log_variance = torch.randn(3, 5), torch.randn(3, 5)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(style_divergence(StyleSpread(mean, log_variance)), expected)
    assert float(style_divergence(StyleSpread(torch.zeros(1, 4), torch.zeros(1, 4)))) == 0


def test_without_styles_there_is_no_such_loss_and_no_encoder(tmp_path: Path) -> None:
    stage, rows = trained(tmp_path / "stage", style="none")
    assert "style" not in rows[-1]
    assert stage.generator.encoder is None
    assert not stage.takes_style
    assert not [key for key in stage.generator.state_dict() if "style" in key or "encoder" in key]


def test_what_was_met_in_training_lies_in_the_folder(tmp_path: Path) -> None:
    stage, rows = trained(tmp_path / "stage", seen_images=16)
    assert stage.generator.encoder is not None
    assert stage.takes_style
    prior = stage.generator.encoder.prior
    assert float(prior.mean.abs().max()) > 0
    assert not torch.equal(prior.covariance, torch.eye(4))
    assert all(np.isfinite(list(row.values())).all() for row in rows)


@pytest.mark.parametrize(
    "settings", [{"norm": "batch"}, {"discriminators": 1}, {"discriminators": 3}, {"grain": False}]
)
def test_every_kind_trains(settings: dict[str, Any], tmp_path: Path) -> None:
    _, rows = trained(tmp_path / "stage", **settings)
    assert [row["seen_images"] for row in rows] == [4, 8]
    assert all(np.isfinite(row[name]) for row in rows for name in ("d", "g", "features", "l1", "style"))
    # A logit of 0 costs a judge one on either side.
    assert rows[0]["d"] == pytest.approx(2, abs=0.6)


class Greys(PerceptualFeatures):
    """Features to hold photographs against: their own grey."""

    facts = {"source": "greys"}

    def __call__(self, photos: Tensor) -> list[Tensor]:
        return [photos.mean(1, keepdim=True)]

    def factors(self, wanted: Any) -> list[float]:
        return [1.0]

    def move_to(self, device: torch.device | str) -> None:
        pass


def test_borrowed_features_are_a_loss_of_the_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SPADETranslator, "perceptual", Greys())
    _, rows = trained(tmp_path / "stage")
    assert all(0 < row["perceptual"] < 1 for row in rows)
