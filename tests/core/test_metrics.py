"""Pixel metrics, held against scikit-learn and against what their formulas say on masks drawn by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.morphology import dilation, disk
from sklearn import metrics as sk

from retina_core.evaluation.intervals import mean_interval, pooled_difference, pooled_interval
from retina_core.evaluation.metrics import (
    METRICS,
    best_threshold,
    count_eye,
    count_mask,
    mean_scores,
    otsu_threshold,
    pool,
)
from retina_core.evaluation.ranking import BINS, Ranking


def made_up_eye(seed: int = 0, size: int = 96, sharpness: float = 3.0):
    """Probabilities, truth and fov of an eye with two crossing vessels."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((size, size), bool)
    truth[size // 3 : size // 3 + 4] = truth[:, size // 2 : size // 2 + 3] = True
    logits = sharpness * (2 * truth - 1.0 + rng.normal(0, 0.8, truth.shape)) - sharpness / 3
    y, x = np.mgrid[:size, :size] - size / 2
    probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return probabilities, truth, x**2 + y**2 < (0.45 * size) ** 2


@pytest.mark.parametrize("sharpness", [0.5, 3.0, 12.0])
def test_scores_equal_scikit_learn(sharpness):
    eyes = [made_up_eye(seed, sharpness=sharpness) for seed in range(4)]
    scores = pool(count_eye(*eye, 0.4, centrelines=True) for eye in eyes).scores()
    p = np.concatenate([p[fov] for p, _, fov in eyes])
    t = np.concatenate([t[fov] for _, t, fov in eyes])
    assert scores["dice"] == pytest.approx(sk.f1_score(t, p > 0.4))
    assert scores["precision"] == pytest.approx(sk.precision_score(t, p > 0.4))
    assert scores["recall"] == scores["sensitivity"] == pytest.approx(sk.recall_score(t, p > 0.4))
    assert scores["specificity"] == pytest.approx(sk.recall_score(~t, p <= 0.4))
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(t, p > 0.4))
    assert scores["auc_roc"] == pytest.approx(sk.roc_auc_score(t, p), abs=1e-4)
    assert scores["auc_pr"] == pytest.approx(sk.average_precision_score(t, p), abs=1e-4)
    assert tuple(scores) == METRICS


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1e-30, 1e-11, 0.1, 0.5, 0.6, 0.999, 1.0]), st.booleans()), min_size=2
    )
)
def test_areas_with_ties_equal_scikit_learn(pixels):
    p = np.array([pixel[0] for pixel in pixels], np.float32)
    t = np.array([pixel[1] for pixel in pixels])
    # Below 2**-40 all is one bin, so 1e-30 ties with 0.
    ranking, seen = Ranking.of(p, t), np.where(p < 1e-19, 0, p)
    if t.any() and not t.all():
        assert ranking.auc_roc() == pytest.approx(sk.roc_auc_score(t, seen))
        assert ranking.auc_pr() == pytest.approx(sk.average_precision_score(t, seen))
    else:
        assert ranking.auc_roc() is None


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8))
def test_bins_are_in_the_order_of_probabilities(values):
    p = np.sort(np.array(values, np.float32))
    places = [
        int(np.flatnonzero(Ranking.of(p[i : i + 1], np.array([True])).positives)[0]) for i in range(len(p))
    ]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] < BINS


def test_a_confident_background_is_still_ranked():
    """Equal bins of [0, 1] would tie all of these and give 0.5."""
    p = np.array([1e-12, 1e-11, 1e-10, 1e-9], np.float32)
    assert Ranking.of(p, np.array([False, False, True, True])).auc_roc() == 1


def test_pixels_outside_the_fov_do_not_count():
    p, t, fov = made_up_eye()
    inside = count_eye(p, t, fov, 0.4, centrelines=True).scores()
    assert count_eye(np.where(fov, p, 1), t & fov, fov, 0.4, centrelines=True).scores() == inside


def test_pooling_is_one_large_eye():
    (p, t, f), (q, u, g) = made_up_eye(0), made_up_eye(1)
    together = count_eye(np.hstack([p, q]), np.hstack([t, u]), np.hstack([f, g]), 0.4)
    assert pool([count_eye(p, t, f, 0.4), count_eye(q, u, g, 0.4)]).scores() == together.scores()


