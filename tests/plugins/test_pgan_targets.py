"""What ``pgan`` learns in place of maps: it comes back as the same map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from retina_core.phantom import phantom_eye
from retina_pgan.targets import Target, blur, decode, encode, planes_of, signed_distance

TARGETS: list[tuple[Target, float]] = [("map", 1.0), ("blur", 0.7), ("distance", 2.0), ("centreline", 1.0)]


@pytest.fixture(scope="module")
def maps() -> Tensor:
    """Vessels and discs (2 2 128 128) of phantom eyes, soft."""
    eyes = [phantom_eye(2024, index, 256).labels for index in range(2)]
    drawn = torch.stack(
        [
            torch.stack([torch.from_numpy(eye[channel]) for channel in ("vessel", "optic_disc")])
            for eye in eyes
        ]
    )
    return F.avg_pool2d(drawn.float(), 2)


def soft_dice(one: Tensor, other: Tensor) -> float:
    return float(2 * torch.minimum(one, other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize(("target", "reach_px"), TARGETS)
def test_a_map_comes_back_from_its_target(maps: Tensor, target: Target, reach_px: float) -> None:
    planes = encode(maps, target, reach_px=reach_px)
    assert planes.shape == (2, planes_of(target, 2), 128, 128)
    assert 0 <= float(planes.min()) < float(planes.max()) <= 1
    back = decode(planes, target, reach_px=reach_px)
    for channel in (0, 1):
        assert soft_dice(back[:, channel], maps[:, channel]) >= 0.97


@pytest.mark.parametrize(("target", "reach_px"), TARGETS[:3])  # a full map has no centre line
def test_an_empty_map_and_a_full_one_stay_so(target: Target, reach_px: float) -> None:
    for value in (0.0, 1.0):
        maps = torch.full((1, 1, 16, 16), value)
        back = decode(encode(maps, target, reach_px=reach_px), target, reach_px=reach_px)
        assert torch.allclose(back, maps, atol=1e-4)


@pytest.mark.parametrize(("target", "reach_px"), TARGETS)
def test_each_map_is_worked_on_alone(maps: Tensor, target: Target, reach_px: float) -> None:
    together = encode(maps, target, reach_px=reach_px)
    assert torch.allclose(together[1:], encode(maps[1:], target, reach_px=reach_px), atol=1e-6)
    back = decode(together, target, reach_px=reach_px)
    assert torch.allclose(back[1:], decode(together[1:], target, reach_px=reach_px), atol=1e-6)


@pytest.mark.parametrize("target", ["blur", "distance"])
def test_smoother_targets_vary_less_from_pixel_to_pixel(maps: Tensor, target: Target) -> None:
    def steepest(x: Tensor) -> float:
        return float(x.diff(dim=-1).abs().max())

    assert steepest(encode(maps, target, reach_px=2.0)) < 0.6 * steepest(maps)


def test_distances_are_nearly_euclidean() -> None:
    square = torch.zeros(1, 1, 24, 24)
    square[..., 8:17, 8:17] = 1
    inside = distance_transform_edt(square[0, 0].numpy())
    outside = distance_transform_edt(1 - square[0, 0].numpy())
    expected = torch.from_numpy(outside - inside).float()
    expected -= 0.5 * expected.sign()  # from the edge between two pixels, not from the next pixel's middle
    found = signed_distance(square, 3.0)[0, 0]
    near = expected.abs() <= 3
    # Steps to eight neighbours make a way up to 8 % longer.
    assert torch.allclose(found[near], expected[near], rtol=0, atol=0.08 * 3.5)
    assert bool((found[~near].abs() >= 3).all())


def test_a_line_thinner_than_a_pixel_is_kept() -> None:
    line = torch.zeros(1, 1, 16, 16)
    line[..., 5, :] = 0.3
    for target in ("distance", "centreline"):
        assert torch.allclose(
            decode(encode(line, target, reach_px=2.0), target, reach_px=2.0), line, atol=1e-5
        )


def test_a_blur_keeps_what_is_there_in_all() -> None:
    dot = torch.zeros(1, 2, 15, 15)
    dot[0, 1, 7, 7] = 1
    blurred = blur(dot, 0.7)
    assert float(blurred[0, 1].sum()) == pytest.approx(1, abs=1e-5)
    assert not blurred[0, 0].any()
    spread = (blurred[0, 1].sum(0) * (torch.arange(15.0) - 7).square()).sum()
    assert float(spread) == pytest.approx(0.7**2, rel=0.02)
