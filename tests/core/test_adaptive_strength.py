"""How often maps are changed: as often as the discriminator overfits."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from retina_core.config import AdaptiveConfig
from retina_core.formats.tree import load_tree, save_tree
from retina_core.randomness import sample_rngs
from retina_core.stages import Phase
from retina_core.training.adaptive import INTERVAL, AdaptiveAugmentation, held_out_overfitting
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.processes import Processes

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

BATCH = 64
EVERY = INTERVAL // BATCH
"""Steps between two changes of the strength."""


def adaptive(**values: Any) -> AdaptiveAugmentation:
    values = {"ada": "adaptive", "ada_images": 2560, **values}
    return AdaptiveAugmentation(AdaptiveConfig(**values))


def context(batch_size: int = BATCH) -> StepContext:
    stage = toy.ToyLabels(toy.ToyConfig.resolve("toy", "quick", {}), ("vessel",))
    phase = Phase(16, batch_size, {})
    return StepContext(Learner.of(stage, Processes()), phase, 0, sample_rngs(0, 1), Augmentation())


def shown(ada: AdaptiveAugmentation, logits: Tensor, times: int, batch_size: int = BATCH) -> list[float]:
    """The strength after each of some steps whose training maps got these logits."""
    step, found = context(batch_size), []
    for _ in range(times):
        ada.observe(logits, step)
        found.append(ada.strength)
    return found


def signs(mean: float) -> Tensor:
    """A hundred logits of different sizes, whose signs have this mean."""
    positive = round(50 + 50 * mean)
    return torch.cat([torch.linspace(0.01, 3, positive), -torch.linspace(0.01, 9, 100 - positive)])


def test_strength_rises_by_its_share_while_training_maps_are_known() -> None:
    strengths = shown(adaptive(), torch.ones(4), 3 * EVERY)
    assert strengths == pytest.approx([0] * (EVERY - 1) + [0.1] * EVERY + [0.2] * EVERY + [0.3])


def test_strength_falls_where_they_are_not() -> None:
    ada = adaptive(ada_strength=0.25)
    assert shown(ada, signs(0.4), 4 * EVERY)[EVERY - 1 :: EVERY] == pytest.approx([0.15, 0.05, 0, 0])
    assert ada.overfitting == pytest.approx(0.4)


@pytest.mark.parametrize(("mean", "moves"), [(0.5, -1), (0.7, 1)])
def test_the_sign_counts_and_not_the_size(mean: float, moves: int) -> None:
    ada = adaptive(ada_strength=0.5)
    shown(ada, signs(mean), EVERY)
    assert ada.strength == pytest.approx(0.5 + 0.1 * moves)


def test_the_target_is_a_setting() -> None:
    ada = adaptive(ada_target=0.3, ada_strength=0.5)
    shown(ada, signs(0.4), EVERY)
    assert ada.strength == pytest.approx(0.6)


def test_strength_stays_where_the_target_is_met() -> None:
    ada = adaptive(ada_target=0.0, ada_strength=0.5)
    shown(ada, torch.tensor([1.0, -1.0]), EVERY)
    assert ada.strength == 0.5


def test_strength_never_passes_its_limit() -> None:
    assert max(shown(adaptive(), torch.ones(4), 12 * EVERY)) == 0.8
    assert max(shown(adaptive(ada_limit=1.0), torch.ones(4), 12 * EVERY)) == 1.0


@pytest.mark.parametrize("batch_size", [1, 48, 100, 600])
def test_a_rise_is_as_long_as_the_images_that_made_it(batch_size: int) -> None:
    steps = -(-INTERVAL // batch_size)
    strengths = shown(adaptive(), torch.ones(1), steps, batch_size)
    assert strengths[:-1] == [0] * (steps - 1)
    assert strengths[-1] == pytest.approx(steps * batch_size / 2560)


@pytest.mark.parametrize("ada", ["fixed", "off"])
def test_a_strength_that_is_not_adaptive_never_moves(ada: str) -> None:
    augmentation = adaptive(ada=ada, ada_strength=0.3)
    assert set(shown(augmentation, torch.ones(4), 3 * EVERY)) == {0.3 if ada == "fixed" else 0.0}
    augmentation.observe_held_out(torch.ones(2), torch.zeros(2), torch.zeros(2), context())
    assert augmentation.state()["images"] == 0


def test_a_discriminator_that_learns_four_maps_by_heart_raises_the_strength() -> None:
    rng = torch.Generator().manual_seed(0)
    few, network = torch.randn(4, 64, generator=rng), nn.Linear(64, 1)
    nn.init.normal_(network.weight, 0, 0.01, generator=rng)
    nn.init.zeros_(network.bias)
    fresh, learnt = adaptive(ada_strength=0.5), adaptive(ada_strength=0.5)
    optimizer, step = torch.optim.Adam(network.parameters(), 1e-2), context()
    for observer, times in ((fresh, 0), (learnt, 60)):
        for _ in range(times):
            drawn = torch.randn(64, 64, generator=rng)
            loss = F.softplus(-network(few)).mean() + F.softplus(network(drawn)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for _ in range(EVERY):
            observer.observe(network(torch.cat([few, few])), step)
    assert learnt.overfitting > 0.6
    assert learnt.strength > 0.5 > fresh.strength


def test_held_out_overfitting_is_the_papers_ratio() -> None:
    assert held_out_overfitting(3.0, 3.0, -1.0) == 0.0  # held-out maps are as real as the others
    assert held_out_overfitting(3.0, -1.0, -1.0) == 1.0  # they are as false as drawn ones
    assert held_out_overfitting(3.0, 2.0, -1.0) == 0.25
    assert held_out_overfitting(103.0, 102.0, 99.0) == 0.25  # a critic has no centre
    assert held_out_overfitting(1.0, 0.0, 1.0) == held_out_overfitting(1.0, 0.0, 2.0) == 0.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-50, 50, width=32)] * 3), min_size=EVERY, max_size=EVERY))
def test_held_out_overfitting_is_measured_over_the_interval(means: list[tuple[float, float, float]]) -> None:
    ada, step = adaptive(ada_strength=0.5), context()
    for row in means:
        # Sizes of the three need not be the same.
        ada.observe_held_out(
            *(torch.full((n,), value) for n, value in zip((8, 3, 8), row, strict=True)), step
        )
    real, held, fake = (sum(column) / EVERY for column in zip(*means, strict=True))
    if real - fake > 1e-2:
        ratio = (real - held) / (real - fake)
        assert ada.overfitting == pytest.approx(ratio, rel=1e-2, abs=1e-2)
    if abs(ada.overfitting - 0.6) > 1e-6:
        assert ada.strength == pytest.approx(0.6 if ada.overfitting > 0.6 else 0.4)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_state_taken_at_any_moment_goes_on_exactly(data: st.DataObject) -> None:
    heuristic = data.draw(st.sampled_from(["observe", "observe_held_out"]))
    cut = data.draw(st.integers(0, 3 * EVERY))
    rng = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    step, parts = context(batch_size=60), 1 if heuristic == "observe" else 3
    rows = torch.randn(3 * EVERY, parts, 7, generator=rng) + torch.linspace(1, -1, parts)[:, None]
    straight, before, after = (adaptive(ada_strength=0.2) for _ in range(3))
    for row in rows:
        getattr(straight, heuristic)(*row, step)
    for row in rows[:cut]:
        getattr(before, heuristic)(*row, step)
    after.load_state(before.state())
    assert after.state() == before.state()
    for row in rows[cut:]:
        getattr(after, heuristic)(*row, step)
    assert after.state() == straight.state()


def test_a_state_survives_a_checkpoint_file(tmp_path: Path) -> None:
    ada, again = adaptive(), adaptive()
    shown(ada, signs(0.73), EVERY + 2)
    save_tree({"ada": ada.state()}, tmp_path / "state.safetensors")
    again.load_state(load_tree(tmp_path / "state.safetensors")["ada"])
    assert again.state() == ada.state()
    assert shown(again, signs(0.73), EVERY) == shown(ada, signs(0.73), EVERY)


def test_what_is_logged_is_strength_and_overfitting() -> None:
    ada = adaptive()
    shown(ada, torch.ones(4), EVERY)
    assert {key: float(value) for key, value in ada.scalars().items()} == pytest.approx(
        {"ada_strength": 0.1, "overfitting": 1.0}
    )
    assert adaptive(ada="off").scalars() == {}


TWO = """
import importlib.util, json, os, sys
from pathlib import Path

