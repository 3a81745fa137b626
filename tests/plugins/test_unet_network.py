"""U-Net's size, its losses and its schedule, each held against a second way to work them out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retina_core.data.sample import Dataset
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch
from retina_core.testing import tiny_eyes
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.fit import fit
from retina_core.training.lessons import Lesson
from retina_core.training.options import FitOptions
from retina_core.training.processes import Processes
from retina_unet.config import UNetConfig
from retina_unet.losses import cross_entropy_loss, dice_loss
from retina_unet.network import UNet
from retina_unet.stage import UNetSegmenter

TINY = {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2, "batch_size": 4}

LOGITS = np.array([[[[-2.0, 0.0, 1.5], [4.0, -0.5, 0.3]], [[0.1, 2.0, -3.0], [1.0, -1.0, 0.0]]]] * 2)
LOGITS[1] *= -0.7
LABELS = np.array([[[[0.0, 0.5, 1.0], [1.0, 0.25, 0.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 0.75]]]] * 2)
WEIGHTS = np.array([[[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]], [[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]]])
PRESENT = np.array([[1.0, 1.0], [1.0, 0.0]])


def tensors() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits that collect gradients, labels, weights, present, in float64."""
    logits, *known = (torch.tensor(x) for x in (LOGITS, LABELS, WEIGHTS, PRESENT))
    return logits.requires_grad_(True), known[0], known[1], known[2]


def convolution(f_in: int, f_out: int) -> int:
    """Weights of two 3 x 3 convolutions without bias, and scale and shift of two batch norms."""
    return 9 * f_in * f_out + 9 * f_out * f_out + 2 * 2 * f_out


def test_the_classic_network_has_64_to_1024_features() -> None:
    network = UNet(3, 1)
    network.eval()
    with torch.no_grad():
        maps = network.features(torch.zeros(1, 3, 32, 48))
    assert [m.shape[1] for m in maps] == [64, 128, 256, 512, 1024]
    assert [tuple(m.shape[2:]) for m in maps] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_the_classic_network_has_31_million_weights() -> None:
    with torch.device("meta"):
        network = UNet(3, 1)
    down = [convolution(a, b) for a, b in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]]
    enlarge = [2 * w * w * 2 * 2 + w for w in (512, 256, 128, 64)]
    blend = [convolution(2 * w, w) for w in (512, 256, 128, 64)]
    head = 64 + 1
    assert sum(p.numel() for p in network.parameters()) == sum(down) + sum(enlarge) + sum(blend) + head
    assert sum(down) + sum(enlarge) + sum(blend) + head == 31_037_633


@pytest.mark.parametrize(("width", "depth", "channels"), [(2, 1, 1), (4, 3, 5), (3, 4, 2)])
def test_logits_have_the_size_of_the_photograph(width: int, depth: int, channels: int) -> None:
    network = UNet(3, channels, width, depth)
    assert network.size_multiple == 2**depth
    assert network(torch.randn(2, 3, 32, 48)).shape == (2, channels, 32, 48)


def test_convolutions_begin_with_the_papers_deviation() -> None:
    torch.manual_seed(0)
    for module in UNet(3, 1, width=16).encoder.modules():
        if isinstance(module, nn.Conv2d):
            inputs, count = 9 * module.in_channels, module.weight.numel()
            expected = math.sqrt(2 / inputs)
            assert module.weight.std().item() == pytest.approx(
                expected, abs=5 * expected / (2 * count) ** 0.5
            )


