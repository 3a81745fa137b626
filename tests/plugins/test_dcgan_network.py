"""DCGAN's networks and losses, each held against the paper's numbers or a second way to work them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from retina_core.randomness import sample_rngs
from retina_core.testing import tiny_eyes
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_dcgan.config import DCGANConfig
from retina_dcgan.losses import discriminator_loss, generator_loss, r1_penalty
from retina_dcgan.network import (
    Discriminator,
    Generator,
    MinibatchDeviation,
    SynthMedDiscriminator,
    doublings,
    feature_widths,
    from_unit,
    to_unit,
)
from retina_dcgan.stage import DCGANLabels

SIZES = (32, 64, 128, 256, 512)
TINY = {"resolution": 32, "width": 4, "max_width": 8, "discriminator_width": 4, "latent": 8}
REAL = np.array([-3.0, 0.0, 0.5, 40.0])
FAKE = np.array([-40.0, 0.0, 2.0])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def tiny_generator(resolution: int = 32, channels: int = 1) -> Generator:
    return Generator(latent=6, channels=channels, resolution=resolution, width=4, max_width=8)


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_generator_draws_maps_of_the_asked_size(resolution: int, channels: int) -> None:
    maps = tiny_generator(resolution, channels)(torch.randn(2, 6)).detach()
    assert maps.shape == (2, channels, resolution, resolution)
    assert maps.dtype == torch.float32
    assert -1 <= float(maps.min()) < float(maps.max()) <= 1


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_the_discriminator_gives_one_logit_a_map(resolution: int, channels: int, norm: str) -> None:
    judge = Discriminator(channels=channels, resolution=resolution, width=4, max_width=8, norm=norm)  # type: ignore[arg-type]
    assert judge(torch.randn(2, channels, resolution, resolution)).shape == (2,)
    assert any(isinstance(m, nn.BatchNorm2d) for m in judge.modules()) == (norm == "batch")
    assert ("parametrizations" in " ".join(judge.state_dict())) == (norm == "spectral")


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_synthmeds_discriminator_gives_one_logit_a_map(resolution: int) -> None:
    judge = SynthMedDiscriminator(channels=2, resolution=resolution, width=4, hidden=8)
    assert judge(torch.randn(3, 2, resolution, resolution)).shape == (3,)


def test_features_halve_at_each_doubling_as_in_figure_1() -> None:
    assert feature_widths(64, 128, 1024) == [1024, 512, 256, 128]
    assert feature_widths(256, 16, 64) == [64, 64, 64, 64, 32, 16]
    assert doublings(64) == 4


@pytest.mark.parametrize("resolution", [16, 33, 48, 96, 500, 1024])
def test_a_resolution_that_cannot_be_doubled_to_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"power of two.*not {resolution}"):
        tiny_generator(resolution)
    with pytest.raises(ValueError, match="power of two"):
        Discriminator(channels=1, resolution=resolution, width=4, max_width=8)
    with pytest.raises(ValueError, match="power of two"):
        SynthMedDiscriminator(channels=1, resolution=resolution, width=4, hidden=8)


def test_maps_cross_the_border_both_ways() -> None:
    maps = torch.tensor([0.0, 0.25, 1.0])
    assert from_unit(maps).tolist() == [-1.0, -0.5, 1.0]
    assert torch.equal(to_unit(from_unit(maps)), maps)


def test_the_discriminators_loss_is_cross_entropy() -> None:
    expected = np.logaddexp(0, -REAL).mean() + np.logaddexp(0, FAKE).mean()
    found = discriminator_loss(torch.tensor(REAL), torch.tensor(FAKE))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_one_sided_smoothing_changes_what_is_said_of_real_maps_alone() -> None:
    logits, t = REAL[:3], 0.9
    real = -(t * np.log(sigmoid(logits)) + (1 - t) * np.log(1 - sigmoid(logits))).mean()
    fake = np.logaddexp(0, FAKE).mean()
    found = discriminator_loss(torch.tensor(logits), torch.tensor(FAKE), real_target=t)
    assert float(found) == pytest.approx(real + fake, rel=1e-12)
    best = torch.tensor(np.log(t / (1 - t)), requires_grad=True)
    discriminator_loss(best[None], torch.zeros(1), real_target=t).backward()
    assert best.grad is not None
    assert float(best.grad) == pytest.approx(0, abs=1e-12)  # D = t is where the loss is least


def test_the_generators_loss_does_not_saturate() -> None:
    logits = torch.tensor(FAKE, requires_grad=True)
    loss = generator_loss(logits)
    assert loss.item() == pytest.approx(np.logaddexp(0, -FAKE).mean(), rel=1e-12)
    loss.backward()
    assert logits.grad is not None
    # At D(G(z)) = 0 the slope is full; log(1 - D(G(z))) would have none there.
    np.testing.assert_allclose(logits.grad.numpy(), -sigmoid(-FAKE) / len(FAKE), rtol=1e-12)


def test_the_penalty_of_a_linear_discriminator_is_half_its_squared_weights() -> None:
    weights = torch.randn(2, 5, 5, dtype=torch.float64)
    maps = torch.randn(3, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty((maps * weights).sum((1, 2, 3)), maps)
    assert penalty.item() == pytest.approx(weights.square().sum().item() / 2, rel=1e-5)


def test_the_penalty_is_what_finite_differences_say() -> None:
    torch.manual_seed(3)
    judge = Discriminator(channels=1, resolution=32, width=4, max_width=8, norm="none").double()
    judge.forward = lambda x: judge.head(judge.body(judge.stem(x))).flatten()  # as it is, in float64
    maps = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    nudges = torch.eye(32 * 32, dtype=torch.float64).view(-1, 1, 32, 32) * 1e-6  # one pixel each
    with torch.no_grad():
        slopes = [(judge(x + nudges) - judge(x - nudges)) / 2e-6 for x in maps]
    expected = sum(float(slope.square().sum()) for slope in slopes) / 2 / 2
    assert expected > 0
    real = maps.requires_grad_(True)
    assert r1_penalty(judge(real), real).item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_can_be_descended() -> None:
    weights = torch.tensor([3.0, -2.0], requires_grad=True)
    maps = torch.zeros(1, 1, 1, 2, requires_grad=True)
    r1_penalty((maps.flatten() * weights).sum()[None], maps).backward(inputs=[weights])
    assert weights.grad is not None
    assert weights.grad.tolist() == [3.0, -2.0]  # of |w|^2 / 2


def test_a_batch_of_equal_maps_has_no_deviation() -> None:
    same = torch.randn(1, 3, 4, 4).expand(5, 3, 4, 4)
    seen = MinibatchDeviation()(same)
    assert seen.shape == (5, 4, 4, 4)
    assert torch.equal(seen[:, :3], same)
    assert seen[:, 3].max().item() < 2e-4  # the square root of what keeps its slope finite


def test_the_deviation_is_the_mean_over_features_and_pixels() -> None:
    maps = torch.randn(6, 3, 4, 4)
    plane = MinibatchDeviation()(maps)[:, 3]
    assert torch.allclose(plane, torch.full_like(plane, float(maps.numpy().std(0).mean())), rtol=1e-4)


def test_a_discriminator_that_sees_deviation_tells_repetition_from_variety() -> None:
    torch.manual_seed(0)
    judge = Discriminator(
        channels=1, resolution=32, width=4, max_width=8, norm="none", minibatch_deviation=True
    )
    one = torch.randn(1, 1, 32, 32)
    alone, among_equals = judge(one), judge(one.repeat(4, 1, 1, 1))
    assert torch.allclose(alone.expand(4), among_equals, atol=1e-5)
    assert not torch.allclose(alone, judge(torch.cat([one, torch.randn(3, 1, 32, 32)]))[:1], atol=1e-3)


def test_the_generator_begins_with_the_papers_weights() -> None:
    torch.manual_seed(0)
    generator = Generator(latent=100, channels=1, resolution=64, width=16, max_width=128)
    for module in generator.modules():
        if isinstance(module, (nn.ConvTranspose2d, nn.BatchNorm2d)):
            middle = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            count = module.weight.numel()
            # Five standard errors of mean and deviation.
            assert module.weight.mean().item() == pytest.approx(middle, abs=5 * 0.02 / count**0.5)
            assert module.weight.std().item() == pytest.approx(0.02, abs=5 * 0.02 / (2 * count) ** 0.5)
            assert module.bias is None or module.bias.abs().max().item() == 0


def test_the_paper_preset_has_synthmeds_discriminator() -> None:
    config = DCGANConfig.resolve("dcgan", "paper")
    with torch.device("meta"):  # 50 million weights that nobody needs to draw
        stage = DCGANLabels(config, ("vessel",))
    assert isinstance(stage.discriminator, SynthMedDiscriminator)
    convolutions = [m for m in stage.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(5, 5), (5, 5)]
    assert sum(isinstance(m, nn.Linear) for m in stage.discriminator.modules()) == 2
    assert stage.generator.stem[0].weight.shape == (100, 1024, 4, 4)
    assert [row[0] for row in stage.generator.body.named_children()] == ["0", "1", "2"]


def test_the_paper_preset_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    settings = {**TINY, "batch_size": 4, "seen_images": 8}
    stage = fit(
        "label-generator:dcgan",
        tiny_eyes(),
        tmp_path / "stage",
        preset="paper",
        settings=settings,
        options=FitOptions(device="cpu"),
    )
    assert isinstance(stage, DCGANLabels)
    assert isinstance(stage.discriminator, SynthMedDiscriminator)
    # Batch statistics are those of two steps: it is this discriminator that learned, not a fresh one.
    norm = stage.discriminator.features[3]
    assert isinstance(norm, nn.BatchNorm2d)
    assert int(norm.num_batches_tracked) == 6  # real, fake and fake again, in each of two steps
    maps = stage.sample(sample_rngs(0, 2))
    assert maps.shape == (2, 1, 32, 32)
    assert 0 <= float(maps.min()) < float(maps.max()) <= 1


def test_a_map_does_not_depend_on_its_batch_once_trained() -> None:
    torch.manual_seed(0)
    stage = DCGANLabels(DCGANConfig.resolve("dcgan", "quick", TINY), ("vessel", "optic_disc"))
    with torch.no_grad():
        for weight in stage.generator.parameters():
            weight.mul_(5)  # fresh weights draw maps of nearly one grey, in which nothing could be told apart
    in_training = stage.sample(sample_rngs(7, 5))
    assert not torch.allclose(in_training[:2], stage.sample(sample_rngs(7, 2)), atol=1e-2)
    stage.eval_mode()
    together = stage.sample(sample_rngs(7, 5))
    one_by_one = torch.cat([stage.sample([rng]) for rng in sample_rngs(7, 5)])
    assert torch.allclose(together, one_by_one, atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