import torch

spec = importlib.util.spec_from_file_location("adaptive", {test!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

from retina_core.training.processes import Processes

torch.set_num_threads(1)
processes = Processes.join(torch.device("cpu"))
ada, step = module.adaptive(), module.context()
step.learner.processes = processes
for i in range(2 * module.EVERY + 1):
    # Each share has its own logits; only together are they above the target: 1 and 0.4, then 0.8 and 0.
    ada.observe(module.signs((1.0, 0.4)[processes.rank] - 0.4 * (i >= module.EVERY)), step)
(Path(sys.argv[1]) / f"rank{{processes.rank}}.txt").write_text(json.dumps(ada.state()))
processes.wait()
torch.distributed.destroy_process_group()
os._exit(0)  # gloo's threads now and then abort an interpreter that ends by itself
"""


@pytest.mark.slow
def test_all_processes_hold_the_strength_of_the_whole_batch(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO.format(test=__file__))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = ((tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1))
    assert first == second
    together = adaptive()
    shown(together, signs(0.7), EVERY)
    shown(together, signs(0.3), EVERY + 1)
    expected = together.state()
    found = json.loads(first)
    assert found["strength"] == pytest.approx(expected["strength"]) == pytest.approx(0)
    assert found["overfitting"] == pytest.approx(expected["overfitting"], abs=0.03)
    assert found["images"] == expected["images"] == BATCH
