"""PGAN's layers, networks and losses, each held against a second way to work them out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_pgan import PGANConfig, PGANLabels
from retina_pgan.layers import (
    DoublingConv2d,
    EqualConv2d,
    EqualLinear,
    HalvingConv2d,
    MinibatchDeviation,
    leaky,
    leaky_pixel_norm,
    pixel_norm,
)
from retina_pgan.losses import (
    drift_penalty,
    gradient_penalty,
    logistic_d_loss,
    logistic_g_loss,
    r1_penalty,
    wasserstein_d_loss,
    wasserstein_g_loss,
)
from retina_pgan.network import Discriminator, Generator, Growth, doubled, faded, features_at, halved, sizes

GROWTHS = [Growth(4), *(Growth(px, alpha) for px in (8, 16, 32, 64) for alpha in (0.0, 0.4, 1.0))]


def tiny_generator(resolution: int = 64, planes: int = 2) -> Generator:
    torch.manual_seed(0)
    return Generator(latent=6, planes=planes, resolution=resolution, width=4, max_width=8)


def tiny_discriminator(resolution: int = 64, planes: int = 2) -> Discriminator:
    torch.manual_seed(1)
    judge = Discriminator(planes=planes, resolution=resolution, width=4, max_width=8, group=4)
    with torch.no_grad():
        for name, weight in judge.named_parameters():
            if name.endswith("bias"):  # fresh ones are all zero, and would hide a bias that is lost
                weight.normal_(std=0.3)
    return judge


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("planes", [1, 3])
def test_maps_and_logits_have_their_shapes_at_every_point_of_growth(growth: Growth, planes: int) -> None:
    maps = tiny_generator(planes=planes)(torch.randn(5, 6), growth)
    assert maps.shape == (5, planes, growth.px, growth.px)
    assert maps.dtype == torch.float32
    assert tiny_discriminator(planes=planes)(maps, growth).shape == (5,)


@pytest.mark.parametrize("px", [8, 16, 32, 64])
def test_a_fade_begins_with_the_coarser_map_and_ends_with_the_finer(px: int) -> None:
    generator, z = tiny_generator(), torch.randn(4, 6)
    coarse, fine = generator(z, Growth(px // 2)), generator(z, Growth(px))
    assert torch.equal(generator(z, Growth(px, 0.0)), doubled(coarse))
    assert torch.allclose(generator(z, Growth(px, 0.25)), 0.75 * doubled(coarse) + 0.25 * fine, atol=1e-5)
    assert torch.allclose(generator(z, Growth(px, 1 - 1e-7)), fine, atol=1e-5)


@pytest.mark.parametrize("px", [8, 16, 32, 64])
def test_a_fading_discriminator_begins_as_the_coarser_and_ends_as_the_finer(px: int) -> None:
    judge, maps = tiny_discriminator(), torch.randn(4, 2, px, px)
    assert torch.allclose(judge(maps, Growth(px, 0.0)), judge(halved(maps), Growth(px // 2)), atol=1e-6)
    assert torch.allclose(judge(maps, Growth(px, 1 - 1e-7)), judge(maps, Growth(px)), atol=1e-5)
    assert not torch.allclose(judge(maps, Growth(px, 0.0)), judge(maps, Growth(px)), atol=1e-3)


def test_real_maps_fade_as_drawn_ones_do() -> None:
    maps = torch.rand(2, 1, 8, 8)
    assert torch.equal(faded(maps, Growth(8)), maps)
    assert torch.equal(faded(maps, Growth(8, 0.0)), doubled(halved(maps)))
    assert torch.allclose(halved(faded(maps, Growth(8, 0.3))), halved(maps), atol=1e-6)
    assert torch.equal(halved(maps)[0, 0, 1, 2], maps[0, 0, 2:4, 4:6].mean())


def test_widths_are_those_of_table_2_and_do_not_depend_on_the_resolution() -> None:
    paper = [features_at(px, 128, 512) for px in sizes(1024)]
    assert paper == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert sizes(8) == [4, 8]
    for build in (tiny_generator, tiny_discriminator):
        small, large = (dict(build(px).named_parameters()) for px in (16, 64))  # type: ignore[operator]
        assert small.keys() < large.keys()
        assert all(large[key].shape == weight.shape for key, weight in small.items())
        assert {key.split(".")[1] for key in large.keys() - small.keys()} == {"32", "64"}


def test_the_paper_preset_is_the_papers_network() -> None:
    with torch.device("meta"):  # 46 million weights that nobody needs to draw
        stage = PGANLabels(PGANConfig.resolve("pgan", "paper"), ("vessel",))
    counts = [sum(p.numel() for p in network.parameters()) for network in stage.networks().values()]
    # Table 2 has 23.1 million each, for images of three colours and a map of 1 x 1 for the dense layers.
    assert counts == pytest.approx([23.1e6, 23.1e6], rel=0.01)


@pytest.mark.parametrize(
    "layer",
    [
        EqualConv2d(24, 32, 3, padding=1),
        EqualConv2d(24, 32, 1, gain=1.0),
        DoublingConv2d(24, 32),
        HalvingConv2d(24, 32),
        EqualLinear(24, 32),
    ],
)
def test_weights_are_drawn_from_n01_and_scaled_by_hes_constant(layer: nn.Module) -> None:
    torch.manual_seed(0)
    layer.reset_parameters()  # type: ignore[operator]
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    assert weight.std().item() == pytest.approx(1, abs=5 / math.sqrt(2 * weight.numel()))
    assert not bias.any()
    gain = 1.0 if getattr(layer, "kernel_size", None) == (1, 1) else math.sqrt(2)
    assert layer.scale == pytest.approx(gain / math.sqrt(weight[0].numel()))


def test_variance_lasts_through_equalised_layers() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 64, 16, 16)
    for layer in (EqualConv2d(64, 64, 3, padding=1), DoublingConv2d(64, 64)):
        inner = leaky(layer(x))[:, :, 2:-2, 2:-2]
        # A slope of .2 keeps 1.04 of what a plain rectifier keeps.
        assert inner.square().mean().item() == pytest.approx(1.04, rel=0.1)


def test_equalised_layers_are_convolutions_with_scaled_weights() -> None:
    x = torch.randn(2, 5, 6, 6)
    layer = EqualConv2d(5, 7, 3, padding=1)
    nn.init.normal_(layer.bias)
    assert torch.allclose(
        layer(x), F.conv2d(x, layer.weight * math.sqrt(2 / 45), layer.bias, padding=1), atol=1e-6
    )
    dense = EqualLinear(5, 3, gain=1.0)
    assert torch.allclose(dense(x[:, :, 0, 0]), x[:, :, 0, 0] @ dense.weight.T / math.sqrt(5), atol=1e-6)


def test_doubling_is_nearest_pixels_and_then_a_convolution() -> None:
    x, layer = torch.randn(2, 5, 6, 4), DoublingConv2d(5, 7)
    nn.init.normal_(layer.bias)
    expected = F.conv2d(doubled(x), layer.weight * layer.scale, layer.bias, padding=1)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_halving_is_a_convolution_and_then_means_of_four() -> None:
    x, layer = torch.randn(2, 5, 6, 4), HalvingConv2d(5, 7)
    nn.init.normal_(layer.bias)
    expected = halved(F.conv2d(x, layer.weight * layer.scale, layer.bias, padding=1))
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_pixel_norm_gives_each_pixel_a_root_mean_square_of_1() -> None:
    x = torch.randn(3, 16, 5, 5) * 7 + 2
    assert torch.allclose(pixel_norm(x).square().mean(1), torch.ones(3, 5, 5), atol=1e-5)
    assert torch.allclose(pixel_norm(x * 100), pixel_norm(x), atol=1e-5)
    assert not pixel_norm(torch.zeros(1, 4, 2, 2)).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_quick_pixel_norm_is_the_plain_one(dtype: torch.dtype, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 16, 5, 5).to(dtype).to(memory_format=layout)
    found = leaky_pixel_norm(x)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=layout)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    assert torch.allclose(found.float(), pixel_norm(leaky(x.float())), atol=tolerance, rtol=tolerance)


def test_the_quick_pixel_norm_has_the_plain_ones_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    slope = torch.randn_like(x)
    (expected,) = torch.autograd.grad(pixel_norm(leaky(x)), x, slope)
    (found,) = torch.autograd.grad(leaky_pixel_norm(x), x, slope)
    assert torch.allclose(found, expected, rtol=1e-9)


def test_noise_is_a_direction() -> None:
    generator, z = tiny_generator(), torch.randn(3, 6)
    assert torch.allclose(generator(z, Growth(16)), generator(5 * z, Growth(16)), atol=1e-5)


def test_the_deviation_is_the_mean_over_features_and_pixels_of_each_group() -> None:
    maps = torch.randn(8, 3, 4, 4)
    seen = MinibatchDeviation(4)(maps)
    assert torch.equal(seen[:, :3], maps)
    for first in (0, 1):  # samples 0, 2, 4, 6 and 1, 3, 5, 7
        expected = float(maps[first::2].numpy().std(0).mean())
        assert torch.allclose(seen[first::2, 3], torch.full((4, 4, 4), expected), rtol=1e-4)


@pytest.mark.parametrize(("batch", "groups"), [(3, 1), (6, 2), (14, 7), (1, 1), (5, 5)])
def test_a_batch_that_four_do_not_divide_has_smaller_groups(batch: int, groups: int) -> None:
    planes = MinibatchDeviation(4)(torch.randn(batch, 2, 4, 4))[:, 2, 0, 0]
    assert len(set(planes.tolist())) <= groups


def test_only_the_discriminator_looks_at_the_batch() -> None:
    generator, judge, z = tiny_generator(), tiny_discriminator(), torch.randn(4, 6)
    maps = generator(z, Growth(16)).detach()
    assert torch.allclose(generator(z[:1], Growth(16)), maps[:1], atol=1e-5)
    alone, among_equals = judge(maps[:1], Growth(16)), judge(maps[:1].repeat(4, 1, 1, 1), Growth(16))
    assert torch.allclose(alone.expand(4), among_equals, atol=1e-5)
    assert not torch.allclose(alone, judge(maps, Growth(16))[:1], atol=1e-4)


def test_a_channel_in_which_nothing_is_marked_counts_nothing() -> None:
    """So weights that learnt from other channels judge as they did."""
    judge, fewer = (Discriminator(planes=k, resolution=16, width=4, max_width=8, group=4) for k in (3, 2))
    weights = judge.state_dict()
    for key in weights:
        if "from_maps" in key and key.endswith("weight"):
            weights[key] = weights[key][:, [0, 2]]
    fewer.load_state_dict(weights)
    maps = torch.rand(4, 3, 16, 16) * 2 - 1
    maps[:, 1] = -1
    assert torch.allclose(judge(maps, Growth(16, 0.5)), fewer(maps[:, [0, 2]], Growth(16, 0.5)), atol=1e-5)
    maps[:, 1] = 0
    assert not torch.allclose(
        judge(maps, Growth(16, 0.5)), fewer(maps[:, [0, 2]], Growth(16, 0.5)), atol=1e-3
    )


def test_the_generator_draws_what_it_drew_when_it_was_written() -> None:
    generator = tiny_generator(resolution=16, planes=1)
    torch.manual_seed(2)
    maps = generator(torch.randn(1, 6), Growth(16, 0.5))[0, 0].detach()
    found = [*maps[::5, 7].tolist(), maps.mean().item(), maps.std().item()]
    assert found == pytest.approx(GOLDEN_MAP, abs=2e-5)


def test_the_discriminator_says_what_it_said_when_it_was_written() -> None:
    judge = tiny_discriminator(resolution=16, planes=1)
    torch.manual_seed(3)
    logits = judge(torch.randn(3, 1, 16, 16), Growth(16, 0.5)).tolist()
    assert logits == pytest.approx(GOLDEN_LOGITS, abs=2e-5)


GOLDEN_MAP = [0.640666, -0.390316, -0.376044, 0.22545, -0.322931, 0.377994]
GOLDEN_LOGITS = [-0.764391, -0.707766, -0.814059]


def test_the_logistic_losses_are_cross_entropy() -> None:
    real, fake = torch.tensor([-3.0, 0.0, 2.0]), torch.tensor([1.0, -2.0, 0.5])
    ones, zeros = torch.ones(3), torch.zeros(3)
    cross_entropy = F.binary_cross_entropy_with_logits
    expected = cross_entropy(real, ones) + cross_entropy(fake, zeros)
    assert logistic_d_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-6)
    assert logistic_g_loss(fake).item() == pytest.approx(cross_entropy(fake, ones).item(), rel=1e-6)


def test_a_critic_is_to_place_real_maps_above_drawn_ones() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 2.0])
    assert wasserstein_d_loss(real, fake).item() == pytest.approx(0.5 - 2.0)
    assert wasserstein_g_loss(fake).item() == pytest.approx(-0.5)
    assert drift_penalty(real).item() == pytest.approx((1 + 9) / 2)


def test_penalties_of_a_linear_discriminator_are_known() -> None:
    weights = torch.randn(2, 5, 5, dtype=torch.float64)
    maps = torch.randn(3, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    length = weights.norm().item()
    assert r1_penalty((maps * weights).sum((1, 2, 3)), maps).item() == pytest.approx(length**2 / 2, rel=1e-5)
    found = gradient_penalty((maps * weights).sum((1, 2, 3)), maps).item()
    assert found == pytest.approx((length - 1) ** 2, rel=1e-5)


def test_penalties_are_of_each_map_alone() -> None:
    # D(x) = |x|^2 / 2, whose gradient is x itself.
    maps = torch.randn(3, 1, 4, 4, requires_grad=True)
    lengths = maps.detach().flatten(1).norm(dim=1)
    r1 = r1_penalty(maps.square().sum((1, 2, 3)) / 2, maps)
    assert r1.item() == pytest.approx((lengths.square() / 2).mean().item(), rel=1e-5)
    penalty = gradient_penalty(maps.square().sum((1, 2, 3)) / 2, maps)
    assert penalty.item() == pytest.approx((lengths - 1).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("penalty", [r1_penalty, gradient_penalty])
def test_penalties_can_be_descended_through_the_network(penalty) -> None:  # type: ignore[no-untyped-def]
    judge = tiny_discriminator(resolution=16).double()
    judge.head.deviation = nn.Identity()  # type: ignore[assignment]
    judge.head.conv = EqualConv2d(8, 8, 3, padding=1).double()
    maps = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    weight = judge.blocks["8"].conv.weight  # type: ignore[union-attr]
    assert isinstance(weight, Tensor)

    def value_at(nudge: float | Tensor) -> Tensor:
        x = maps.clone().requires_grad_(True)
        with torch.no_grad():
            weight.add_(nudge)
        value: Tensor = penalty(judge(x, Growth(8)), x)
        return value

    (slope,) = torch.autograd.grad(value_at(0.0), weight)
    steepest = slope / slope.norm()
    # So short a way that no leaky ReLU changes sides, so long that float32 tells the ends apart.
    way = 1e-5 * steepest
    finite = (value_at(way) - value_at(-2 * way)).item() / 2e-5
    assert slope.norm().item() == pytest.approx(finite, rel=0.02)
