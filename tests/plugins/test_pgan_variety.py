"""Variety of a batch of maps: what it is, and when it is missed."""

import pytest
import torch

from retina_pgan.variety import variety, variety_gap


def test_variety_is_the_mean_distance_of_pairs_plane_by_plane() -> None:
    maps = torch.zeros(3, 2, 32, 32)
    maps[1, 0] = 1.0
    assert variety(maps).tolist() == pytest.approx([2 / 3, 0.0])


def test_a_gap_is_there_only_where_drawn_maps_differ_less() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.rand(6, 1, 32, 32, generator=rng)
    assert variety_gap(real, real).item() == pytest.approx(0.0, abs=1e-6)
    assert variety_gap(real, 2 * real).item() == 0.0
    assert variety_gap(real, real / 2).item() == pytest.approx(0.5, rel=1e-4)
    assert variety_gap(real, real[:1].expand(6, -1, -1, -1)).item() == pytest.approx(1.0)


def test_planes_without_variety_and_batches_of_one_ask_for_nothing() -> None:
    rng = torch.Generator().manual_seed(0)
    same, drawn = torch.ones(4, 1, 16, 16), torch.rand(4, 1, 16, 16, generator=rng)
    assert variety_gap(same, drawn).item() == 0.0
    assert variety_gap(drawn[:1], drawn[:1]).item() == 0.0


def test_its_gradient_drives_maps_apart() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.rand(4, 1, 16, 16, generator=rng)
    fake = (real / 4).requires_grad_(True)
    before = variety(fake)
    (slope,) = torch.autograd.grad(variety_gap(real, fake), fake)
    assert (variety(fake - slope) > before).all()