def test_a_finished_segmentation_has_no_area():
    _, truth, fov = made_up_eye()
    assert count_mask(truth, truth, fov, centrelines=True).scores() == {
        "dice": 1, "precision": 1, "recall": 1, "sensitivity": 1, "specificity": 1, "accuracy": 1, "cldice": 1,
    }  # fmt: skip


def test_an_empty_truth_leaves_undefined_what_is_undefined():
    p, truth, fov = made_up_eye()
    scores = count_eye(p, np.zeros_like(truth), fov, 0.4, centrelines=True).scores()
    undefined = {name for name, value in scores.items() if value is None}
    assert undefined == {"recall", "sensitivity", "auc_roc", "auc_pr", "cldice"}
    assert scores["dice"] == 0
    nothing = count_eye(np.zeros_like(p), np.zeros_like(truth), fov, 0.5).scores()
    assert [nothing[name] for name in ("dice", "precision", "accuracy")] == [None, None, 1]
    assert set(count_eye(p, truth, np.zeros_like(fov), 0.5).scores().values()) == {None}


def test_cldice_counts_branches_not_widths():
    truth = np.zeros((60, 60), bool)
    truth[10, 5:55] = truth[30, 5:55] = True
    everywhere = np.ones_like(truth)
    thick = dilation(truth, disk(2))
    assert count_mask(thick, truth, everywhere).scores()["dice"] < 0.5
    assert count_mask(thick, truth, everywhere, centrelines=True).scores()["cldice"] > 0.95
    one_branch = truth.copy()
    one_branch[30] = False
    assert count_mask(one_branch, truth, everywhere, centrelines=True).scores()["cldice"] == pytest.approx(
        2 / 3
    )
    assert count_mask(~truth & False, truth, everywhere, centrelines=True).scores()["cldice"] == 0


def test_mean_scores_leave_out_the_undefined():
    assert mean_scores([{"dice": 0.5, "recall": None}, {"dice": 1.0, "recall": None}]) == {
        "dice": 0.75,
        "recall": None,
    }


@pytest.mark.parametrize("sharpness", [0.5, 3.0, 12.0])
def test_best_threshold_is_as_good_as_trying_all(sharpness):
    eyes = [made_up_eye(seed, sharpness=sharpness) for seed in range(3)]
    p = np.concatenate([p[fov] for p, _, fov in eyes])
    t = np.concatenate([t[fov] for _, t, fov in eyes])
    cut = best_threshold(*zip(*eyes, strict=True))
    tried = max(sk.f1_score(t, p > c) for c in np.quantile(p, np.linspace(0.5, 0.999, 300)))
    assert sk.f1_score(t, p > cut) >= tried - 1e-4


def test_best_threshold_parts_what_can_be_parted():
    truth = np.array([[False, True]])
    fov = np.ones_like(truth)
    cut = best_threshold([np.array([[0.2, 0.4]])], [truth], [fov])
    assert 0.2 < cut < 0.4
    assert best_threshold([np.array([[0.2, 0.4]])], [~fov], [fov]) == 0.5
    assert 0 <= best_threshold([np.array([[0.0, 1.0]])], [truth], [fov]) < 1


def test_otsu_parts_two_heaps():
    p = np.concatenate([np.full(900, 0.1), np.full(100, 0.8)]).reshape(10, 100)
    assert 0.1 <= otsu_threshold([p], [np.ones(p.shape, bool)]) < 0.8
    assert otsu_threshold([np.zeros((4, 4))], [np.ones((4, 4), bool)]) == 0.5


@pytest.mark.parametrize(
    ("p", "truth", "match"),
    [
        (np.zeros((4, 5)), np.zeros((4, 4), bool), "shapes"),
        (np.full((4, 4), 1.5), np.zeros((4, 4), bool), "lie in"),
        (np.full((4, 4), np.nan), np.zeros((4, 4), bool), "lie in"),
        (np.zeros((4, 4)), np.zeros((4, 4), np.uint8), "bool"),
    ],
)
def test_what_is_no_prediction_is_refused(p, truth, match):
    with pytest.raises(ValueError, match=match):
        count_eye(p, truth, np.ones((4, 4), bool), 0.5)


