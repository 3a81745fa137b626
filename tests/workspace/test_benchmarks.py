"""The benchmarks compare like with like, in both precisions, and say what was reached."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retina_core import open_dataset
from retina_core.config import DataConfig
from retina_pgan.losses import r1_penalty
from retina_pgan.network import Growth

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SPADE = {
    "resolution": 32,
    "width": 4,
    "width_px": 32,
    "max_width": 16,
    "hidden": 8,
    "discriminator_width": 4,
    "latent": 4,
    "style_width": 4,
    "style_px": 16,
}
PGAN = {
    "resolution": 16,
    "first_px": 16,
    "batch_size": 4,
    "width": 4,
    "max_width": 8,
    "latent": 4,
    "r1_every": 2,
}


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of the benchmarks by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def spade(room: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """SPADE's contests, with a peer that needs no package."""
    contests = room("spade_contests")
    monkeypatch.setattr(contests, "monai_spade", lambda config: nn.Conv2d(2, 3, 1))
    return contests


def scattered(network: nn.Module) -> nn.Module:
    """With weights that leave nothing without effect."""
    rng = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng) * 0.3
    return network


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> bool:
    return bool((found - expected).abs().max() < tolerance * expected.abs().max())


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("style", ["none", "encoder"])
def test_usual_spade_is_the_same_network_as_ours(spade: ModuleType, norm: str, style: str) -> None:
    stage, batch = spade.spade_stage({**SPADE, "norm": norm, "style": style, "batch_size": 2})
    ours, z = scattered(stage.generator), torch.randn(2, 4) if style == "encoder" else None
    for _ in range(10):  # the singular values of these weights
        ours(batch.labels, batch.fov, z)
    usual = spade.UsualGenerator(ours)
    for training in (False, True):
        for network in (ours.train(training), usual.train(training)):
            for module in network.modules():
                if hasattr(module, "_u"):  # each norm has its own way to the singular value
                    module.eval()
        assert near(usual(batch.labels, batch.fov, z), ours(batch.labels, batch.fov, z), 1e-3)


def test_usual_pgan_is_the_same_networks_as_ours(room: Callable[[str], ModuleType]) -> None:
    usual, growth = room("usual_pgan"), Growth(16)
    stage = room("pgan_contests").pgan_stage(PGAN)
    generator, discriminator = scattered(stage.generator), scattered(stage.discriminator)
    z = torch.randn(4, 4)
    drawn = generator(z, growth)
    assert near(usual.UsualGenerator(generator)(z, growth), drawn)

    maps = drawn.detach().requires_grad_(True)
    logits = [judge(maps, growth) for judge in (usual.usual_discriminator(discriminator), discriminator)]
    assert near(*logits)
    assert near(*(r1_penalty(found, maps) for found in logits))


