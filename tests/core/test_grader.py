"""The classifier of grades: learns what is planted, the same for a seed, and never gives a grade that it has not met."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from retina_core.errors import InvalidValueError
from retina_core.grading.agreement import Agreement
from retina_core.grading.grader import fit_grader, ordinal_loss
from retina_core.grading.settings import GraderSettings

TINY = GraderSettings(resolution=32, width=8, seen_images=640, learning_rate=4e-3, average_half_life=100)


def bars(grades: torch.Tensor, channels: int = 3, side: int = 32) -> torch.Tensor:
    """Pictures (n c h w) with as many bars as the grade says."""
    rng = torch.Generator().manual_seed(1)
    pictures = torch.rand(len(grades), channels, side, side, generator=rng) * 0.2
    for picture, grade in zip(pictures, grades.tolist(), strict=True):
        for bar in range(grade):
            picture[:, 3 + 6 * bar : 6 + 6 * bar, 4:28] = 1.0
    return pictures


def test_planted_grades_are_learnt_from_photographs_and_from_maps() -> None:
    grades = torch.arange(40) % 3 * 2  # 0, 2 and 4
    for pictures in (bars(grades), (bars(grades, channels=5) * 255).byte()):
        grader = fit_grader(pictures, grades, settings=TINY, device="cpu")
        assert (grader.predict(pictures) == grades).float().mean() > 0.9
        assert set(grader.predict(bars(torch.arange(5), pictures.shape[1])).tolist()) <= {0, 2, 4}
        probabilities = grader.probabilities(pictures[:3])
        assert probabilities.shape == (3, 5)
        assert probabilities[:, [1, 3]].abs().max() == 0
        torch.testing.assert_close(probabilities.sum(1), torch.ones(3))


def test_a_seed_makes_a_grader_and_nothing_else_does() -> None:
    grades = torch.arange(10) % 5
    short = TINY.model_copy(update={"seen_images": 48})

    def digest(seed: int, noise: int) -> str:
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        found = fit_grader(bars(grades), grades, settings=short, seed=seed, device="cpu").digest()
        assert torch.equal(before, torch.get_rng_state())
        return found

    assert digest(1, 5) == digest(1, 6)
    assert digest(1, 5) != digest(2, 5)


def test_an_answer_depends_neither_on_its_batch_nor_on_the_size_of_the_picture() -> None:
    grades = torch.arange(20) % 5
    short = TINY.model_copy(update={"seen_images": 48})
    grader = fit_grader(bars(grades), grades, settings=short, device="cpu", precision="fp32")
    torch.testing.assert_close(
        grader.probabilities(bars(grades))[17],
        grader.probabilities(bars(grades)[17:18])[0],
        atol=1e-6,
        rtol=0,
    )
    assert grader.probabilities(bars(grades, side=48)).shape == (20, 5)
    assert grader.predict(bars(grades)[:0]).shape == (0,)


def test_neighbours_of_a_grade_are_less_wrong() -> None:
    logits = torch.full((1, 5), -4.0)
    losses = [
        float(ordinal_loss(logits.scatter(1, torch.tensor([[said]]), 4.0), torch.tensor([4]), range(5), 1.5))
        for said in (4, 3, 0)
    ]
    assert losses[0] < losses[1] < losses[2]
    sharp = float(ordinal_loss(logits, torch.tensor([2]), range(5), 0.0))
    assert sharp == pytest.approx(float(torch.nn.functional.cross_entropy(logits, torch.tensor([2]))))


@pytest.mark.parametrize(
    ("pictures", "grades", "said"),
    [
        (torch.zeros(0, 3, 8, 8), [], "at least one"),
        (torch.zeros(2, 3, 8, 8), [1], "one for each of 2"),
        (torch.zeros(2, 3, 8, 8), [1, 5], "give 0 to 4"),
        (torch.zeros(2, 3, 8, 8), [1, -1], "give 0 to 4"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(pictures: torch.Tensor, grades: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_grader(pictures, torch.tensor(grades, dtype=torch.int64), settings=TINY, device="cpu")


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(InvalidValueError, match=r"grader: balance='2' cannot be used"):
        GraderSettings.for_photographs({"balance": "2"})
    assert GraderSettings.for_photographs({"width": "8"}).colour > GraderSettings().colour == 0


def test_quadratic_kappa_is_that_of_a_second_implementation() -> None:
    rng: Any = np.random.default_rng(3)
    true, found = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
    agreement = Agreement.of(true.tolist(), found.tolist())
    assert agreement.kappa == pytest.approx(cohen_kappa_score(true, found, weights="quadratic"))
    assert agreement.accuracy == pytest.approx(float((true == found).mean()))
    assert Agreement.of([1, 1], [1, 1]).kappa is None
    assert Agreement.of([], []).accuracy is None
