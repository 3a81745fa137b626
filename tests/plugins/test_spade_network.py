"""SPADE's networks, each held against the paper's numbers or a second way to work them out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm as torch_spectral_norm

from retina_core.randomness import sample_rngs
from retina_spade.config import SPADEConfig
from retina_spade.discriminator import MultiScaleDiscriminator
from retina_spade.network import Block, Generator, Modulation, features_at, plain_norm, pyramid
from retina_spade.spectral import spectral_norm
from retina_spade.stage import SPADETranslator
from retina_spade.styles import StyleEncoder, StylePrior, colour_statistics

SIZES = (64, 256, 1024)


def generator(
    resolution: int = 32, *, latent: int = 0, grain: bool = False, norm: str = "instance"
) -> Generator:
    """A tiny one, in which styles and grain count as they do once learnt."""
    torch.manual_seed(1)
    encoder = StyleEncoder(resolution=16, width=4, max_width=8, latent=latent) if latent else None
    network = Generator(
        channels=2,
        resolution=resolution,
        width=4,
        width_px=32,
        max_width=8,
        hidden=4,
        norm=norm,  # type: ignore[arg-type]
        grain=grain,
        encoder=encoder,
    )
    for name, weight in network.named_parameters():
        if name.endswith((".style.weight", ".grain")):
            nn.init.normal_(weight, 0.0, 0.5)
    return network.eval()


def maps(resolution: int = 32, count: int = 2) -> tuple[Tensor, Tensor]:
    """Labels (b 2 h w) and a round field of view (b 1 h w)."""
    draw = torch.Generator().manual_seed(5)
    labels = (torch.rand(count, 2, resolution, resolution, generator=draw) > 0.8).float()
    rows, columns = torch.meshgrid(torch.arange(resolution), torch.arange(resolution), indexing="ij")
    disc = (rows - resolution / 2).hypot(columns - resolution / 2) < 0.4 * resolution
    fov = disc.float().expand(count, 1, resolution, resolution)
    return labels * fov, fov


@pytest.mark.parametrize("resolution", SIZES)
def test_every_power_of_two_is_painted_and_judged(resolution: int) -> None:
    with torch.device("meta"):
        config = SPADEConfig(resolution=resolution)
        stage = SPADETranslator(config, ("vessel", "optic_disc", "fovea"))
        labels, fov = torch.zeros(1, 3, resolution, resolution), torch.zeros(1, 1, resolution, resolution)
        photo = stage.generator(labels, fov, torch.zeros(1, config.latent))
        found = stage.discriminator(labels, fov, photo)
    assert photo.shape == (1, 3, resolution, resolution)
    assert [judge[-1].shape[1] for judge in found] == [1, 1]
    assert [judge[-1].shape[-1] for judge in found] == [resolution // 8 + 3, resolution // 16 + 3]


def test_at_256_px_the_features_are_the_papers() -> None:
    with torch.device("meta"):
        blocks = Generator(
            channels=1, resolution=256, width=64, width_px=256, max_width=1024, hidden=128
        ).blocks
    found = {px: block.conv_mid.out_channels for px, block in blocks.items()}
    expected = {"4": 1024, "8": 1024, "16": 1024, "32": 512, "64": 256, "128": 128, "256": 64}
    assert found == expected
    assert [px for px, block in blocks.items() if block.shortcut is not None] == ["32", "64", "128", "256"]


def test_features_double_from_width_px_on_up_to_the_most() -> None:
    assert [features_at(px, 16, 128, 64) for px in (512, 256, 128, 64, 32, 16)] == [16, 16, 16, 32, 64, 64]


@pytest.mark.parametrize("smaller", [64, 128])
def test_a_layer_has_one_name_and_shape_at_every_resolution(smaller: int) -> None:
    def stage(resolution: int) -> SPADETranslator:
        config = SPADEConfig.resolve("spade", "quick", {"resolution": resolution, "width_px": 32})
        return SPADETranslator(config, ("vessel",))

    small, large = (
        {
            f"{name}.{key}": value.shape
            for name, net in found.networks().items()
            for key, value in net.state_dict().items()
        }
        for found in (stage(smaller), stage(2 * smaller))
    )
    shared = {key for key in small if f"judges.{smaller // 2}." not in key}
    assert {key: small[key] for key in shared} == {key: large[key] for key in shared}
    assert {key.split(".")[2] for key in large.keys() - small.keys()} == {str(2 * smaller)}


def test_outside_the_field_of_view_a_photograph_is_black() -> None:
    labels, fov = maps()
    photo = generator(latent=3, grain=True)(labels, fov, torch.randn(2, 3), sample_rngs(0, 2))
    outside = (1 - fov).bool().expand_as(photo)
    assert outside.any()
    assert bool((photo[outside] == -1).all())
    assert float(photo[~outside].detach().std()) > 0.01


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_norms_have_no_weights_of_their_own(norm: str) -> None:
    network = generator(norm=norm)
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.InstanceNorm2d))]
    assert len(norms) == 2 * len(network.blocks)
    assert not [weight for module in norms for weight in module.parameters()]


def test_a_modulation_is_the_papers() -> None:
    """(x - mean) / deviation * (1 + gamma(m)) + beta(m), the two from two convolutions over the maps."""
    torch.manual_seed(0)
    modulation = Modulation(6, f_label=3, hidden=5, latent=0)
    x, told = torch.randn(2, 6, 8, 8) * 3 + 1, torch.rand(2, 3, 8, 8)
    hidden = F.relu(F.conv2d(told, modulation.hidden.weight, modulation.hidden.bias, padding=1))
    gamma = F.conv2d(hidden, modulation.scale.weight, modulation.scale.bias, padding=1)
    beta = F.conv2d(hidden, modulation.shift.weight, modulation.shift.bias, padding=1)
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta
    torch.testing.assert_close(
        modulation(plain_norm("instance", 6)(x), told, None), expected, atol=1e-5, rtol=0
    )


def test_a_style_adds_to_scale_and_shift_whatever_the_batch() -> None:
    torch.manual_seed(0)
    modulation = Modulation(6, f_label=3, hidden=5, latent=4)
    normed, told, style = torch.randn(2, 6, 8, 8), torch.rand(2, 3, 8, 8), torch.randn(2, 4)
    both = modulation(normed, told, style)
    assert modulation.style is not None
    more, up = modulation.style(style)[:, :, None, None].chunk(2, 1)
    torch.testing.assert_close(both, modulation(normed, told, None) + more * normed + up, atol=1e-5, rtol=0)
    torch.testing.assert_close(both[1:], modulation(normed[1:], told[1:], style[1:]), atol=1e-5, rtol=0)


def test_a_block_is_its_residual_and_its_shortcut() -> None:
    """The paper's order, figure 3 and 4: double, norm, modulate, leaky ReLU, convolve; twice, and a learnt shortcut."""
    torch.manual_seed(0)
    block = Block(8, 4, f_label=3, hidden=5, latent=0, norm="instance", grain=False).eval()
    x, told = torch.randn(2, 8, 4, 4), torch.rand(2, 3, 8, 8)
    norm, large = F.instance_norm, F.interpolate(x, scale_factor=2)
    y = block.conv_in(F.leaky_relu(block.modulations[0](norm(large), told, None), 0.2))
    y = block.conv_mid(F.leaky_relu(block.modulations[1](norm(y), told, None), 0.2))
    assert block.shortcut is not None
    expected = block.shortcut(block.modulations[2](norm(large), told, None)) + y
    torch.testing.assert_close(block(x, told, None, None), expected, atol=1e-4, rtol=0)


