"""Agreement of grades: held against scikit-learn, and against intervals that were published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from retina_core.evaluation import grade_agreement
from retina_core.evaluation.grade_agreement import (
    CHANCE,
    HELD_OUT,
    Answers,
    agreement_rows,
    ask_by_turns,
    confusion_figures,
    mean_recall,
    share_interval,
    unpaired_difference,
    verdict,
    write_answers,
)
from retina_core.evaluation.lesion_counts import MeasuredEye, Source
from retina_core.evaluation.scores import Score, Scores
from retina_core.grading.agreement import Agreement
from retina_core.grading.settings import GraderSettings
from retina_core.training.options import FitOptions

GRADES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def answers(true: list[int], predicted: list[int], source: Source = "generated") -> Answers:
    eyes = [
        MeasuredEye(f"eye{i}", f"patient{i}", source, grade, "own", {}, None) for i, grade in enumerate(true)
    ]
    return Answers(tuple(eyes), tuple(predicted))


@settings(max_examples=30)
@given(GRADES)
def test_agreement_is_what_scikit_learn_says(pairs: list[tuple[int, int]]) -> None:
    true, predicted = ([pair[i] for pair in pairs] for i in (0, 1))
    found = Agreement.of(true, predicted)
    assert found.accuracy == pytest.approx(sk.accuracy_score(true, predicted))
    near = np.abs(np.subtract(true, predicted)) <= 1
    assert found.within_one == pytest.approx(near.mean())
    assert found.chance == pytest.approx(max(true.count(grade) for grade in true) / len(true))
    if found.kappa is not None:
        theirs = sk.cohen_kappa_score(true, predicted, weights="quadratic", labels=range(5))
        assert found.kappa == pytest.approx(theirs)


def test_nothing_to_compare_has_no_agreement() -> None:
    found = Agreement.of([], [])
    assert (found.accuracy, found.within_one, found.chance) == (None, None, None)


def test_intervals_of_shares_are_those_that_were_published() -> None:
    """Newcombe 1998, Statistics in Medicine 17:857, table I, method 3."""
    assert share_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    low, high = share_interval(1.0, 5)
    assert low < 0.7
    assert high == 1


def test_intervals_of_differences_are_those_that_were_published() -> None:
    """Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 less 48/80."""
    ours = (56 / 70, *share_interval(56 / 70, 70))
    theirs = (48 / 80, *share_interval(48 / 80, 80))
    assert unpaired_difference(ours, theirs) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_generated_maps_stand_beside_real_ones_and_chance() -> None:
    generated = answers([0, 2, 2, 4], [0, 2, 4, 4])
    held_out = answers([2, 2, 2, 3], [2, 2, 2, 3], "real")
    rows = agreement_rows(generated, held_out)
    scores = Scores("grades", tuple(rows))
    ours = scores.find("grade_accuracy")
    assert ours is not None
    assert ours.value == 0.75
    assert ours.low is not None
    assert ours.low < 0.75
    by_reference = {row.reference: row.value for row in rows if row.name == "grade_accuracy"}
    assert by_reference == {None: 0.75, CHANCE: 0.5, HELD_OUT: 1.0, f"{CHANCE}, {HELD_OUT}": 0.75}
    alike = {row.reference: row.value for row in rows if row.name == "grade_mean_recall"}
    assert alike == {None: 0.5, HELD_OUT: 1.0}, "grade 2 alone is on both sides"
    difference = next(row for row in rows if row.name == "grade_accuracy_difference")
    assert difference.value == pytest.approx(-0.25)
    recalls = {(row.grade, row.reference): row.value for row in rows if row.name == "grade_recall"}
    assert recalls == {(0, None): 1, (2, None): 0.5, (4, None): 1, (2, HELD_OUT): 1, (3, HELD_OUT): 1}


def test_a_score_has_the_key_grade_only_where_it_is_of_one() -> None:
    value = Scores(
        "grades", (Score("lesions", None, "drusen", 2.0, grade=0), Score("kl", None, None, 1.0))
    ).to_json()
    assert value["scores"][0]["grade"] == 0
    assert "grade" not in value["scores"][1]
    assert Scores.from_json(value).find("lesions", channel="drusen", grade=0)


def test_without_graded_test_eyes_the_generated_maps_are_judged_alone() -> None:
    generated, nobody = answers([1, 2], [1, 1]), answers([], [])
    rows = agreement_rows(generated, nobody)
    assert {row.reference for row in rows} == {None, CHANCE}
    assert "not known" in verdict(generated, nobody)
    assert len(list(confusion_figures(generated, nobody, (1, 2)))) == 1


def test_grades_that_count_alike_are_not_outvoted_by_the_commonest() -> None:
    often, alike = answers([2, 2, 2, 2, 3, 4], [2, 2, 2, 2, 4, 4]), answers([2, 3, 4], [2, 4, 4])
    assert mean_recall(often, (2, 3, 4)) == pytest.approx(2 / 3)
    assert mean_recall(alike, (2, 3, 4)) == pytest.approx(2 / 3)
    assert mean_recall(often, ()) is None
    assert verdict(alike, often).endswith("With grades 2, 3 and 4 counting alike, it is 67% and 67%.")


def drawn_eye(name: str, patient: str, grade: int, marks: int) -> MeasuredEye:
    """A map with a row of marks, in a field of view that is the whole frame."""
    picture = np.zeros((2, 32, 32), np.uint8)
    picture[0, 14:18, 1 : 1 + 5 * marks] = 255
    picture[0, :, 5::5] = 0
    picture[1] = 255
    return MeasuredEye(name, patient, "real", grade, "own", {}, picture)


SMALL = GraderSettings.resolve(
    "grades",
    settings={"resolution": 32, "width": 4, "seen_images": 240, "batch_size": 8, "average_half_life": 40},
)


def test_every_real_map_is_asked_about_once_of_a_classifier_that_has_not_seen_its_patient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learnt: list[set[str]] = []
    asked: list[set[str]] = []

    def learn(eyes: Sequence[MeasuredEye], *_: object) -> object:
        learnt.append({eye.patient for eye in eyes})
        return object()

    def answer(_: object, eyes: Sequence[MeasuredEye]) -> Answers:
        asked.append({eye.patient for eye in eyes})
        return Answers(tuple(eyes), tuple(eye.grade for eye in eyes))

    monkeypatch.setattr(grade_agreement, "learn_grades", learn)
    monkeypatch.setattr(grade_agreement, "ask", answer)
    eyes = [drawn_eye(f"{p}{side}", f"p{p}", p % 3, 0) for p in range(12) for side in ("left", "right")]
    found = ask_by_turns(eyes, 4, SMALL, FitOptions(device="cpu"))
    assert sorted(eye.id for eye in found.eyes) == sorted(eye.id for eye in eyes)
    assert len(learnt) == 4
    assert all(not ours & theirs for ours, theirs in zip(learnt, asked, strict=True))
    assert [len(one) for one in asked] == [3, 3, 3, 3]


def test_a_grade_that_one_eye_has_is_not_asked_about_by_turns() -> None:
    eyes = [drawn_eye(f"e{i}", f"p{i}", grade, grade) for i, grade in enumerate([0, 0, 0, 2, 2, 2, 3])]
    found = ask_by_turns(
        eyes, 7, SMALL.model_copy(update={"seen_images": 8}), FitOptions(device="cpu", precision="fp32")
    )
    assert sorted(eye.grade for eye in found.eyes) == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize("parts", [0, 1])
def test_fewer_than_two_parts_leave_nobody_to_ask(parts: int) -> None:
    eyes = [drawn_eye(f"e{i}", f"p{i}", i % 2, 1) for i in range(6)]
    assert ask_by_turns(eyes, parts, SMALL, FitOptions(device="cpu")).eyes == ()


def test_classifiers_by_turns_tell_many_marks_from_one() -> None:
    eyes = [drawn_eye(f"e{i}", f"p{i}", i % 2 * 4, 1 + i % 2 * 4) for i in range(12)]
    options = FitOptions(device="cpu", precision="fp32")
    found = ask_by_turns(eyes, 3, SMALL, options)
    assert found.agreement.accuracy == 1
    assert ask_by_turns(eyes, 3, SMALL, options).predicted == found.predicted


@pytest.mark.parametrize(("right", "aim"), [(19, "within the aim"), (18, "short of the aim")])
def test_the_verdict_says_whether_five_points_were_kept(right: int, aim: str) -> None:
    held_out = answers([2] * 20, [2] * 20, "real")
    said = verdict(answers([2] * 20, [2] * right + [3] * (20 - right)), held_out)
    assert aim in said
    assert f"{5 * (20 - right)} points" in said.replace("−", "")


def test_a_confusion_has_the_grades_that_are_known_or_asked_for() -> None:
    figure = next(iter(confusion_figures(answers([0, 0, 4], [0, 2, 4]), answers([], []), (0, 2))))
    assert figure.names == ("0", "2", "4")
    assert figure.counts == ((1, 1, 0), (0, 0, 0), (0, 0, 1))


def test_every_answer_is_a_row(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_answers(tmp_path / "answers.csv", [answers([3], [2]), answers([1], [1], "real")])
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines[1:] == ["generated,eye0,patient0,3,own,2", "real,eye0,patient0,1,own,1"]
