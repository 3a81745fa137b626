"""How a discriminator's maps are changed: which changes, how often, how exactly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retina_core.config import AdaptiveConfig
from retina_core.randomness import sample_rngs
from retina_core.training.adaptive import AdaptiveAugmentation
from retina_core.training.adaptive_geometry import change_maps, draw_changes

SIDE = 64
MANY = 8000


def augmentation(background: float = 0.0, **settings: Any) -> AdaptiveAugmentation:
    return AdaptiveAugmentation(AdaptiveConfig(**settings), background=background)


def fixed(strength: float, background: float = 0.0) -> AdaptiveAugmentation:
    return augmentation(background, ada="fixed", ada_strength=strength)


def noise(*shape: int) -> Tensor:
    """Numbers in [-1, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def affine(linear: Any, shift: tuple[float, float] = (0, 0)) -> Tensor:
    """(1 3 3) of a linear part and a shift in pixels."""
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[:2, :2] = torch.as_tensor(linear, dtype=torch.float64)
    matrix[:2, 2] = torch.tensor(shift)
    return matrix[None]


@pytest.fixture(scope="module")
def drawn() -> Tensor:
    """Many changes at half strength."""
    return draw_changes(sample_rngs(0, MANY), 0.5, SIDE, SIDE)


def exact_ones(matrices: Tensor) -> Tensor:
    """Those that only flip, turn and shift by whole pixels."""
    whole = (matrices == matrices.round()).all((1, 2))
    return matrices[whole & (matrices[:, :2, :2].abs().sum((1, 2)) == 2)]


def read_by_index(map_: Tensor, matrix: Tensor) -> Tensor:
    """(k h w) through an exact (3 3), pixel by pixel; 0 outside."""
    side = map_.shape[-1]
    middle = (side - 1) / 2
    rows, columns = torch.meshgrid(torch.arange(side) - middle, torch.arange(side) - middle, indexing="ij")
    places = torch.einsum("ij,jhw->ihw", matrix, torch.stack([columns, rows, torch.ones_like(rows)]).double())
    x, y = (places[:2] + middle).long()
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    return torch.where(inside, map_[:, y.clamp(0, side - 1), x.clamp(0, side - 1)], 0)


def test_off_gives_the_maps_back_and_draws_nothing() -> None:
    maps, rngs = noise(2, 1, 8, 8), sample_rngs(0, 2)
    assert augmentation(ada="off", ada_strength=1)(maps, rngs) is maps
    assert [torch.rand((), generator=rng) for rng in rngs] == [
        torch.rand((), generator=rng) for rng in sample_rngs(0, 2)
    ]


def test_strength_zero_is_the_identity() -> None:
    maps = noise(3, 2, 16, 16)
    assert fixed(0.0, background=-1.0)(maps, sample_rngs(0, 3)) is maps


def test_as_many_numbers_are_drawn_at_every_strength() -> None:
    left = []
    for strength in (0.0, 0.3, 1.0):
        rngs = sample_rngs(0, 2)
        fixed(strength)(noise(2, 1, 8, 8), rngs)
        left.append([float(torch.rand((), generator=rng)) for rng in rngs])
    assert left[0] == left[1] == left[2]


@pytest.mark.parametrize("side", [8, 64, 256])
def test_flips_turns_and_whole_shifts_are_exact(side: int) -> None:
    maps = noise(1, 2, side, side)
    turned = affine([[0, 1], [-1, 0]])
    assert torch.equal(change_maps(maps, affine([[-1, 0], [0, 1]])), maps.flip(-1))
    assert torch.equal(change_maps(maps, turned), maps.rot90(-1, (-2, -1)))
    assert torch.equal(change_maps(maps, turned @ turned), maps.flip(-1, -2))
    shifted = change_maps(maps, affine(torch.eye(2), (3, -2)))
    assert torch.equal(shifted[:, :, 2:, :-3], maps[:, :, :-2, 3:])
    assert not shifted[:, :, :2].any()
    assert not shifted[:, :, :, -3:].any()


def test_drawn_exact_changes_move_pixels_unchanged(drawn: Tensor) -> None:
    matrices = exact_ones(drawn)[:24]
    assert len({tuple(m[:2, :2].flatten().tolist()) for m in exact_ones(drawn)}) == 8  # every flip and turn
    maps = noise(len(matrices), 1, SIDE, SIDE)
    changed = change_maps(maps, matrices)
    for map_, matrix, found in zip(maps, matrices, changed, strict=True):
        assert torch.equal(found, read_by_index(map_, matrix))


def test_a_side_that_is_no_power_of_two_is_exact_but_for_rounding() -> None:
    maps = noise(1, 1, 90, 90)
    torch.testing.assert_close(change_maps(maps, affine([[-1, 0], [0, 1]])), maps.flip(-1), atol=1e-4, rtol=0)


def share(condition: Tensor) -> float:
    return float(condition.double().mean())


def test_each_change_appears_with_its_probability(drawn: Tensor) -> None:
    linear, shift = drawn[:, :2, :2], drawn[:, :2, 2]
    flipped = torch.linalg.det(linear) < 0
    assert share(flipped) == pytest.approx(0.25, abs=0.015)  # a flip is one of two choices
    area = torch.linalg.det(linear).abs()
    assert share((area - 1).abs() > 1e-9) == pytest.approx(0.5, abs=0.02)
    lengths = torch.linalg.svdvals(linear)
    stretched = lengths[:, 0] / lengths[:, 1] > 1 + 1e-9
    assert share(stretched) == pytest.approx(0.5, abs=0.02)

    # A stretch has an axis before and after it, which show the two rotations; without one they are a single turn.
    inner, outer = linear.mT @ linear, linear @ linear.mT
    rotation = 1 - math.sqrt(0.5)
    for axes in (inner, outer):
        assert share(axes[stretched][:, 0, 1].abs() > 1e-9) == pytest.approx(rotation, abs=0.03)
    turned = linear[~stretched].abs().amin((1, 2)) > 1e-9
    assert share(turned) == pytest.approx(0.5, abs=0.03)

    plain = ((linear == 0) | (linear.abs() == 1)).all((1, 2))
    quarters = linear[plain & ~flipped]
    upright = (quarters == torch.eye(2)).all((1, 2))
    assert share(~upright) == pytest.approx(0.375, abs=0.05)  # three of four choices
    fractions = (shift[plain] != shift[plain].round()).any(1)
    assert share(fractions) == pytest.approx(0.5, abs=0.05)
    assert share((shift[plain][~fractions] != 0).any(1)) == pytest.approx(0.5, abs=0.06)


def test_sizes_of_changes_are_the_papers() -> None:
    linear = draw_changes(sample_rngs(1, MANY), 1.0, SIDE, SIDE)[:, :2, :2]
    scale = -torch.linalg.det(linear).abs().log2() / 2
    assert float(scale.std()) == pytest.approx(0.2, rel=0.05)
    assert float(scale.abs().max()) <= 0.6 + 1e-6  # three deviations
    lengths = torch.linalg.svdvals(linear)
    stretch = (lengths[:, 0] / lengths[:, 1]).log2() / 2  # its size alone
    assert float(stretch.square().mean().sqrt()) == pytest.approx(0.2, rel=0.05)
    assert draw_changes(sample_rngs(0, 1), 0.0, SIDE, SIDE).equal(affine(torch.eye(2)))


def test_half_of_all_flips_happen_at_full_strength() -> None:
    linear = draw_changes(sample_rngs(2, MANY), 1.0, SIDE, SIDE)[:, :2, :2]
    assert share(torch.linalg.det(linear) < 0) == pytest.approx(0.5, abs=0.02)


def test_shifts_are_shares_of_each_side() -> None:
    matrices = draw_changes(sample_rngs(3, MANY), 0.5, 32, 128)
    upright = (matrices[:, :2, :2] == torch.eye(2)).all((1, 2))
    shift = matrices[upright][:, :2, 2]
    # Whole shifts are even up to an eighth, fractional ones normal with that deviation; each is there or not.
    expected = math.sqrt(0.5 * 0.125**2 / 3 + 0.5 * 0.125**2)
    assert (shift.std(0) / torch.tensor([128, 32])).tolist() == pytest.approx([expected] * 2, rel=0.12)


def test_gradients_of_both_orders_are_those_of_finite_differences() -> None:
    matrices = draw_changes(sample_rngs(4, 3), 1.0, 6, 6)
    maps = noise(3, 2, 6, 6).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: change_maps(x, matrices, -1.0), maps)
    # R1 looks through the change: a gradient of a gradient.
    assert torch.autograd.gradgradcheck(lambda x: change_maps(x, matrices, -1.0).pow(3), maps)


