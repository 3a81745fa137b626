"""``dcgan`` with its discriminator's maps changed at random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from retina_core.formats.tree import load_tree
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.stages import Batch
from retina_core.testing import LabelGeneratorContract
from retina_core.training import adaptive
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.processes import Processes
from retina_dcgan import DCGANLabels
from retina_dcgan.config import DCGANConfig

TINY = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8, "latent": 8}
ADA = {"ada": "adaptive", "ada_strength": 0.4, "ada_images": 80, "ada_target": 0.1}


class AdaptiveDCGAN(LabelGeneratorContract):
    """The contract's own machinery; its other promises are held by the stage without."""

    stage = "dcgan"
    settings = TINY | ADA


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdaptiveDCGAN:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    # So that the strength moves within 24 images, and stands in the middle of an interval where the contract stops.
    monkeypatch.setattr(adaptive, "INTERVAL", 5)
    return AdaptiveDCGAN()


def rows(stage: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (stage / "log.jsonl").read_text().splitlines()]


def test_a_resume_is_exact_strength_included(tmp_path: Path, contract: AdaptiveDCGAN) -> None:
    contract.test_resumed_equals_uninterrupted(tmp_path, Registry.discover())
    strengths = [row["ada_strength"] for row in rows(tmp_path / "stopped")]
    assert len(set(strengths)) > 2  # it moved, and the contract compared every row


def test_a_checkpoint_holds_half_an_interval(tmp_path: Path, contract: AdaptiveDCGAN) -> None:
    contract.train(tmp_path / "stage", Registry.discover(), images=12)
    state = load_tree(tmp_path / "stage/checkpoints/0000000012/state.safetensors")["extra"]["ada"]
    assert state["images"] == 4  # of 8
    assert len(state["sums"]) == 1
    assert state["strength"] != ADA["ada_strength"]


def test_trains_in_bf16_as_well(tmp_path: Path, contract: AdaptiveDCGAN) -> None:
    contract.test_trains_in_bf16(tmp_path, Registry.discover())


def test_nothing_of_it_is_logged_where_it_is_off(tmp_path: Path, contract: AdaptiveDCGAN) -> None:
    contract.settings = TINY  # type: ignore[misc]
    contract.train(tmp_path / "stage", Registry.discover(), images=8)
    assert not rows(tmp_path / "stage")[0].keys() & {"ada_strength", "overfitting"}


def step(**settings: Any) -> tuple[DCGANLabels, list[Tensor]]:
    """A stage after one step on four maps, and what its discriminator was shown."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stage = DCGANLabels(
            DCGANConfig.resolve("dcgan", "quick", {**TINY, "batch_size": 4, **settings}), ("vessel",)
        )
    stage.move_to("cpu")
    shown: list[Tensor] = []
    stage.discriminator.register_forward_pre_hook(lambda _, maps: shown.append(maps[0].detach().clone()))
    labels = torch.zeros(4, 1, 32, 32)
    labels[:, :, 8:12, 4:20] = 1
    whole, nothing = torch.ones(4, 1, 32, 32), torch.zeros(4, 0, 1, 1)
    batch = Batch(
        labels, whole, labels[:, :0], torch.ones(4, 1, dtype=torch.bool), nothing, nothing, -torch.ones(4)
    )
    learner = Learner.of(stage, Processes())
    stage.training_step(batch, StepContext(learner, stage.plan(0), 0, sample_rngs(0, 4), Augmentation()))
    return stage, shown


def test_the_discriminator_sees_changed_maps_alone() -> None:
    plain, changed = step()[1], step(ada="fixed", ada_strength=1.0)[1]
    assert len(plain) == len(changed) == 4  # real for the penalty, real, fake, fake again
    for before, after in zip(plain, changed, strict=True):
        assert not torch.isclose(before, after).all(dim=(1, 2, 3)).any()
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[2], changed[3])
    assert float(changed[1].min()) == -1.0


def test_at_strength_zero_the_step_is_that_without() -> None:
    without, still, adapted = step()[0], step(ada="fixed")[0], step(ada="adaptive")[0]
    for name, network in without.networks().items():
        for key, weight in network.state_dict().items():
            assert torch.equal(weight, still.networks()[name].state_dict()[key])
            assert torch.equal(weight, adapted.networks()[name].state_dict()[key])
    observed = [stage.extra_state()["ada"]["images"] for stage in (without, still, adapted)]
    assert observed == [0, 0, 4]