def test_maps_keep_their_share_at_every_size() -> None:
    line = torch.zeros(1, 1, 64, 64)
    line[..., 13] = 1  # a pixel wide: nearest neighbours would lose it
    found = pyramid(line)
    assert list(found) == [64, 32, 16, 8, 4]
    assert all(float(map_.mean()) == pytest.approx(1 / 64) for map_ in found.values())


def test_two_maps_are_two_photographs() -> None:
    labels, fov = maps(count=1)
    network = generator()
    assert not torch.allclose(network(labels, fov), network(labels.flip(-1), fov), atol=1e-2)


def test_two_styles_are_two_photographs_and_one_is_one() -> None:
    labels, fov = maps(count=1)
    network, styles = generator(latent=3), torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0))
    one, again, other = (network(labels, fov, style) for style in (styles[0], styles[0], styles[1]))
    assert torch.equal(one, again)
    assert float((one - other).abs().mean().detach()) > 0.01


def test_grain_is_what_the_generators_draw() -> None:
    labels, fov = maps()
    network = generator(grain=True)
    one, again, other = (network(labels, fov, None, sample_rngs(seed, 2)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-2)
    assert torch.equal(network(labels, fov), network(labels, fov))


def test_a_photograph_does_not_depend_on_its_batch() -> None:
    network, (labels, fov) = generator(latent=3, grain=True, norm="batch"), maps(count=3)
    styles = torch.randn(3, 3)
    together = network(labels, fov, styles, sample_rngs(0, 3))
    alone = [
        network(labels[i : i + 1], fov[i : i + 1], styles[i : i + 1], [rng])
        for i, rng in enumerate(sample_rngs(0, 3))
    ]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_spectral_norm_is_torchs_own(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    mine = nn.Conv2d(6, 10, 3)
    theirs = torch_spectral_norm(copy.deepcopy(mine))
    spectral_norm(mine).load_state_dict(theirs.state_dict())
    mine.to(memory_format=layout)  # type: ignore[call-overload]
    mine.eval(), theirs.eval()
    x = torch.randn(2, 6, 8, 8)
    for convolution in (mine, theirs):
        convolution(x).square().sum().backward()
    torch.testing.assert_close(mine.weight, theirs.weight)
    ours, known = (c.parametrizations.weight.original.grad for c in (mine, theirs))
    torch.testing.assert_close(ours, known, atol=1e-4, rtol=1e-4)


def test_under_spectral_norm_nothing_is_stretched_once_it_has_settled() -> None:
    torch.manual_seed(0)
    convolution = spectral_norm(nn.Conv2d(6, 10, 3)).train()
    with torch.no_grad():
        convolution.parametrizations.weight.original.mul_(7)
    for _ in range(30):
        convolution(torch.zeros(1, 6, 3, 3))
    singular = torch.linalg.svdvals(convolution.weight.detach().flatten(1))
    assert float(singular[0]) == pytest.approx(1, abs=1e-4)


def test_convolutions_under_spectral_norm_are_those_of_the_released_code() -> None:
    held = [name for name, m in generator(latent=3).blocks.named_modules() if hasattr(m, "parametrizations")]
    assert {name.split(".")[1] for name in held} == {"conv_in", "conv_mid", "shortcut"}
    judge = MultiScaleDiscriminator(channels=1, resolution=64, scales=1, width=4, max_width=8).judges["64"]
    assert [name for name, m in judge.named_modules() if hasattr(m, "parametrizations")] == [
        f"layers.{i}.0" for i in (1, 2, 3)
    ]


def test_the_judges_see_the_photograph_at_full_and_half_size() -> None:
    judges = MultiScaleDiscriminator(channels=2, resolution=64, scales=2, width=4, max_width=8)
    seen: list[Tensor] = []
    for judge in judges.judges.values():
        judge.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    labels, fov = maps(64)
    photo = torch.rand(2, 3, 64, 64)
    judges(labels, fov, photo)
    assert [x.shape[-1] for x in seen] == [64, 32]
    assert torch.equal(seen[0], torch.cat([labels, fov, photo], 1))
    torch.testing.assert_close(seen[1], F.interpolate(seen[0], scale_factor=0.5, mode="area"))


def test_comparing_in_one_pass_finds_what_two_would() -> None:
    judges = MultiScaleDiscriminator(channels=2, resolution=32, scales=2, width=4, max_width=8).eval()
    labels, fov = maps()
    real, fake = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for found, photo in zip(judges.compare(labels, fov, real, fake), (real, fake), strict=True):
        for layers, expected in zip(found, judges(labels, fov, photo), strict=True):
            torch.testing.assert_close(layers, expected, atol=1e-5, rtol=1e-5)


def test_the_style_encoder_sees_colour_and_brightness_as_a_whole() -> None:
    torch.manual_seed(0)
    encoder = StyleEncoder(resolution=16, width=4, max_width=8, latent=3).eval()
    _, fov = maps(32, count=1)
    red, brighter = (
        torch.tensor(colour).view(1, 3, 1, 1) * fov + (fov - 1)
        for colour in ((0.2, -0.5, -0.8), (0.6, -0.5, -0.8))
    )
    assert float((encoder(red).mean - encoder(brighter).mean).abs().max().detach()) > 0.05


def test_colours_are_counted_where_there_is_light() -> None:
    _, fov = maps(32, count=1)
    photo = torch.tensor([0.4, -0.2, -0.6]).view(1, 3, 1, 1) * fov + (fov - 1)
    assert colour_statistics(photo)[0, :3].tolist() == pytest.approx([0.4, -0.2, -0.6], abs=1e-5)
    assert float(colour_statistics(photo)[0, 3:].max()) < 0.01


def test_styles_are_drawn_as_those_that_were_met() -> None:
    prior = StylePrior(2)
    draw = torch.Generator().manual_seed(0)
    root = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    for _ in range(400):
        prior.observe(torch.randn(16, 2, generator=draw) @ root.mT + torch.tensor([3.0, -1.0]))
    drawn = prior.sample(sample_rngs(0, 2000))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([3.0, -1.0]), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn.mT.cov(), root @ root.mT, atol=0.2, rtol=0)
    assert torch.equal(prior.sample(sample_rngs(0, 3, start=2))[0], drawn[2])


def test_before_any_style_was_met_they_are_standard_normal() -> None:
    drawn = StylePrior(2).sample(sample_rngs(0, 2000))
    torch.testing.assert_close(drawn.mT.cov(), torch.eye(2), atol=0.1, rtol=0)


def test_a_fixed_network_paints_a_fixed_photograph() -> None:
    """Golden numbers: a change of the network that nobody meant shows here."""
    labels, fov = maps(count=1)
    network = generator(latent=3, grain=True)
    with torch.no_grad():
        for index, weight in enumerate(network.parameters()):
            rng = torch.Generator().manual_seed(index)
            weight.copy_(torch.randn(weight.shape, generator=rng) * 0.2)
        for index, (name, buffer) in enumerate(network.named_buffers()):
            if name.endswith(("_u", "_v")):
                rng = torch.Generator().manual_seed(1000 + index)
                buffer.copy_(F.normalize(torch.randn(buffer.shape, generator=rng), dim=0))
        network.train()
        for _ in range(20):
            network(labels, fov, torch.zeros(1, 3))  # until the spectral norms have settled
        photo = network.eval()(labels, fov, torch.tensor([[0.5, -1.0, 0.2]]), sample_rngs(7, 1))
    found = F.avg_pool2d(photo, 8)[0, :, 1:3, 1:3].flatten().tolist()
    assert found == pytest.approx(GOLDEN, abs=2e-4)


GOLDEN = [
    -0.5723,
    -0.4023,
    -0.2553,
    -0.4441,
    -0.4746,
    -0.0724,
    -0.2788,
    -0.5033,
    0.8228,
    -0.0681,
    0.641,
    0.48,
]
