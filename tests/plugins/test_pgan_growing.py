"""``pgan`` while it grows: when, in what batches, what it draws meanwhile, and that a stop changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from retina_core.errors import InvalidValueError
from retina_core.formats.stage_folder import load_stage
from retina_core.formats.tree import load_tree
from retina_core.randomness import sample_rngs
from retina_core.testing import tiny_eyes
from retina_core.testing.learning import StopAt, StoppedError
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_pgan import PGANConfig, PGANLabels
from retina_pgan.growth import growth_at
from retina_pgan.network import Growth

TINY = {
    "resolution": 32,
    "first_px": 8,
    "width": 4,
    "max_width": 8,
    "latent": 8,
    "batch_size": 4,
    "largest_batch": 4,
}
CHANNELS = ("vessel", "optic_disc")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def config(preset: str = "quick", **values: Any) -> PGANConfig:
    return PGANConfig.resolve("pgan", preset, values)


def tiny(channels: Sequence[str] = CHANNELS, **values: Any) -> PGANLabels:
    torch.manual_seed(0)
    return PGANLabels(config(**{**TINY, **values}), channels)


def learn(
    out: Path,
    channels: Sequence[str] = CHANNELS,
    init: Path | None = None,
    listener: Any = None,
    **values: Any,
) -> PGANLabels:
    told = {"listener": listener} if listener else {}
    stage = fit(
        "pgan",
        tiny_eyes(channels=channels),
        out,
        preset="quick",
        settings={**TINY, **values},
        init=init,
        options=FitOptions(device="cpu", **told),
    )
    assert isinstance(stage, PGANLabels)
    return stage


def weights(stage: PGANLabels) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in stage.networks().items()
        for key, value in network.state_dict().items()
    }


def test_the_paper_grows_by_600000_images_at_a_time() -> None:
    paper = config("paper")
    assert growth_at(paper, 0) == growth_at(paper, 599_999) == Growth(4)
    assert growth_at(paper, 600_000) == Growth(8, 0.0)
    assert growth_at(paper, 750_000) == Growth(8, 0.25)
    assert growth_at(paper, 1_200_000) == growth_at(paper, 1_799_999) == Growth(8)
    assert growth_at(paper, 9_300_000) == Growth(1024, 0.5)
    assert growth_at(paper, 9_600_000) == growth_at(paper, 11_999_999) == Growth(1024)


def test_batches_shrink_where_maps_are_fine() -> None:
    with torch.device("meta"):  # 46 million weights that nobody needs to draw
        stage = PGANLabels(config("paper"), ("vessel",))
    seen = {4: 0, 64: 4_800_000, 128: 6_000_000, 256: 7_200_000, 512: 8_400_000, 1024: 9_600_000}
    phases = {px: stage.plan(images) for px, images in seen.items()}
    assert {px: phase.resolution for px, phase in phases.items()} == {px: px for px in seen}
    # The paper has 14 at 256 px, where ours are twice those of 512 px; all others are its own.
    expected = {4: 16, 64: 16, 128: 16, 256: 12, 512: 6, 1024: 3}
    assert {px: phase.batch_size for px, phase in phases.items()} == expected
    assert phases[4].learning_rates == {"generator": 1e-3, "discriminator": 1e-3}


@settings(max_examples=200, deadline=None)
@given(
    first=st.integers(2, 10),
    last=st.integers(3, 10),
    share=st.floats(0, 0.99),
    images=st.integers(1, 10**7),
    places=st.lists(st.floats(0, 1), min_size=2, max_size=9),
)
def test_it_only_grows_and_ends_at_the_full_resolution(
    first: int, last: int, share: float, images: int, places: list[float]
) -> None:
    told = config(resolution=2**last, first_px=2**first, growth_share=share, seen_images=images)
    steps = [growth_at(told, int(place * images)) for place in sorted(places)]
    # While a size fades in it counts for less than when it is there.
    order = [step.px * (1 + step.alpha) for step in steps]
    assert order == sorted(order)
    assert all(min(2**first, 2**last) <= step.px <= 2**last and 0 <= step.alpha <= 1 for step in steps)
    assert growth_at(told, images) == Growth(2**last)


def test_a_first_size_beyond_the_resolution_means_no_growing() -> None:
    assert growth_at(config(resolution=32, first_px=64), 0) == Growth(32)
    assert growth_at(config(resolution=32, first_px=4), 0, adopted_px=1024) == Growth(32)
    assert growth_at(config(resolution=32, first_px=16), 0, adopted_px=8) == Growth(16)


@pytest.mark.parametrize(
    "growth", [Growth(4), Growth(8, 0.0), Growth(8, 0.3), Growth(16), Growth(32, 0.9), Growth(32)]
)
@pytest.mark.parametrize("target", ["map", "centreline"])
def test_maps_are_drawn_in_full_size_at_any_moment_of_growth(growth: Growth, target: str) -> None:
    stage = tiny(target=target)
    stage.generator.grow(growth)
    maps = stage.sample(sample_rngs(0, 3))
    assert maps.shape == (3, 2, 32, 32)
    assert 0 <= float(maps.min()) < float(maps.max()) <= 1


def test_a_resume_in_the_middle_of_a_fade_is_exact(tmp_path: Path) -> None:
    growing = {"seen_images": 40, "growth_share": 0.8, "checkpoint_every": 12, "ada_strength": 0.5}
    straight = learn(tmp_path / "straight", **growing)
    with pytest.raises(StoppedError):
        learn(tmp_path / "stopped", listener=StopAt(16), **growing)
    state = load_tree(tmp_path / "stopped" / "checkpoints" / "0000000012" / "state.safetensors")
    drawn = state["networks"]["generator"]
    assert (int(drawn["grown_px"]), float(drawn["alpha"])) == (16, 0.0)
    assert straight.growth(12) == Growth(16, 0.5)
    resumed = learn(tmp_path / "stopped", **growing)
    expected = weights(straight)
    assert all(torch.equal(value, expected[key]) for key, value in weights(resumed).items())


def test_layers_that_are_not_reached_yet_stay_as_they_were(tmp_path: Path) -> None:
    growing = {"seen_images": 400, "growth_share": 0.8, "checkpoint_every": 4}
    begun = weights(tiny())
    with pytest.raises(StoppedError):
        learn(tmp_path / "stage", listener=StopAt(8), **growing)
    state = load_tree(tmp_path / "stage" / "checkpoints" / "0000000004" / "state.safetensors")
    learnt = {f"{name}.{key}": x for name, part in state["networks"].items() for key, x in part.items()}
    later = [key for key in begun if any(f".{px}." in key for px in (16, 32))]
    sooner = [key for key in begun if ".8." in key or ".stem." in key or ".head." in key]
    assert len(later) == 24
    moments = state["optimizers"]["generator"]["state"]
    assert len(moments) == sum(key.startswith("generator.") for key in sooner)
    # Weights are drawn from another seed in a training, so they are compared with N(0, 1) and 0 that stay whole.
    biases = [key for key in begun if key.endswith(".bias")]
    assert all(not learnt[key].any() for key in biases if key in later)
    assert all(learnt[key].any() for key in biases if key in sooner)


def test_weights_that_have_not_grown_up_draw_on_disk_as_in_training(tmp_path: Path) -> None:
    stage = learn(tmp_path / "stage", seen_images=40, growth_share=0.99)
    growth = stage.generator.growth
    assert growth.px == 32
    assert growth.alpha == pytest.approx(stage.growth(36).alpha)
    assert 0.5 < growth.alpha < 1
    again = load_stage(tmp_path / "stage", device="cpu")
    assert torch.equal(stage.sample(sample_rngs(0, 2)), again.sample(sample_rngs(0, 2)))  # type: ignore[attr-defined]


def test_growing_begins_where_adopted_weights_have_grown_to(tmp_path: Path) -> None:
    old = learn(tmp_path / "old", resolution=16, seen_images=8)
    # A generator that hardly learns shows what it began with.
    new = learn(
        tmp_path / "new",
        ("optic_disc", "haemorrhage", "vessel"),
        init=tmp_path / "old",
        seen_images=4,
        learning_rate=1e-12,
        average_half_life=0,
    )
    assert new.generator.growth == Growth(16)
    mine, theirs = (stage.generator.to_maps["16"].weight for stage in (new, old))
    assert torch.allclose(mine[[2, 0]], theirs, atol=1e-6)
    assert mine.shape[0] == 3
    first, before = (stage.discriminator.from_maps["16"].weight for stage in (new, old))
    assert torch.allclose(first[:, [2, 0]], before, atol=0.01)  # one step of its own learning rate
    assert first.shape[1] == 3


def test_every_way_to_learn_trains(tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [
        {"loss": "wgan-gp", "ada": "off"},
        {"loss": "wgan-gp", "held_out": 2},
        {"ada": "fixed", "ada_strength": 0.5, "r1_every": 1},
        {"target": "blur"},
        {"target": "distance"},
        {"target": "centreline"},
    ]
    for i, way in enumerate(ways):
        stage = learn(tmp_path / str(i), seen_images=12, growth_share=0.6, **way)
        assert all(bool(torch.isfinite(value).all()) for value in weights(stage).values()), way


def test_a_critic_is_told_how_to_see_overfitting() -> None:
    with pytest.raises(InvalidValueError, match="held_out"):
        config(loss="wgan-gp")
    assert config("paper").ada == "off"


def test_a_step_writes_to_no_weight_that_another_still_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused optimizers change weights unseen by autograd; plain ones would show it."""

    def plain_adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), rate, betas, fused=False)

    monkeypatch.setattr("retina_pgan.stage.fused_adam", plain_adam)
    for loss in ("logistic", "wgan-gp"):
        learn(tmp_path / loss, seen_images=8, loss=loss, ada="fixed", r1_every=1)


def test_the_strength_of_augmentation_is_part_of_a_resume() -> None:
    stage, other = tiny(ada="adaptive"), tiny(ada="adaptive")
    stage.ada.strength = 0.25
    other.load_extra_state(stage.extra_state())
    assert other.ada.strength == 0.25