def test_segmenting_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    stage = UNetSegmenter(UNetConfig.resolve("unet", "quick", TINY), ("vessel",))
    stage.eval_mode()
    photos, fov = torch.rand(3, 3, 32, 32), torch.ones(3, 1, 32, 32)
    together = stage.segment(photos, fov)
    assert torch.allclose(together[1:2], stage.segment(photos[1:2], fov[1:2]), atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_cross_entropy_is_the_mean_over_what_is_known() -> None:
    p = 1 / (1 + np.exp(-LOGITS))
    entropy = -LABELS * np.log(p) - (1 - LABELS) * np.log(1 - p)
    known = WEIGHTS * PRESENT[:, :, None, None]
    assert known.sum() == 5 * 2 + 4
    assert float(cross_entropy_loss(*tensors()).detach()) == pytest.approx(
        (known * entropy).sum() / 14, rel=1e-12
    )


def test_dice_is_the_mean_over_channels_of_the_whole_batch() -> None:
    p = 1 / (1 + np.exp(-LOGITS))
    known = WEIGHTS * PRESENT[:, :, None, None]
    losses = []
    for k in (0, 1):
        w, q, y = known[:, k], p[:, k], LABELS[:, k]
        losses.append(1 - (2 * (w * q * y).sum() + 1) / ((w * q**2).sum() + (w * y**2).sum() + 1))
    assert float(dice_loss(*tensors()).detach()) == pytest.approx(np.mean(losses), rel=1e-12)


def test_a_channel_that_no_eye_has_leaves_the_dice_of_the_others() -> None:
    logits, labels, weights, _ = tensors()
    alone = dice_loss(logits[:, :1], labels[:, :1], weights, torch.ones(2, 1))
    among = dice_loss(logits, labels, weights, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    assert float(among.detach()) == pytest.approx(float(alone.detach()), rel=1e-12)


def test_a_channel_in_which_nothing_is_marked_leaves_the_dice_of_the_others_and_cross_entropy_alone() -> None:
    """Pressed to find nothing by every patch without a lesion, a network of one patch to a step finds none."""
    logits, labels, weights, _ = tensors()
    labels[:, 1] = 0
    annotated = torch.ones(2, 2, dtype=torch.float64)
    alone = dice_loss(logits[:, :1], labels[:, :1], weights, annotated[:, :1])
    among = dice_loss(logits, labels, weights, annotated)
    assert float(among.detach()) == pytest.approx(float(alone.detach()), rel=1e-12)
    (slope,) = torch.autograd.grad(among, logits, retain_graph=True)
    assert not slope[:, 1].any()
    (slope,) = torch.autograd.grad(cross_entropy_loss(logits, labels, weights, annotated), logits)
    assert bool((slope[:, 1][weights[:, 0].expand_as(slope[:, 1]) > 0] > 0).all())


@pytest.mark.parametrize("loss", [cross_entropy_loss, dice_loss])
def test_what_is_not_known_has_no_slope(loss) -> None:  # type: ignore[no-untyped-def]
    logits, labels, weights, present = tensors()
    loss(logits, labels, weights, present).backward()
    known = (weights * present[:, :, None, None]).bool()
    assert logits.grad is not None
    assert bool((logits.grad[~known] == 0).all())
    assert int((logits.grad[known] != 0).sum()) >= known.sum() - 2  # the loss may be at its least somewhere
    # ... and no value: anything may stand there.
    other = torch.where(known, labels, 1 - labels)
    assert torch.equal(loss(logits, other, weights, present), loss(logits, labels, weights, present))


@pytest.mark.parametrize("loss", [cross_entropy_loss, dice_loss])
def test_nothing_known_costs_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    logits, labels, weights, present = tensors()
    nothing = loss(logits, labels, weights, torch.zeros_like(present))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert logits.grad is not None
    assert bool((logits.grad == 0).all())


def test_soft_labels_are_what_both_losses_are_least_at() -> None:
    labels = torch.tensor([[[[0.2, 0.7]]]], dtype=torch.float64)
    logits = torch.logit(labels).requires_grad_(True)
    for loss in (cross_entropy_loss, dice_loss):
        (slope,) = torch.autograd.grad(loss(logits, labels, torch.ones(1, 1, 1, 2), torch.ones(1, 1)), logits)
        assert float(slope.abs().max()) < 1e-12


def step(present: list[bool], absent_label: float) -> dict[str, Tensor]:
    """The weights after three steps on photographs whose second channel's label is ``absent_label`` everywhere."""
    torch.manual_seed(0)
    stage = UNetSegmenter(
        UNetConfig.resolve("unet", "quick", {**TINY, "weight_decay": 0.0}), ("vessel", "optic_disc")
    )
    draw = torch.Generator().manual_seed(2)
    labels = torch.rand(2, 2, 16, 16, generator=draw)
    labels[:, 1] = absent_label
    batch = Batch(
        labels=labels,
        fov=torch.ones(2, 1, 16, 16),
        photos=torch.rand(2, 3, 16, 16, generator=draw),
        present=torch.tensor([[True, there] for there in present]),
        photo_mean=torch.full((2, 3, 1, 1), 0.5),
        photo_std=torch.full((2, 3, 1, 1), 0.3),
        grades=torch.full((2,), -1),
    )
    learner = Learner.of(stage, Processes())
    stage.network.train()
    for seen in (0, 4, 8):
        phase = stage.plan(seen)
        context = StepContext(learner, phase, seen, sample_rngs(seen, 2), Augmentation())
        stage.training_step(batch, context)
    return {key: value.clone() for key, value in stage.network.state_dict().items()}


def test_an_absent_channel_is_never_trained_on() -> None:
    marked, empty = step([False, False], 1.0), step([False, False], 0.0)
    assert all(torch.equal(value, empty[key]) for key, value in marked.items())
    torch.manual_seed(0)
    fresh = UNetSegmenter(UNetConfig.resolve("unet", "quick", TINY), ("vessel", "optic_disc")).network
    assert torch.equal(marked["head.weight"][1], fresh.head.weight[1])
    assert not torch.equal(marked["head.weight"][0], fresh.head.weight[0])


def test_a_channel_that_one_eye_has_is_trained_on() -> None:
    marked, empty = step([True, False], 1.0), step([True, False], 0.0)
    assert not torch.equal(marked["head.weight"][1], empty["head.weight"][1])


def test_eyes_without_a_channel_train_beside_eyes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    eyes = tiny_eyes(4, channels=("vessel", "optic_disc"))

    def without(dataset: Dataset) -> Dataset:
        samples = [replace(s, labels={"vessel": s.labels["vessel"]}) for s in dataset.samples]
        return dataset.with_samples(samples)

    settings = {**TINY, "seen_images": 8, "weight_decay": 0.0, "average_half_life": 0, "test_turns": False}
    trained, once = (
        fit(
            "unet",
            [Lesson(without(eyes)), Lesson(eyes, start=seen)],  # those that have it come after the last step
            tmp_path / str(seen),
            preset="quick",
            settings={**settings, "seen_images": seen},
            options=FitOptions(device="cpu"),
        )
        for seen in (8, 4)
    )
    assert isinstance(trained, UNetSegmenter)
    assert isinstance(once, UNetSegmenter)
    disc, vessel = (torch.stack([s.network.head.weight[k] for s in (trained, once)]) for k in (1, 0))
    assert torch.equal(disc[0], disc[1])  # one step or two: it learns nothing
    assert not torch.equal(vessel[0], vessel[1])


def rates(config: UNetConfig) -> np.ndarray:
    stage = UNetSegmenter(config, ("vessel",))
    starts = range(0, config.seen_images, config.batch_size)
    return np.array([stage.plan(seen).learning_rates["network"] for seen in starts])


def test_the_step_size_rises_and_falls_along_a_cosine() -> None:
    config = UNetConfig.resolve("unet", "standard", {"width": 2, "depth": 1, "seen_images": 4000})
    found = rates(config)
    peak = int(found.argmax())
    assert found[0] < 0.05 * config.learning_rate
    assert found[0] > 0
    assert found.max() == pytest.approx(config.learning_rate, rel=0.02)
    assert found.max() <= config.learning_rate
    assert peak / len(found) == pytest.approx(config.warm_up, abs=0.01)
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak:]) < 0).all()
    assert found[len(found) // 2] == pytest.approx(config.learning_rate / 2, rel=0.01)
    assert found[-1] < 1e-3 * config.learning_rate


def test_without_warm_up_the_step_size_begins_at_its_highest() -> None:
    config = UNetConfig.resolve("unet", "quick", {"width": 2, "depth": 1, "warm_up": 0})
    found = rates(config)
    assert found[0] == config.learning_rate
    assert (np.diff(found) < 0).all()


def test_the_step_size_is_never_negative_beyond_the_end() -> None:
    stage = UNetSegmenter(UNetConfig.resolve("unet", "quick", TINY), ("vessel",))
    assert stage.plan(10**9).learning_rates["network"] == 0


def test_the_paper_preset_is_the_papers_network_on_whole_photographs() -> None:
    config = UNetConfig.resolve("unet", "paper")
    with torch.device("meta"):
        stage = UNetSegmenter(config, ("vessel",))
    assert stage.network.encoder[-1][0].out_channels == 1024
    phase = stage.plan(0)
    assert (phase.patch_px, phase.batch_size, config.dice_weight) == (0, 1, 0)
    assert phase.resolution % stage.network.size_multiple == 0