def moved_weights(step: Callable[[], object], networks: list[nn.Module]) -> int:
    """How many of some networks' weights one step changed."""
    before = [p.detach().clone() for network in networks for p in network.parameters()]
    step()
    after = [p for network in networks for p in network.parameters()]
    return sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_usual_steps_train_what_ours_train(
    spade: ModuleType, room: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    pgan, made = room("pgan_contests"), []
    for name in ("usual_spade", "usual_pgan"):
        adam = torch.optim.Adam
        monkeypatch.setattr(
            torch.optim,
            "Adam",
            lambda weights, *args, adam=adam: made.append(adam(weights, *args)) or made[-1],
        )
        contest = (
            spade.spade_training("fp32", SPADE) if name == "usual_spade" else pgan.pgan_training("fp32", PGAN)
        )
        assert len(made) == 2
        monkeypatch.setattr(torch.optim, "Adam", adam)
        weights = nn.ParameterList([p for one in made for group in one.param_groups for p in group["params"]])
        assert moved_weights(contest.contestants["plain"], [weights]) > 0.8 * len(weights)
        made.clear()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_contestant_of_pgan_and_spade_steps(
    spade: ModuleType, room: Callable[[str], ModuleType], precision: str
) -> None:
    pgan = room("pgan_contests")
    held = [
        spade.spade_training(precision, SPADE),
        spade.spade_generator(precision, SPADE),
        spade.spade_painting(precision, SPADE),
        pgan.pgan_training(precision, PGAN),
        pgan.pgan_drawing(precision, PGAN),
    ]
    for contest in held:
        expected = {"ours", "plain"} | ({"ours_fp32"} if precision == "bf16" else set())
        assert expected <= set(contest.contestants)
        assert contest.gigaflop > 0
        assert contest.precision == precision
        for step in contest.contestants.values():
            step()


MIGAN = {
    "resolution": 32,
    "batch_size": 2,
    "width": 4,
    "max_width": 8,
    "code": 4,
    "code_width": 4,
    "discriminator_width": 4,
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_contestant_of_migan_steps(room: Callable[[str], ModuleType], precision: str) -> None:
    migan = room("migan_contests")
    for contest in (migan.migan_training(precision, MIGAN), migan.migan_painting(precision, MIGAN)):
        assert {"ours", "plain"} <= set(contest.contestants)
        assert (contest.precision, contest.gigaflop > 0) == (precision, True)
        for step in contest.contestants.values():
            step()


def test_monais_spade_reads_as_many_features_at_each_size(room: Callable[[str], ModuleType]) -> None:
    pytest.importorskip("monai")
    contests = room("spade_contests")
    stage, batch = contests.spade_stage({**SPADE, "style": "none"})
    peer = contests.monai_spade(stage.config)
    ours = [block.conv_in.in_channels for block in stage.generator.blocks.values()]
    assert [block.in_channels for block in peer.blocks] == ours
    assert peer(torch.cat([batch.labels, batch.fov], 1)).shape == (1, 3, 64, 64)


def test_contests_that_cannot_be_held_say_why(room: Callable[[str], ModuleType]) -> None:
    contests = room("contests")
    names = [name for name, _ in contests.contests("fp32")]
    assert len(set(names)) == len(names)
    assert {
        "spade step",
        "pgan step",
        "migan step",
        "loop, pgan",
        "loop, spade",
        "adaptive augmentation",
    } <= set(names)
    for name, build in contests.contests("fp32"):
        if name.endswith("compiled"):
            with pytest.raises(room("contest").NotHere, match="bf16"):
                build()


def test_a_row_ends_in_time_once_each_contestant_had_a_turn(
    room: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, now = room("turns"), [0.0]

    def turn(step: Callable[[], object], steps: int) -> tuple[float, float]:
        step()
        return 1.0, 0.0

    def last(seconds: float) -> Callable[[], None]:
        def step() -> None:
            now[0] += seconds

        return step

    monkeypatch.setattr(turns, "_turn", turn)
    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    slow = turns.in_turns({"ours": last(5), "plain": last(10)}, reps=5, seconds=60)
    assert slow["plain"].reps == 3
    assert now[0] == 60  # one step each to warm up, and three rounds
    quick = turns.in_turns({"ours": last(0.01), "plain": last(0.02)}, reps=5, seconds=60)
    assert quick["ours"].reps == 5
    monkeypatch.setattr(turns, "_turn", lambda step, steps: (turn(step, steps)[0], 1.0))
    with pytest.raises(turns.Disturbed):
        turns.in_turns({"ours": last(5)}, reps=5, seconds=60)


def test_rows_say_what_was_reached(room: Callable[[str], ModuleType]) -> None:
    bench, timing = room("bench"), room("turns").Timing
    contest: Any = room("contest").Contest

    def row(ours_ms: float, **goals: Any) -> dict[str, Any]:
        held = contest("a step", {}, "usual", "fp32", gigaflop=1.0, **goals)
        times = {"ours": timing(ours_ms, 5, 0), "plain": timing(300.0, 4, 1), "peer": timing(200.0, 5, 0)}
        return bench.row(held, times, {"processor": "P", "peak_gigaflops_fp32": 20.0})

    good, bad, free = row(100.0, goal=3.0, goal_ms=100.0), row(150.0, goal=3.0, peer_goal=1.0), row(100.0)
    assert [one["reached"] for one in (good, bad, free)] == [True, False, None]
    assert (good["machine"], good["ratio"], good["ratio_fp32"], good["reps"]) == ("P", 3.0, 3.0, 4)
    assert good["peak_share"] == 0.5
    assert "3.0x (reaches the goal of 3.0), reaches the goal of 100 ms" in bench.line(good)
    assert "2.0x (misses the goal of 3.0), peer 1.33x (reaches the goal of 1.0)" in bench.line(bad)
    told = bench.summary([good, bad, free])
    assert told.startswith("1 of 2 rows with goals reach them")
    assert "missed: a step: 2 of 3, 1.33 of 1, in fp32, where the goal supposes bf16" in told


def test_fast_mode_difference_is_of_a_trained_spade(
    room: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    differences = room("differences")
    few = DataConfig(phantom_count=4, phantom_px=32)
    monkeypatch.setattr(
        differences, "open_dataset", lambda name, registry: open_dataset(name, registry=registry, config=few)
    )
    monkeypatch.setitem(differences.SHORTER, "spade", {**SPADE, "seen_images": 4})
    found = differences.fast_mode_difference("spade", pictures=1)
    assert found["photographs"] == 1
    assert 0 < found["mean_of_255"] <= found["largest_mean_of_255"]
    assert found["reached"] == (found["mean_of_255"] < 1)


def test_variety_is_told_inside_the_field_of_view_alone(room: Callable[[str], ModuleType]) -> None:
    variety = room("variety")
    fov = torch.zeros(1, 1, 4, 4)
    fov[..., :2] = 1
    paintings = torch.stack([torch.full((3, 4, 4), level) for level in (10.0, 20.0, 40.0)])[None]  # b s c h w
    paintings[..., 2:] = torch.rand(1, 3, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    assert variety.difference(paintings, fov) == pytest.approx((10 + 30 + 20) / 3)
    assert torch.equal(
        variety.mean_colour(paintings, fov[:, None])[0, :, 0], torch.tensor([10.0, 20.0, 40.0])
    )
