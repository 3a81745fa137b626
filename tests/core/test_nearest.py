"""The nearest training map of each generated map."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from retina_core.evaluation.nearest import dice_distances, leave_one_out, nearest, shrink


def binary_maps(count: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, channels, 16, 16)) < 0.3


def test_distances_are_one_minus_dice_over_channels():
    a, b = binary_maps(3), binary_maps(4, seed=1)
    for i in range(3):
        for j in range(4):
            dice = [f1_score(a[i, k].ravel(), b[j, k].ravel()) for k in range(2)]
            assert dice_distances(a, b)[i, j] == pytest.approx(1 - np.mean(dice), abs=1e-5)


def test_a_copy_is_found_at_distance_zero():
    training = np.random.default_rng(0).random((6, 2, 16, 16)).astype(np.float32)
    found = nearest(training[[4, 1]], training)
    assert found.index.tolist() == [4, 1]
    assert found.distance == pytest.approx([0, 0], abs=1e-6)


def test_nothing_shared_is_distance_one():
    a = np.zeros((1, 1, 4, 4), bool)
    a[..., 0] = True
    assert nearest(a, ~a).distance.tolist() == [1]


def test_empty_channels_are_equal():
    empty = np.zeros((2, 2, 4, 4), bool)
    assert dice_distances(empty, empty).tolist() == [[0, 0], [0, 0]]


def test_leaving_one_out_never_finds_itself():
    maps = np.concatenate([binary_maps(4), binary_maps(1)])  # the first and the last are equal
    found = leave_one_out(maps)
    assert (found.index != np.arange(5)).all()
    assert (found.index[0], found.index[4], found.distance[0]) == (4, 0, 0)


def test_shrinking_keeps_the_share():
    label = np.zeros((128, 96), bool)
    label[:64] = True
    small = shrink(label)
    assert small.shape == (64, 64)
    assert small == pytest.approx(np.repeat([[1], [0]], 32, axis=0) * np.ones((1, 64)))
    assert shrink(label.astype(np.uint8) * 255) == pytest.approx(small)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="differ"):
        nearest(binary_maps(2), binary_maps(2, channels=3))
    with pytest.raises(ValueError, match="no map"):
        nearest(binary_maps(2), binary_maps(0))
    with pytest.raises(ValueError, match="alone"):
        leave_one_out(binary_maps(1))
