"""Soft maps become labels in one place, and the same way every time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from retina_core.maps import (
    Cut,
    finish,
    join,
    mark,
    match_marks,
    match_threshold,
    relief,
    remove_specks,
    resize,
)

LEVELS = st.integers(0, 20).map(lambda step: step / 20)
VALUES = arrays(np.float32, st.integers(1, 60), elements=LEVELS)


def soft_maps(b: int, k: int, size: int, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(b, k, size, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2) * 1.5


@pytest.mark.parametrize("size", [16, 32, 64, 70])
def test_labels_are_zero_and_one_at_the_wanted_size(size):
    labels = finish(soft_maps(3, 2, 32), size, torch.ones(3, 1, size, size), [Cut(0.7, speck_px=4), Cut(0.8)])
    assert labels.shape == (3, 2, size, size)
    assert labels.dtype == torch.float32
    assert set(labels.unique().tolist()) == {0.0, 1.0}


def test_nothing_is_marked_outside_the_fov():
    fov = torch.zeros(2, 1, 40, 40)
    fov[:, :, 10:30, 5:35] = 1
    labels = finish(torch.ones(2, 1, 20, 20), 40, fov, [Cut(0.5)])
    assert torch.equal(labels, fov)


def test_a_map_does_not_depend_on_its_batch_or_layout():
    maps, fov = soft_maps(5, 3, 24), torch.ones(5, 1, 50, 50)
    cuts = [Cut(threshold, weak=0.9, join_px=4, speck_px=3) for threshold in (0.7, 0.75, 0.8)]
    together = finish(maps.to(memory_format=torch.channels_last), 50, fov, cuts)
    alone = torch.cat([finish(maps[i : i + 1], 50, fov[i : i + 1], cuts) for i in range(5)])
    assert torch.equal(together, alone)


def test_maps_stay_soft_until_after_the_resize():
    """Thresholding before shrinking would mark a quarter-covered pixel or lose a half-covered one."""
    fine = torch.zeros(1, 1, 8, 8)
    fine[..., 0] = 1  # half of each coarse pixel of the first column
    assert finish(fine, 4, torch.ones(1, 1, 4, 4), [Cut(0.49)])[0, 0, :, 0].tolist() == [1, 1, 1, 1]
    assert finish(fine, 4, torch.ones(1, 1, 4, 4), [Cut(0.51)]).sum() == 0


def test_each_channel_has_its_own_threshold():
    labels = finish(torch.full((1, 2, 8, 8), 0.5), 8, torch.ones(1, 1, 8, 8), [Cut(0.4), Cut(0.6)])
    assert labels.mean(dim=(0, 2, 3)).tolist() == [1, 0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        finish(torch.ones(1, 2, 8, 8), 8, torch.ones(1, 1, 8, 8), [Cut(0.5)])
    with pytest.raises(ValueError, match="do not fit"):
        finish(torch.ones(2, 1, 8, 8), 8, torch.ones(1, 1, 8, 8), [Cut(0.5)])


@given(arrays(np.bool_, (12, 12), elements=st.booleans()), st.integers(1, 9))
def test_specks_are_the_pieces_below_the_area(marked, speck_px):
    kept = remove_specks(marked, speck_px)
    pieces, count = ndimage.label(marked, structure=np.ones((3, 3)))  # a second implementation
    for piece in range(1, count + 1):
        inside = pieces == piece
        assert kept[inside].all() == (inside.sum() >= speck_px)
        assert kept[inside].any() == kept[inside].all()
    assert not kept[~marked].any()


@given(VALUES, LEVELS)
def test_the_matched_share_is_the_nearest_to_be_had(values, share):
    cut = match_threshold(torch.from_numpy(values), share)
    assert 0 <= cut <= 1
    got = (torch.from_numpy(values) > cut).float().mean().item()
    reachable = [(values > t).mean() for t in [*np.unique(values), np.nextafter(0, 1, dtype=np.float32)]]
    reachable += [(values > np.nextafter(v, 0, dtype=np.float32)).mean() for v in np.unique(values) if v > 0]
    assert abs(got - share) <= min(abs(r - share) for r in reachable) + 1e-6


@given(VALUES, LEVELS, LEVELS)
def test_a_larger_share_never_raises_the_threshold(values, one, other):
    low, high = sorted((one, other))
    maps = torch.from_numpy(values)
    assert match_threshold(maps, high) <= match_threshold(maps, low)


@settings(max_examples=30)
@given(st.floats(0.001, 0.999), st.integers(0, 2**31))
def test_continuous_values_match_the_share_to_a_pixel(share, seed):
    values = torch.rand(4, 50, 5, generator=torch.Generator().manual_seed(seed))
    got = (values > match_threshold(values, share)).float().mean().item()
    assert abs(got - share) <= 0.5 / values.numel() + 1e-6


def test_binary_values_are_cut_midway():
    """So that interpolated edges fall on either side, whatever the share."""
    assert match_threshold(torch.tensor([0.0, 0.0, 0.0, 1.0]), 0.25) == 0.5
    assert match_threshold(torch.tensor([0.0, 0.0, 0.0, 1.0]), 0.9) == 0.5


@pytest.mark.parametrize(
    ("level", "share", "marked"), [(0.0, 0.1, 0), (0.0, 1.0, 0), (0.3, 0.1, 0), (0.3, 0.9, 1)]
)
def test_constant_maps_are_all_or_nothing(level, share, marked):
    values = torch.full((100,), level)
    assert (values > match_threshold(values, share)).float().mean() == marked


def test_neighbouring_floats_are_told_apart():
    low, high = np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(1))
    values = torch.tensor([low, low, low, high])
    assert (values > match_threshold(values, 0.25)).tolist() == [False, False, False, True]


@pytest.mark.parametrize("values", [[], [float("nan")], [0.5, float("inf")]])
def test_no_threshold_for_what_is_no_map(values):
    with pytest.raises(ValueError, match="no threshold"):
        match_threshold(torch.tensor(values), 0.1)


def test_resize_keeps_the_mean_when_shrinking():
    maps = soft_maps(1, 1, 64)
    assert torch.allclose(resize(maps, 16).mean(), maps.mean(), atol=1e-6)


def dashed_line(gap: float) -> np.ndarray:
    """A horizontal line that is sure at its ends and unsure in the middle."""
    soft = np.zeros((9, 40), np.float32)
    soft[4, :15] = soft[4, 25:] = 0.9
    soft[4, 15:25] = gap
    return soft


def test_an_unsure_stretch_between_sure_ones_does_not_break_a_vessel():
    inside = np.ones((9, 40), bool)
    assert ndimage.label(mark(dashed_line(0.3), inside, 0.5, weak=0.5))[1] == 1
    assert ndimage.label(mark(dashed_line(0.3), inside, 0.5))[1] == 2
    assert ndimage.label(mark(dashed_line(0.2), inside, 0.5, weak=0.5))[1] == 2


def test_an_unsure_line_alone_is_not_marked():
    assert not mark(np.full((9, 40), 0.4, np.float32), np.ones((9, 40), bool), 0.5, weak=0.5).any()


@given(share=st.floats(0.02, 0.6), seed=st.integers(0, 50))
@settings(max_examples=25)
def test_matched_marks_cover_the_share(share, seed):
    soft = soft_maps(4, 1, 32, seed)[:, 0].numpy() / 1.5
    inside = np.ones(soft.shape, bool)
    inside[:, :, :5] = False
    cut = match_marks(soft, inside, share, weak=1.0)
    marked = sum(mark(one, where, cut, 1.0).sum() for one, where in zip(soft, inside, strict=True))
    assert abs(marked / inside.sum() - share) < 0.02


def test_specks_may_be_larger_in_one_channel_than_in_another():
    dot = torch.zeros(1, 2, 16, 16)
    dot[:, :, 4:6, 4:6] = 1
    labels = finish(dot, 16, torch.ones(1, 1, 16, 16), [Cut(0.5, speck_px=3), Cut(0.5, speck_px=5)])
    assert labels.sum(dim=(0, 2, 3)).tolist() == [4, 0]


def faint_line_in_haze() -> np.ndarray:
    """A line two pixels wide, sure on the left and unsure on the right, above an even haze as bright as it is there."""
    soft = np.zeros((48, 60), np.float32)
    soft[10:12, 5:30], soft[10:12, 30:55] = 0.9, 0.3
    soft[26:44, 10:50] = 0.3
    return soft


def test_in_relief_a_faint_line_is_told_from_an_even_haze():
    soft, inside = faint_line_in_haze(), np.ones((48, 60), bool)
    flat = mark(soft, inside, 0.15)
    assert flat[10:12, 30:55].all()
    assert flat[26:44, 10:50].all()  # what is as bright is marked alike
    lines = mark(relief(soft, 4.0), inside, 0.15)
    assert lines[10:12, 5:55].all()
    assert not lines[30:40, 14:46].any()
    assert lines[:9].sum() == lines[13:22].sum() == 0


def test_one_channel_may_be_cut_in_relief_and_another_as_it_is():
    soft = torch.from_numpy(faint_line_in_haze())[:48, :48].expand(1, 2, 48, 48)
    labels = finish(soft, 48, torch.ones(1, 1, 48, 48), [Cut(0.15, relief_px=4.0), Cut(0.15)])
    assert labels[0, :, 30:40, 14:46].mean((1, 2)).tolist() == [0.0, 1.0]
    assert labels[0, :, 10:12, 5:48].mean((1, 2)).tolist() == [1.0, 1.0]


def broken_tree() -> np.ndarray:
    """A trunk, a branch that is loose by three pixels, and a piece that is far from both."""
    tree = np.zeros((40, 40), bool)
    tree[20, 2:30] = tree[5:17, 10] = tree[35, 36:39] = True
    return tree


def test_a_loose_branch_is_joined_over_a_short_way_and_no_other():
    tree = broken_tree()
    joined = join(tree, np.zeros(tree.shape), longest_px=4)
    assert ndimage.label(joined, np.ones((3, 3)))[1] == 2
    assert set(zip(*np.nonzero(joined & ~tree), strict=True)) == {(17, 10), (18, 10), (19, 10)}
    assert np.array_equal(join(tree, np.zeros(tree.shape), longest_px=3), tree)


def test_the_way_goes_where_the_generator_is_least_in_doubt():
    tree = broken_tree()
    doubt = np.full(tree.shape, 5.0)
    doubt[17:20, 11] = 0
    assert join(tree, doubt, longest_px=8)[17:20, 11].all()


def test_no_way_leads_out_of_the_fov():
    tree = broken_tree()
    fov = torch.from_numpy(~(np.arange(40) == 18)[:, None] & np.ones((40, 40), bool))[None, None].float()
    labels = finish(torch.from_numpy(tree)[None, None].float(), 40, fov, [Cut(0.5, join_px=20)])
    assert labels[0, 0, 18].sum() == 0
    assert ndimage.label(labels[0, 0].numpy(), np.ones((3, 3)))[1] == 3


@given(arrays(np.bool_, (12, 12), elements=st.booleans()), st.floats(0.5, 9))
def test_joining_only_ever_adds_and_never_parts(marked, longest_px):
    joined = join(marked, np.zeros(marked.shape), longest_px)
    assert joined[marked].all()
    assert ndimage.label(joined, np.ones((3, 3)))[1] <= ndimage.label(marked, np.ones((3, 3)))[1]
