"""Which grade each eye of a run has, and what is refused before anything is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import graded_stages as tiny
import pytest

from retina_core.asked_grades import AskedGrades, at_quantile, graded_generators
from retina_core.errors import GradeError, InvalidValueError
from retina_core.phantom import LESIONS

SHARES = {0: 0.5, 2: 0.3, 3: 0.2}


def asked(wish: Any, *, unseen: bool = False, shares: Any = SHARES, kind: Any = None) -> AskedGrades:
    kind = kind or tiny.Graded
    registry = tiny.registry()
    return AskedGrades.of(kind, tiny.CHANNELS, shares, wish, unseen=unseen, registry=registry)


@pytest.mark.parametrize("wish", [3, "3"])
def test_one_grade_is_that_of_every_eye(wish: Any) -> None:
    assert {asked(wish).at(0, index) for index in range(20)} == {3}


def test_uniform_takes_each_grade_of_the_training_set_in_turn() -> None:
    grades = [asked("uniform").at(7, index) for index in range(7)]
    assert grades == [0, 2, 3, 0, 2, 3, 0]
    assert "no training eye has grade 1 and 4" in asked("uniform").told()
    assert "0, 2 and 3 in equal numbers" in asked("uniform").told()


def test_uniform_over_all_five_when_insisted_on() -> None:
    grades = asked("uniform", unseen=True)
    assert [grades.at(0, index) for index in range(5)] == [0, 1, 2, 3, 4]
    assert grades.strange == (1, 4)
    assert grades.told() == ""


@pytest.mark.parametrize("wish", ["as-data", None])
def test_as_data_draws_grades_as_often_as_the_training_set_has_them(wish: Any) -> None:
    grades = asked(wish)
    drawn = Counter(grades.at(3, index) for index in range(4000))
    assert set(drawn) == set(SHARES)
    for grade, share in SHARES.items():
        assert drawn[grade] / 4000 == pytest.approx(share, abs=0.03)
    assert [grades.at(3, index) for index in range(9)] == [grades.at(3, index) for index in range(9)]
    assert [grades.at(3, i) for i in range(40)] != [grades.at(4, i) for i in range(40)]


def test_nothing_said_is_the_same_request_as_as_data() -> None:
    assert asked(None).facts() == asked("as-data").facts() != asked("uniform").facts()


@pytest.mark.parametrize("shares", [{}, {1: 0.0}])
def test_a_training_set_without_grades_gives_eyes_without_one_and_refuses_a_wish(shares: Any) -> None:
    without = asked(None, shares=shares)
    assert without.at(0, 0) is None
    assert without.facts() == []
    for wish in (3, "uniform", "as-data"):
        with pytest.raises(
            GradeError, match=r"--grade .* cannot be asked of graded: no sample .* has a grade; leave it"
        ):
            asked(wish, shares=shares, unseen=True)


def test_a_generator_without_grades_refuses_one_by_name_and_says_who_takes_them() -> None:
    assert asked(None, kind=tiny.Plain).at(0, 0) is None
    with pytest.raises(
        GradeError, match=r"cannot be asked of plain: it takes no grades; .* \(have: graded\)"
    ):
        asked("uniform", kind=tiny.Plain)


def test_channels_that_show_no_grade_refuse_one() -> None:
    from retina_phantom import PhantomLabels

    registry = tiny.registry()
    with pytest.raises(GradeError, match=r"phantom: none of its channels \(vessel, fovea\) shows one"):
        AskedGrades.of(PhantomLabels, ("vessel", "fovea"), SHARES, 2, unseen=False, registry=registry)
    healthy = AskedGrades.of(PhantomLabels, ("vessel",), SHARES, None, unseen=False, registry=registry)
    ill = AskedGrades.of(PhantomLabels, LESIONS, SHARES, 2, unseen=False, registry=registry)
    assert (healthy.at(0, 0), ill.at(0, 0)) == (None, 2)


def test_a_grade_that_the_training_set_does_not_hold_is_refused_or_marked() -> None:
    with pytest.raises(GradeError, match=r"graded: no sample .* has it \(have: 0, 2, 3\); .*--unseen-grade"):
        asked(4)
    insisted = asked(4, unseen=True)
    assert (insisted.at(0, 5), insisted.strange) == (4, (4,))
    assert asked(2, unseen=True).strange == ()
    assert "has seen no eye" in insisted.remarks()[0]


@pytest.mark.parametrize("wish", [5, -1, "mild", "", "3.0", True])
def test_what_is_no_grade_is_refused_with_the_choices(wish: Any) -> None:
    with pytest.raises(InvalidValueError, match="0, 1, 2, 3 or 4; uniform"):
        asked(wish)


def test_insisting_without_a_wish_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="add --grade"):
        asked(None, unseen=True)


def test_quantiles_are_the_shares() -> None:
    grades = [at_quantile({4: 1, 1: 3}, (place + 0.5) / 8) for place in range(8)]
    assert grades == [1] * 6 + [4] * 2
    assert at_quantile({2: 1.0}, 1.0 - 2**-24) == 2


def test_a_broken_plugin_does_not_hide_who_takes_grades() -> None:
    assert graded_generators(tiny.registry()) == ["graded"]
