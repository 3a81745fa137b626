"""Grey intensities of photographs and how far two sets of them are apart."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy.stats import entropy

from retina_core.evaluation.histograms import grey_histogram, intensity_comparison, kl_divergence


def photos(count: int, level: float, seed: int = 0, size: int = 24):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        fov = np.zeros((size, size), bool)
        fov[2:-2, 2:-2] = True
        yield np.clip(rng.normal(level, 20, (size, size, 3)), 0, 255).astype(np.uint8), fov


def test_only_the_fov_is_counted():
    photo = np.zeros((4, 4, 3), np.uint8)
    photo[1, 1], photo[2, 2] = (255, 255, 255), (100, 100, 100)
    fov = np.zeros((4, 4), bool)
    fov[1, 1] = fov[2, 2] = True
    counts = grey_histogram(photo, fov)
    assert counts.shape == (256,)
    assert (counts[100], counts[255], counts.sum()) == (1, 1, 2)


def test_grey_is_the_luma_of_the_standard():
    photo = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    luma = np.round(photo @ np.array([0.299, 0.587, 0.114])).astype(int).ravel()
    exact = np.bincount(luma, minlength=256)
    counts = grey_histogram(photo, np.ones((50, 50), bool))
    assert np.abs(np.cumsum(counts) - np.cumsum(exact)).max() <= 20  # fixed point rounds a few the other way


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1)])
def test_photographs_of_one_colour_are_read_as_they_are(shape):
    photo = np.arange(64, dtype=np.uint8).reshape(shape)
    assert grey_histogram(photo, np.ones((8, 8), bool))[:64].tolist() == [1] * 64


def test_kl_equals_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 50, 256), rng.integers(0, 50, 256)
    assert kl_divergence(p, q) == pytest.approx(entropy(p / p.sum() + 1e-10, q / q.sum() + 1e-10), abs=1e-6)


def test_kl_by_hand():
    assert kl_divergence([1, 1], [1, 1]) == 0
    assert kl_divergence([1, 0], [1, 1]) == pytest.approx(math.log(2), abs=1e-6)
    assert kl_divergence([1, 1], [1, 0]) == pytest.approx(
        0.5 * math.log(0.5) + 0.5 * math.log(0.5 / 1e-10), abs=1e-5
    )
    assert kl_divergence([3, 5], [6, 10]) == 0  # shares, not counts


def test_real_halves_are_nearer_than_another_brightness():
    comparison = intensity_comparison(photos(20, 100), photos(10, 160, seed=1), seed=0)
    assert comparison.kl > 10 * comparison.kl_real_halves
    assert [comparison.real.sum(), comparison.synthetic.sum()] == pytest.approx([1, 1])
    assert int(comparison.real.argmax()) < 130 < int(comparison.synthetic.argmax())


def test_the_same_seed_makes_the_same_halves():
    def halves(seed):
        return intensity_comparison(photos(9, 100), photos(2, 100, seed=3), seed).kl_real_halves

    assert halves(0) == halves(0)
    assert len({halves(seed) for seed in range(5)}) > 1


def test_one_real_photograph_has_no_halves():
    assert intensity_comparison(photos(1, 100), photos(1, 100)).kl_real_halves is None


def test_no_photographs_are_refused():
    with pytest.raises(ValueError, match="no pixel"):
        intensity_comparison(photos(2, 100), photos(0, 100))
    with pytest.raises(ValueError, match="differ in size"):
        grey_histogram(np.zeros((4, 4, 3), np.uint8), np.ones((5, 5), bool))


def test_grey_is_what_pillow_calls_grey():
    photo = np.random.default_rng(1).integers(0, 256, (30, 30, 3), np.uint8)
    expected = Image.fromarray(photo).convert("L").histogram()
    assert grey_histogram(photo, np.ones((30, 30), bool)).tolist() == expected
