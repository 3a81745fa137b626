"""pix2pix's networks and losses, each held against the paper's numbers or a second way to work them out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retina_core.randomness import sample_rngs
from retina_core.testing import tiny_eyes
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_pix2pix.losses import discriminator_loss, generator_loss, photo_distance
from retina_pix2pix.network import Generator, PatchDiscriminator, halvings
from retina_pix2pix.stage import Pix2PixTranslator

SIZES = (32, 64, 128, 256)
TINY = {"resolution": 32, "width": 4, "max_width": 8, "discriminator_width": 4}
UPSAMPLINGS = ("resize", "transposed")
REAL = np.array([[-3.0, 0.0], [0.5, 20.0]])
FAKE = np.array([[-20.0, 0.0], [2.0, 0.3]])


def generator(resolution: int = 32, *, upsampling: str = "resize", dropout: float = 0.5) -> Generator:
    torch.manual_seed(1)
    network = Generator(
        channels=2,
        resolution=resolution,
        width=4,
        max_width=8,
        dropout=dropout,
        upsampling=upsampling,  # type: ignore[arg-type]
    )
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(10)  # fresh weights paint nearly one grey, in which nothing could be told apart
    return network


def maps(resolution: int = 32, count: int = 2) -> tuple[Tensor, Tensor]:
    """Labels (b 2 h w) and a round field of view (b 1 h w)."""
    draw = torch.Generator().manual_seed(5)
    labels = (torch.rand(count, 2, resolution, resolution, generator=draw) > 0.8).float()
    rows, columns = torch.meshgrid(torch.arange(resolution), torch.arange(resolution), indexing="ij")
    disc = (rows - resolution / 2).hypot(columns - resolution / 2) < 0.4 * resolution
    fov = disc.float().expand(count, 1, resolution, resolution)
    return labels * fov, fov


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_photograph_has_the_size_of_its_map(resolution: int, upsampling: str) -> None:
    labels, fov = maps(resolution)
    photo = generator(resolution, upsampling=upsampling)(labels, fov, sample_rngs(0, 2)).detach()
    assert photo.shape == (2, 3, resolution, resolution)
    assert photo.dtype == torch.float32
    assert -1 <= float(photo.min()) < float(photo.max()) <= 1


@pytest.mark.parametrize("resolution", SIZES)
def test_the_encoder_goes_down_to_one_pixel(resolution: int) -> None:
    network = generator(resolution)
    sizes: list[int] = []
    for step in network.encoder:
        step.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[-1]))
    network(*maps(resolution))
    assert sizes == [resolution // 2**step for step in range(1, halvings(resolution) + 1)]
    assert sizes[-1] == 1


@pytest.mark.parametrize("resolution", [16, 33, 48, 200])
def test_a_resolution_that_does_not_halve_to_one_pixel_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"power of two.*not {resolution}"):
        generator(resolution)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_outside_the_field_of_view_a_photograph_is_black(upsampling: str) -> None:
    labels, fov = maps()
    photo = generator(upsampling=upsampling)(labels, fov, sample_rngs(0, 2))
    outside = (1 - fov).bool().expand_as(photo)
    assert outside.any()
    assert bool((photo[outside] == -1).all())
    assert float(photo[~outside].detach().std()) > 0.01


def test_dropout_is_what_the_generators_draw() -> None:
    network, (labels, fov) = generator(), maps(count=2)
    one, again = (network(labels, fov, sample_rngs(3, 2)) for _ in range(2))
    other, without = network(labels, fov, sample_rngs(4, 2)), network(labels, fov)
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-2)
    assert not torch.allclose(one, without, atol=1e-2)
    assert torch.equal(without, network(labels, fov))


def test_one_map_and_two_generators_are_two_photographs() -> None:
    labels, fov = maps(count=1)
    pair = generator()(labels.repeat(2, 1, 1, 1), fov.repeat(2, 1, 1, 1), sample_rngs(0, 2))
    assert not torch.allclose(pair[0], pair[1], atol=1e-2)


def test_a_photograph_does_not_depend_on_its_batch() -> None:
    network, (labels, fov) = generator(), maps(count=4)
    together = network(labels, fov, sample_rngs(0, 4))
    alone = [network(labels[i : i + 1], fov[i : i + 1], [rng]) for i, rng in enumerate(sample_rngs(0, 4))]
    # Another batch size may choose another kernel, whose sums round otherwise: 2e-5 on one CPU. A neighbour's photograph
    # would show at 1e-2 and more.
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_three_decoder_steps_drop_as_in_the_paper() -> None:
    network = generator(256)
    masks = network.masks(sample_rngs(0, 2))
    assert [mask.shape for mask in masks] == [(2, 8, 2, 2), (2, 8, 4, 4), (2, 8, 8, 8)]
    assert all(set(mask.unique().tolist()) == {0.0, 2.0} for mask in masks)


@pytest.mark.parametrize("resolution", [32, 256])
def test_at_one_pixel_nothing_is_normalised(resolution: int) -> None:
    network, (labels, fov) = generator(resolution), maps(resolution)
    bottom = network.encoder[-1]
    kept: list[Tensor] = []
    bottom.register_forward_hook(lambda _m, _i, out: (out.retain_grad(), kept.append(out))[0])
    network(labels, fov).square().sum().backward()
    inner = kept[0]
    assert inner.shape[2:] == (1, 1)
    # Instance norm would have made it 0 for every map, and let nothing through.
    assert float(inner.detach().abs().max()) > 1e-3
    assert not torch.allclose(inner[0], inner[1], rtol=1e-2)
    assert inner.grad is not None
    assert float(inner.grad.abs().max()) > 0
    assert not any(isinstance(module, nn.InstanceNorm2d) for module in bottom.modules())
    norms = [any(isinstance(m, nn.InstanceNorm2d) for m in step.modules()) for step in network.encoder]
    assert norms == [False, *[True] * (halvings(resolution) - 2), False]


def test_a_photograph_depends_on_what_passes_the_bottom() -> None:
    network, (labels, fov) = generator(), maps()
    before = network(labels, fov)
    network.encoder[-1].register_forward_hook(lambda _m, _i, out: out.flip(0))  # the other map's
    assert not torch.allclose(before, network(labels, fov), atol=1e-3)


def reach(field: int | None, resolution: int) -> tuple[int, int]:
    """Rows and columns of the photograph that the middle logit depends on."""
    judge = PatchDiscriminator(
        channels=1, resolution=resolution, receptive_field=field, width=4, max_width=8
    ).double()
    for module in judge.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):  # its mean is over the whole photograph, a constant
                setattr(module, name, nn.Identity())
    photo = torch.randn(1, 3, resolution, resolution, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(1, 1, resolution, resolution, dtype=torch.float64)
    logits = judge.judge(torch.cat([ones, ones, photo], 1))
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert photo.grad is not None
    seen = photo.grad[0].abs().sum(0) > 0
    return int(seen.any(1).sum()), int(seen.any(0).sum())


@pytest.mark.parametrize("field", [1, 16, 70])
def test_a_logit_sees_exactly_its_patch(field: int) -> None:
    assert reach(field, 256) == (field, field)


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
def test_imagegan_sees_the_whole_photograph(resolution: int) -> None:
    # The middle logit of an even number stands beside the middle: a row and a column may be left to its neighbour.
    assert min(reach(None, resolution)) >= resolution - 1


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize(("field", "strided"), [(1, 0), (16, 1), (70, 3)])
def test_there_is_a_logit_for_every_patch(resolution: int, field: int, strided: int) -> None:
    judge = PatchDiscriminator(channels=2, resolution=resolution, receptive_field=field, width=4, max_width=8)
    side = resolution if field == 1 else resolution // 2**strided - 2
    logits = judge(*maps(resolution), torch.zeros(2, 3, resolution, resolution))
    assert logits.shape == (2, 1, side, side)
    assert logits.dtype == torch.float32


def test_the_discriminator_reads_map_field_and_photograph() -> None:
    judge = PatchDiscriminator(channels=2, resolution=32, receptive_field=16, width=4, max_width=8)
    inputs = [x.clone().requires_grad_(True) for x in (*maps(), torch.rand(2, 3, 32, 32))]
    judge(*inputs)[:, :, 3, 3].sum().backward()
    assert all(x.grad is not None and float(x.grad.abs().amax((0, 2, 3)).min()) > 0 for x in inputs)


def test_the_logistic_game_is_half_the_cross_entropy() -> None:
    found = discriminator_loss(torch.tensor(REAL), torch.tensor(FAKE), "logistic")
    entropy = -np.log(1 / (1 + np.exp(-REAL))).mean() - np.log(1 - 1 / (1 + np.exp(-FAKE))).mean()
    assert float(found) == pytest.approx(entropy / 2, rel=1e-9)
    assert float(generator_loss(torch.tensor(FAKE), "logistic")) == pytest.approx(
        np.log1p(np.exp(-FAKE)).mean(), rel=1e-9
    )


def test_the_least_squares_game_is_half_the_squares() -> None:
    found = discriminator_loss(torch.tensor(REAL), torch.tensor(FAKE), "least_squares")
    assert float(found) == pytest.approx((((REAL - 1) ** 2).mean() + (FAKE**2).mean()) / 2, rel=1e-12)
    assert float(generator_loss(torch.tensor(FAKE), "least_squares")) == pytest.approx(
        ((FAKE - 1) ** 2).mean(), rel=1e-12
    )


@pytest.mark.parametrize("game", ["logistic", "least_squares"])
def test_a_discriminator_that_is_right_has_less_to_lose(game: str) -> None:
    high, low = torch.full((3,), 1.0), torch.full((3,), 0.0)
    right, wrong = discriminator_loss(high, low, game), discriminator_loss(low, high, game)  # type: ignore[arg-type]
    assert float(right) < float(wrong)
    assert float(generator_loss(high, game)) < float(generator_loss(low, game))  # type: ignore[arg-type]


def test_the_distance_is_the_mean_absolute_difference() -> None:
    painted, photo = torch.tensor([[0.5, -1.0, 1.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    assert float(photo_distance(painted, photo)) == pytest.approx((0.5 + 2.0 + 0.0) / 3)


@pytest.mark.parametrize(
    ("field", "game"),
    [
        ("1", "logistic"),
        ("16", "least_squares"),
        ("70", "logistic"),
        ("70", "least_squares"),
        ("image", "logistic"),
    ],
)
def test_every_game_and_patch_trains(
    field: str, game: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    settings = {
        **TINY,
        "receptive_field": field,
        "gan_loss": game,
        "seen_images": 8,
        "batch_size": 4,
        "average_half_life": 0,
    }
    folder, options = tmp_path / "stage", FitOptions(device="cpu")
    stage = fit("pix2pix", tiny_eyes(), folder, preset="quick", settings=settings, options=options)
    assert isinstance(stage, Pix2PixTranslator)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["seen_images"] for row in rows] == [4, 8]
    assert all(np.isfinite(row[name]) for row in rows for name in ("d", "g", "l1"))
    # A logit of 0 costs ln 2 in the one game, half and one in the other.
    first = {"logistic": (np.log(2), np.log(2)), "least_squares": (0.5, 1.0)}[game]
    assert (rows[0]["d"], rows[0]["g"]) == pytest.approx(first, abs=0.35)
