"""ACGAN's layers, networks and losses, each held against a second way to work them out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retina_acgan import ACGANConfig, ACGANLabels
from retina_acgan.layers import DoublingConv2d, EqualConv2d, HalvingConv2d, MinibatchDeviation, pixel_norm
from retina_acgan.losses import grade_loss, r1_penalty, smoothed_d_loss, variety_gap
from retina_acgan.network import Discriminator, Generator, chance, doubled, sizes, steps_of
from retina_acgan.stage import inside
from retina_core.randomness import sample_rngs


def tiny_generator(resolution: int = 32, channels: int = 2) -> Generator:
    torch.manual_seed(0)
    return Generator(latent=6, channels=channels, resolution=resolution, width=4, max_width=8)


def learnt(network: Generator | Discriminator) -> Generator | Discriminator:
    """The network with weights in the place of those that begin at zero, and would hide what they do."""
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.any():
                weight.normal_(std=0.3)
    return network


def draw(generator: Generator, grades: list[int], *, px: int = 32) -> Tensor:
    generator.grown_px.fill_(px)
    z = torch.randn(len(grades), 6, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        maps: Tensor = generator(z, torch.tensor(grades), chance(sample_rngs(4, len(grades)), px))
    return maps


@pytest.mark.parametrize("px", [8, 16, 32])
@pytest.mark.parametrize("channels", [1, 7])
def test_maps_and_logits_have_their_shapes_at_every_size(px: int, channels: int) -> None:
    maps = draw(tiny_generator(channels=channels), [0, 4, 2], px=px)
    assert maps.shape == (3, channels, px, px)
    judge = Discriminator(channels=channels, resolution=32, width=4, max_width=8, group=4)
    real, grades = judge(maps)
    assert (real.shape, grades.shape) == ((3,), (3, 5))


def test_a_channel_in_which_nothing_is_marked_counts_nothing() -> None:
    """So weights that learnt from other channels judge as they did."""
    judge, fewer = (Discriminator(channels=k, resolution=16, width=4, max_width=8, group=4) for k in (3, 2))
    weights = judge.state_dict()
    for key in weights:
        if "from_maps" in key and key.endswith("weight"):
            weights[key] = weights[key][:, [0, 2]]
    fewer.load_state_dict(weights)
    maps = torch.rand(4, 3, 16, 16) * 2 - 1
    maps[:, 1] = -1
    assert torch.allclose(judge(maps)[0], fewer(maps[:, [0, 2]])[0], atol=1e-5)
    maps[:, 1] = 0
    assert not torch.allclose(judge(maps)[0], fewer(maps[:, [0, 2]])[0], atol=1e-3)


def test_a_grade_is_as_many_steps() -> None:
    code = steps_of(torch.tensor([0, 1, 2, 3, 4]))
    assert code.sum(1).tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(code, code.sort(1, descending=True).values)


def test_before_anything_is_learnt_grades_draw_alike_and_afterwards_they_do_not() -> None:
    fresh = draw(tiny_generator(), [0]), draw(tiny_generator(), [4])
    assert torch.equal(*fresh)
    trained = tiny_generator()
    learnt(trained)
    one, other = draw(trained, [0]), draw(trained, [4])
    assert not torch.allclose(one, other, atol=1e-3)


def test_a_grade_never_seen_draws_as_the_nearest_lower_one_that_was() -> None:
    generator = tiny_generator()
    learnt(generator)
    with torch.no_grad():  # as after a training on grades 0 to 2: the steps to 3 and 4 have had no slope
        for name, weight in generator.named_parameters():
            if "grade" in name:
                weight[:, 2:] = 0
    assert torch.equal(draw(generator, [4]), draw(generator, [2]))
    assert not torch.equal(draw(generator, [2]), draw(generator, [1]))


def test_what_lies_at_a_pixel_is_chance_where_the_noise_is_loud() -> None:
    generator = tiny_generator()
    z, grades = torch.randn(1, 6), torch.tensor([2])
    noises = [chance(sample_rngs(seed, 1), 32) for seed in (1, 2)]
    assert [noise.shape[-1] for noise in noises[0]] == [16, 32]
    assert torch.equal(*(generator(z, grades, noise) for noise in noises))
    learnt(generator)
    assert not torch.allclose(*(generator(z, grades, noise) for noise in noises), atol=1e-4)


def test_a_finer_stage_draws_with_a_coarser_ones_weights() -> None:
    small, large = tiny_generator(16), tiny_generator(32)
    with torch.no_grad():
        for name, weight in large.named_parameters():
            known = dict(small.named_parameters()).get(name)
            weight.copy_(known if known is not None else torch.zeros_like(weight))
    coarse, fine = draw(small, [3], px=16), draw(large, [3], px=32)
    assert torch.allclose(fine, doubled(coarse.atanh()).tanh(), atol=1e-4)


def test_a_map_does_not_depend_on_its_neighbours() -> None:
    stage = ACGANLabels(
        ACGANConfig.resolve("acgan", "quick", {"resolution": 32, "width": 4, "max_width": 8}), ("vessel",)
    )
    learnt(stage.generator)
    grades = torch.tensor([1, 4, 2])
    together = stage.sample(sample_rngs(5, 3), grades=grades)
    alone = [stage.sample(sample_rngs(5, 1, start=i), grades=grades[i : i + 1]) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("kind", [DoublingConv2d, HalvingConv2d])
def test_a_layer_that_resizes_is_a_convolution_and_a_resize(
    kind: type[DoublingConv2d | HalvingConv2d],
) -> None:
    torch.manual_seed(0)
    layer, x = kind(3, 5), torch.randn(2, 3, 8, 8)
    weight = layer.weight * layer.scale
    if kind is DoublingConv2d:
        usual = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, layer.bias, padding=1)
    else:
        usual = F.avg_pool2d(F.conv2d(x, weight, layer.bias, padding=1), 2)
    assert torch.allclose(layer(x), usual, atol=1e-5)


def test_weights_are_scaled_by_hes_constant_and_pixels_have_length_one() -> None:
    torch.manual_seed(0)
    layer = EqualConv2d(16, 32, 3, padding=1)
    assert float(layer.weight.detach().std()) == pytest.approx(1, abs=0.05)
    assert layer.scale == pytest.approx(math.sqrt(2 / (16 * 9)))
    assert pixel_norm(torch.randn(2, 9, 4, 4)).square().mean(1).allclose(torch.ones(2, 4, 4), atol=1e-4)


def test_the_minibatch_deviation_is_zero_for_a_generator_that_repeats_itself() -> None:
    same = torch.randn(1, 3, 4, 4).expand(4, -1, -1, -1)
    assert float(MinibatchDeviation(4)(same)[:, 3].max()) < 1e-3
    assert float(MinibatchDeviation(4)(torch.randn(4, 3, 4, 4))[:, 3].min()) > 0.3


def test_smoothing_is_cross_entropy_with_a_lower_target() -> None:
    real, fake = torch.randn(6), torch.randn(6)
    usual = F.binary_cross_entropy_with_logits(real, torch.full((6,), 0.9))
    usual = usual + F.binary_cross_entropy_with_logits(fake, torch.zeros(6))
    assert torch.allclose(smoothed_d_loss(real, fake, 0.1), usual)


def test_the_grade_loss_leaves_out_maps_without_a_grade() -> None:
    logits, grades = torch.randn(4, 5, requires_grad=True), torch.tensor([3, -1, 0, -1])
    usual = F.cross_entropy(logits[[0, 2]], grades[[0, 2]])
    assert torch.allclose(grade_loss(logits, grades), usual)
    nothing = grade_loss(logits, torch.full((4,), -1))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_r1_is_half_the_squared_slope() -> None:
    maps = torch.rand(3, 1, 4, 4, requires_grad=True)
    penalty = r1_penalty((maps * 2).sum((1, 2, 3)), maps)
    assert float(penalty.detach()) == pytest.approx(4 * 16 / 2)


def test_variety_is_asked_for_where_it_lacks_only() -> None:
    torch.manual_seed(0)
    real = torch.rand(6, 2, 32, 32).round()
    assert float(variety_gap(real, real)) == 0
    assert float(variety_gap(real, real[:1].expand_as(real))) == pytest.approx(1)
    assert float(variety_gap(real[:1].expand_as(real), real)) == 0


def test_growing_is_a_function_of_the_config_and_adopted_weights_spare_it() -> None:
    settings = {"resolution": 64, "first_px": 16, "growth_share": 0.5, "seen_images": 400}
    stage = ACGANLabels(ACGANConfig.resolve("acgan", "quick", settings), ("vessel",))
    assert [stage.plan(seen).resolution for seen in (0, 99, 100, 199, 200, 399)] == [16, 16, 32, 32, 64, 64]
    stage.adopted(32)
    assert [stage.plan(seen).resolution for seen in (0, 199, 200)] == [32, 32, 64]
    assert sizes(64) == [4, 8, 16, 32, 64]


def test_the_paper_preset_holds_the_papers_numbers() -> None:
    config = ACGANConfig.resolve("acgan", "paper")
    assert (config.resolution, config.generator_updates) == (256, 2)
    assert (config.learning_rate, config.beta1, config.beta2) == (2e-4, 0.5, 0.999)
    assert config.smoothing > 0
    assert config.ada == "adaptive"
    assert (config.classifier_weight, config.r1, config.variety_weight) == (1, 0, 0)


def test_outside_the_field_of_view_maps_are_background() -> None:
    maps, fov = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    fov[:, :, :2], fov[:, :, 2] = 0, 0.5
    cut = inside(fov, maps)
    assert torch.equal(cut[:, :, :2], torch.full((2, 3, 2, 8), -1.0))
    assert torch.allclose(cut[:, :, 2], (maps[:, :, 2] - 1) / 2)
    assert torch.allclose(cut[:, :, 3:], maps[:, :, 3:])
