"""Each kind of structure is cut in its own manner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.measure import label
from torch import Tensor

from retina_core.cutting import cut_of, matched_threshold
from retina_core.maps import Cut, finish

SIDE = 96
INSIDE: NDArray[np.bool_] = np.ones((1, SIDE, SIDE), np.bool_)


def grain_in_haze() -> tuple[Tensor, Tensor]:
    """Points of 3 x 3 px in a haze that is half as bright (1 h w), and the points alone."""
    points = torch.zeros(1, SIDE, SIDE)
    for top in range(30, 60, 8):
        for left in range(30, 60, 8):
            points[0, top : top + 3, left : left + 3] = 1
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    haze = 0.5 * torch.exp(-((rows - 45) ** 2 + (columns - 45) ** 2) / (2 * 15**2))
    return torch.maximum(0.8 * points, haze[None]), points


def labels_of(channel: str, soft: Tensor, threshold: float) -> NDArray[np.bool_]:
    done = finish(soft[None], SIDE, torch.ones(1, 1, SIDE, SIDE), [cut_of(channel, threshold, 0.0, SIDE)])
    return done[0, 0].numpy() > 0


@pytest.mark.parametrize("channel", ["hard_exudate", "microaneurysm"])
def test_points_in_a_haze_come_out_as_points(channel: str) -> None:
    soft, points = grain_in_haze()
    threshold = matched_threshold(channel, soft, INSIDE, 0.995 * float(points.mean()))
    marked = labels_of(channel, soft, threshold)
    assert label(marked, connectivity=2).max() == 16
    assert (marked == (points[0].numpy() > 0)).mean() > 0.98


@pytest.mark.parametrize("channel", ["haemorrhage", "soft_exudate", "drusen"])
def test_a_lesion_is_not_widened_by_what_is_fainter_around_it(channel: str) -> None:
    soft, points = grain_in_haze()
    assert (labels_of(channel, soft, 0.6) == (points[0].numpy() > 0)).all()


def test_a_disc_that_a_generator_is_sure_of_is_cut_at_its_border_however_large_it_is() -> None:
    disc = torch.zeros(1, SIDE, SIDE)
    disc[0, 20:60, 20:60] = torch.linspace(0.96, 1.0, 40)[:, None].expand(40, 40)
    threshold = matched_threshold("optic_disc", disc, INSIDE, 0.03)
    assert labels_of("optic_disc", disc, threshold).sum() == 1600


@pytest.mark.parametrize("channel", ["optic_disc", "fovea"])
def test_of_two_discs_the_surer_is_kept(channel: str) -> None:
    soft = torch.zeros(1, SIDE, SIDE)
    soft[0, 10:30, 10:30], soft[0, 60:80, 60:80], soft[0, 85:88, 20:23] = 0.85, 0.95, 1.0
    marked = labels_of(channel, soft, 0.5)
    assert marked.sum() == 400
    assert marked[60:80, 60:80].all()


def test_several_lesions_are_all_kept_and_an_eye_may_have_no_disc() -> None:
    soft = torch.zeros(1, SIDE, SIDE)
    assert not labels_of("optic_disc", soft, 0.5).any()
    soft[0, 10:30, 10:30], soft[0, 60:80, 60:80] = 0.85, 0.95
    assert labels_of("haemorrhage", soft, 0.5).sum() == 800


def test_a_vessel_keeps_what_is_faint_where_it_touches_what_is_not() -> None:
    soft = torch.zeros(1, SIDE, SIDE)
    soft[0, 48, 10:40], soft[0, 48, 40:70] = 0.9, 0.55
    soft[0, 20, 10:30] = 0.55
    marked = labels_of("vessel", soft, 0.6)
    assert marked[48, 10:70].all()
    assert not marked[20].any()


def test_lengths_follow_the_size() -> None:
    assert cut_of("vessel", 0.3, 0.001, 96) == Cut(0.3, weak=0.5, relief_px=4.0, join_px=6.0, speck_px=9)
    assert cut_of("vessel", 0.3, 0.001, 192).relief_px == 8.0
    assert cut_of("hard_exudate", 0.3, 0.0, 96) == Cut(0.3, weak=1.0, relief_px=2.0)
    assert cut_of("haemorrhage", 0.3, 0.0, 96) == Cut(0.3)


@pytest.mark.parametrize("channel", ["vessel", "hard_exudate", "haemorrhage"])
def test_cut_in_its_manner_a_map_marks_the_share_that_its_threshold_was_matched_to(channel: str) -> None:
    rng = np.random.default_rng(0)
    soft = torch.from_numpy(rng.random((1, SIDE, SIDE), dtype=np.float32)) ** 2
    threshold = matched_threshold(channel, soft, INSIDE, 0.1)
    cut = cut_of(channel, threshold, 0.0, SIDE)._replace(join_px=0.0)
    marked = finish(soft[None], SIDE, torch.ones(1, 1, SIDE, SIDE), [cut])
    assert float(marked.mean()) == pytest.approx(0.1, abs=0.01)