def test_one_training_has_students_interval():
    low, high = mean_interval([0.7, 0.8, 0.9, 0.8])
    assert (low, high) == pytest.approx(
        (0.8 - 0.12992, 0.8 + 0.12992), abs=1e-4
    )  # t(3) = 3.1824, s = 0.08165
    assert mean_interval([0.7]) == (None, None)
    assert mean_interval([0.1, 0.9], within=(0, 1)) == (0, 1)
    assert mean_interval([0.7, None, 0.9]) == mean_interval([0.7, 0.9])
    assert mean_interval([[0.5, 0.5], [0.5, 0.5]]) == (0.5, 0.5)


def test_two_eyes_of_a_patient_count_as_one():
    values = [0.70, 0.71, 0.80, 0.81, 0.90, 0.91]
    wide, narrow = mean_interval(values, list("aabbcc")), mean_interval(values)
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])
    assert mean_interval(values[:2], ["a", "a"]) == (None, None)


def without_each(scores: np.ndarray) -> np.ndarray:
    """Of a score that is the mean over patients (seeds, patients): what it is without each."""
    people = scores.shape[1]
    return (scores.sum(axis=1, keepdims=True) - scores) / (people - 1)


def test_of_a_mean_the_pooled_interval_is_that_of_the_mean():
    scores = np.random.default_rng(2).normal(0.8, 0.05, (3, 8))
    found = pooled_interval(scores.mean(axis=1), without_each(scores))
    assert found == pytest.approx(mean_interval(scores))
    assert pooled_interval(scores.mean(axis=1), without_each(scores), within=(0.8, 0.8)) == (0.8, 0.8)
    assert pooled_interval([0.7], [[]]) == pooled_interval([0.7], [[0.7]]) == (None, None)
    assert pooled_interval([0.7, None], without_each(scores[:2])) == (None, None)


def test_pairing_takes_out_what_eyes_share():
    rng = np.random.default_rng(0)
    eyes = rng.normal(0.8, 0.05, 8)
    ours, theirs = eyes + 0.02 + rng.normal(0, 0.004, (3, 8)), eyes + rng.normal(0, 0.004, (3, 8))

    def difference(one: np.ndarray, other: np.ndarray):
        return pooled_difference(one.mean(axis=1), other.mean(axis=1), without_each(one), without_each(other))

    found = difference(ours, theirs)
    assert found.decided
    assert found.low < 0.02 < found.high
    assert found.value == pytest.approx(ours.mean() - theirs.mean())
    assert not difference(theirs, theirs).decided
    assert pooled_difference([None], [0.5], [[None]], [[0.5]]) == (None, None, None)
    with pytest.raises(ValueError, match="paired"):
        pooled_difference([0.5], [0.5, 0.5], [[0.5]], [[0.5], [0.5]])


def test_the_interval_of_a_score_over_all_pixels_holds_it_where_eyes_differ_in_size():
    """Dice of 27 eyes whose structures differ in size by a factor of e, one deviation; 300 tables of 3 seeds."""
    rng = np.random.default_rng(3)
    held, missed = 0, 0
    for _ in range(300):
        size = np.exp(rng.normal(0, 1, 27))  # of the truth
        found = 1 / (
            1 + np.exp(-0.8 - np.log(size) - rng.normal(0, 0.3, (3, 27)))
        )  # large ones are found better
        hit, marked = found * size, 1.1 * size
        dice = 2 * hit.sum(1) / (marked + size).sum()
        rest = 2 * (hit.sum(1, keepdims=True) - hit) / ((marked + size).sum() - marked - size)
        big = np.exp(rng.normal(0, 1, 200_000))
        truth = (
            2
            * (big / (1 + np.exp(-0.8 - np.log(big) - rng.normal(0, 0.3, 200_000)))).sum()
            / (2.1 * big.sum())
        )
        low, high = pooled_interval(dice, rest)
        assert low <= dice.mean() <= high
        held += low < truth < high
        low, high = mean_interval(2 * hit / (marked + size))
        missed += not low < truth < high
    assert held / 300 > 0.85
    assert missed / 300 > 0.5  # the mean over eyes is another thing


@pytest.mark.parametrize("spread", [(1, 1, 1), (1, 0, 1), (0.2, 1, 0.2)])
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(spread):
    """Whether eyes or trainings differ more; 600 tables of 3 seeds and 8 eyes."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        table = (
            spread[0] * rng.normal(size=8)
            + spread[1] * rng.normal(size=(3, 1))
            + spread[2] * rng.normal(size=(3, 8))
        )
        low, high = mean_interval(table)
        held += low < 0 < high
    assert held / 600 > 0.92