def test_a_map_is_changed_by_its_own_generator_alone() -> None:
    maps = noise(5, 2, 32, 32)
    together = fixed(0.7, -1.0)(maps, sample_rngs(0, 5))
    for i in (0, 3):
        alone = fixed(0.7, -1.0)(maps[i : i + 1], sample_rngs(0, 1, start=i))
        torch.testing.assert_close(alone[0], together[i], atol=1e-6, rtol=0)
    assert not torch.equal(together, fixed(0.7, -1.0)(maps, sample_rngs(1, 5)))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    fixed(0.7)(noise(2, 1, 16, 16), sample_rngs(0, 2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_outside_a_map_is_background() -> None:
    empty = torch.full((16, 2, 32, 32), -1.0)
    assert torch.equal(fixed(1.0, -1.0)(empty, sample_rngs(0, 16)), empty)
    full = fixed(1.0, -1.0)(-empty, sample_rngs(0, 16))
    assert float(full.min()) == -1.0
    assert float(full.max()) <= 1.0 + 1e-6
    assert share(full[:, 0] == -1.0) > 0.05


def masses(size: float, two_by_two: bool) -> Tensor:
    """What is left of lines a pixel wide at all phases, once they are shrunk across by ``size``."""
    maps = torch.zeros(1, 1, SIDE, SIDE)
    maps[:, :, SIDE // 2] = 1.0
    found = []
    for phase in torch.linspace(0, size, 13)[:-1].tolist():
        matrix = affine([[1, 0], [0, size]], (0, phase))
        if two_by_two:
            changed = change_maps(maps, matrix)
        else:
            half = torch.tensor([1, size, 1]).double() * matrix[0]
            half[1, 1], half[1, 2] = size, phase * 2 / SIDE
            grid = F.affine_grid(half[None, :2].float(), [1, 1, SIDE, SIDE], align_corners=False)
            changed = F.grid_sample(maps, grid, align_corners=False)
        found.append(changed[0, 0, :, SIDE // 2].sum())
    return torch.stack(found)


@pytest.mark.parametrize("size", [1.0, 1.1, 1.2, 1.33, 1.5, 1.75, 2.0])
def test_thin_lines_keep_their_brightness_when_they_are_shrunk(size: float) -> None:
    brightness = masses(size, two_by_two=True) * size
    torch.testing.assert_close(brightness, torch.ones_like(brightness), atol=0.13, rtol=0)


def test_one_reading_a_pixel_would_break_them() -> None:
    brightness = masses(1.5, two_by_two=False) * 1.5
    assert float(brightness.max() - brightness.min()) > 0.5


def test_nothing_is_blurred_that_is_not_shrunk() -> None:
    maps = noise(1, 1, 32, 32)
    matrix = affine([[0.8, 0.1], [-0.1, 0.8]], (0.3, -0.4))
    theta = matrix[0, :2].clone()
    theta[:, 2] /= 16
    grid = F.affine_grid(theta[None].float(), [1, 1, 32, 32], align_corners=False)
    torch.testing.assert_close(
        change_maps(maps, matrix), F.grid_sample(maps, grid, align_corners=False), atol=1e-4, rtol=0
    )


def test_bf16_maps_are_changed_in_float32() -> None:
    maps = noise(2, 1, 32, 32).to(torch.bfloat16)
    plain = fixed(1.0)(maps.float(), sample_rngs(0, 2))
    with torch.autocast("cpu", torch.bfloat16):
        changed = fixed(1.0)(maps, sample_rngs(0, 2))
        assert torch.equal(fixed(1.0)(maps.float(), sample_rngs(0, 2)), plain)
    assert changed.dtype == torch.bfloat16
    assert torch.equal(changed, plain.to(torch.bfloat16))
    assert changed.is_contiguous(memory_format=torch.channels_last)
