"""What a segmenter is trained on, and the rows that its results become."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError
from retina_core.evaluation.metrics import METRICS, Confusion, EyeCounts
from retina_core.evaluation.regimes import lessons_for, mixed, parse_regimes
from retina_core.evaluation.results import ChannelResult, EyeScores, collect, write_csv
from retina_core.evaluation.summary import COMPARED, difference_rows, reference_rows, regime_rows
from retina_core.testing import tiny_eyes

DICE = (0.2, 0.5, 0.6, 0.9)
"""Eyes that differ much more from one another than one training from the next."""


def eyes(count: int, name: str = "eyes") -> Dataset:
    """Samples that nobody looks at, only counts."""
    one = tiny_eyes(1, image_px=16)
    samples = [replace(one.samples[0], id=f"{name}{i}") for i in range(count)]
    return replace(one, name=name, samples=tuple(samples))


def ids(dataset: Dataset) -> list[str]:
    return [sample.id for sample in dataset.samples]


def result(
    trained_on: str,
    dice: Sequence[float | None],
    *,
    seed: int = 0,
    channel: str = "vessel",
    pooled: float | None = None,
    patients: str = "abcd",
) -> ChannelResult:
    """Of eyes of like size, whose score over all pixels is their mean, or as far from it as ``pooled`` is."""
    found = tuple(EyeScores(f"eye{i}", patients[i], {"dice": value}) for i, value in enumerate(dice))
    owners, scores = np.array(list(patients[: len(dice)])), np.array(dice, dtype=float)
    whole = scores.mean()
    value = pooled if pooled is not None else None if np.isnan(whole) else float(whole)
    rest = [scores[owners != one].mean() for one in sorted(set(owners))] if len(set(owners)) > 1 else []
    without = tuple({"dice": None if value is None else float(value + one - whole)} for one in rest)
    return ChannelResult(trained_on, seed, channel, 0.5, found, {"dice": value}, without)


@pytest.mark.parametrize(
    ("text", "regimes"),
    [
        ("real", ("REAL",)),
        ("real,synth,mix:50,finetune", ("REAL", "SYNTH", "MIX(50)", "FINETUNE")),
        ("real, Both", ("REAL", "BOTH")),
        (" Real , SYNTH ,Mix:5", ("REAL", "SYNTH", "MIX(5)")),
        ("mix:1,mix:99", ("MIX(1)", "MIX(99)")),
        ("MIX(50)", ("MIX(50)",)),
    ],
)
def test_regimes_are_read_from_words(text: str, regimes: tuple[str, ...]) -> None:
    assert parse_regimes(text) == regimes


@pytest.mark.parametrize(
    "text",
    ["", "real,", "fake", "mix", "mix:", "mix:0", "mix:100", "mix:-5", "mix:5.5", "mix:50%", "real synth"],
)
def test_a_word_that_is_no_regime_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(InvalidValueError, match="real, synth, mix:1 to mix:99, finetune, both") as caught:
        parse_regimes(text)
    assert caught.value.key == "regime"
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("text", ["mix(50", "mix:50)"])
def test_half_a_bracket_is_no_regime(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_regimes(text)


def test_what_is_printed_can_be_asked_for_again() -> None:
    once = parse_regimes("real,synth,both,mix:25,finetune")
    assert parse_regimes(",".join(once)) == once


@pytest.mark.parametrize(
    ("percent", "count", "wanted"), [(50, 20, 20), (25, 30, 10), (75, 7, 21), (1, 20, 1), (60, 20, 30)]
)
def test_a_mix_is_all_real_and_synthetic_until_it_is_the_share(percent: int, count: int, wanted: int) -> None:
    real, synthetic = eyes(count, "real"), eyes(100, "synthetic")
    whole = mixed(real, synthetic, percent)
    assert ids(whole) == [*ids(real), *ids(synthetic)[:wanted]]
    assert whole.name == "real"


@pytest.mark.parametrize("count", [1, 8, 20])
def test_no_mix_has_one_synthetic_pair_too_many(count: int) -> None:
    real, synthetic = eyes(count, "real"), eyes(99 * count, "synthetic")
    found, expected = {}, {}
    for percent in range(1, 100):
        found[percent] = len(mixed(real, synthetic, percent)) - count
        expected[percent] = -(
            -count * percent // (100 - percent)
        )  # the least that reaches it, in whole numbers
    assert found == expected


def test_too_few_synthetic_pairs_are_refused_with_their_numbers() -> None:
    assert len(mixed(eyes(10), eyes(10), 50)) == 20
    with pytest.raises(InvalidValueError, match="10 synthetic pairs beside 10 real ones, and there are 9"):
        mixed(eyes(10), eyes(9), 50)


def test_each_regime_has_its_lessons() -> None:
    real, synthetic = eyes(4, "real"), eyes(9, "synthetic")

    def told(regime: str) -> list[tuple[int, list[str]]]:
        return [(lesson.start, ids(lesson.dataset)) for lesson in lessons_for(regime, real, synthetic, 1000)]

    assert told("REAL") == [(0, ids(real))]
    assert told("SYNTH") == [(0, ids(synthetic))]
    assert told("BOTH") == [(0, [*ids(real), *ids(synthetic)])]
    assert told("FINETUNE") == [(0, ids(synthetic)), (500, ids(real))]
    assert told("MIX(50)") == [(0, [*ids(real), *ids(synthetic)[:4]])]


@pytest.mark.parametrize("regime", ["SYNTH", "BOTH", "MIX(50)", "FINETUNE"])
def test_only_real_does_without_synthetic_pairs(regime: str) -> None:
    assert len(lessons_for("REAL", eyes(2), None, 10)) == 1
    with pytest.raises(InvalidValueError, match="--synthetic DIR"):
        lessons_for(regime, eyes(2), None, 10)


def test_a_regimes_value_is_over_all_pixels_and_lies_in_its_interval() -> None:
    seeds = [result("REAL", DICE, seed=0, pooled=0.5), result("REAL", DICE, seed=1, pooled=0.7)]
    (row,) = regime_rows(seeds)
    assert (row.name, row.regime, row.channel, row.seeds, row.reference) == (
        "dice",
        "REAL",
        "vessel",
        2,
        None,
    )
    assert row.value == pytest.approx(0.6)
    assert row.low is not None
    assert row.high is not None
    assert 0 <= row.low < row.value < row.high <= 1


def test_equal_values_have_a_point_for_an_interval() -> None:
    seeds = [result("SYNTH", [0.75] * 4, seed=seed, pooled=0.75) for seed in range(3)]
    (row,) = regime_rows(seeds)
    assert (row.value, row.low, row.high) == (0.75, 0.75, 0.75)


def test_eyes_of_one_patient_alone_have_no_interval() -> None:
    (row,) = regime_rows([result("REAL", DICE, pooled=0.5, patients="aaaa")])
    assert (row.value, row.low, row.high) == (0.5, None, None)


def test_an_undefined_score_is_a_row_without_a_value() -> None:
    (row,) = regime_rows([result("REAL", [None] * 4)])
    assert (row.value, row.low, row.high) == (None, None, None)


def test_a_yardstick_was_not_trained() -> None:
    (row,) = reference_rows([result("second observer", DICE, pooled=0.8)])
    assert (row.regime, row.reference, row.seeds, row.value) == (None, "second observer", 0, 0.8)


def test_a_difference_is_paired_by_patient() -> None:
    lower = [value - 0.125 for value in DICE]
    (row,) = difference_rows([result("REAL", DICE), result("SYNTH", lower)])[:1]
    assert (row.name, row.regime, row.channel, row.reference) == (
        "dice_difference",
        "SYNTH",
        "vessel",
        "REAL",
    )
    # Eyes that differ by 0.7 would give an interval as wide; paired, nothing is left but the difference.
    assert (row.value, row.low, row.high) == pytest.approx((-0.125, -0.125, -0.125))


def test_a_difference_that_changes_from_eye_to_eye_is_uncertain() -> None:
    shifted = [value + change for value, change in zip(DICE, (0.1, -0.1, 0.2, -0.2), strict=True)]
    (row,) = difference_rows([result("REAL", DICE), result("SYNTH", shifted)])[:1]
    assert row.value == pytest.approx(0)
    # Student's t with three degrees of freedom, 3.182, times the standard error.
    half = 3.1824463 * np.std((0.1, -0.1, 0.2, -0.2), ddof=1) / 2
    assert (row.low, row.high) == pytest.approx((-half, half), rel=1e-6)


def test_what_is_found_in_an_eye_that_has_nothing_counts() -> None:
    """Such an eye has no Dice of its own."""
    samples = tiny_eyes(3, image_px=16).samples

    def tested(regime: str, false: int) -> ChannelResult:
        eyes = (Confusion(8, 0, 2, 90), Confusion(6, 2, 2, 90), Confusion(0, false, 0, 100 - false))
        counted = [(sample, "lesion", EyeCounts(one)) for sample, one in zip(samples, eyes, strict=True)]
        return collect(regime, 0, {"lesion": 0.5}, counted)[0]

    real, synth = tested("REAL", 0), tested("SYNTH", 9)
    assert [eye.scores["dice"] for eye in real.eyes][2] is None
    assert [one["dice"] for one in real.without] == pytest.approx([12 / 16, 16 / 18, 28 / 34])
    assert [one["dice"] for one in synth.without] == pytest.approx([12 / 25, 16 / 27, 28 / 34])
    rows = [regime_rows([one])[0] for one in (real, synth)]
    assert [row.value for row in rows] == pytest.approx([28 / 34, 28 / 43])
    (row,) = difference_rows([real, synth])[:1]
    assert row.value == pytest.approx(28 / 43 - 28 / 34)
    assert row.low < row.value < row.high


def test_pairs_of_a_mixture_bring_what_they_were_made_from() -> None:
    real, synthetic = eyes(4, "real"), eyes(9, "synthetic")
    for regime, count in (("BOTH", 9), ("MIX(50)", 4)):
        (lesson,) = lessons_for(regime, replace(real, root=Path("r")), replace(synthetic, root=Path("s")), 9)
        assert lesson.dataset.roots == (Path("r"), Path("s"))
        assert [origin.samples for origin in lesson.dataset.origins] == [4, count]


def test_every_regime_and_channel_but_real_has_its_differences() -> None:
    results = [
        result(regime, DICE, seed=seed, channel=channel)
        for regime in ("SYNTH", "REAL", "MIX(50)")
        for seed in (0, 1)
        for channel in ("vessel", "optic_disc")
    ]
    rows = difference_rows(results)
    assert {(row.regime, row.channel) for row in rows} == {
        (regime, channel) for regime in ("SYNTH", "MIX(50)") for channel in ("vessel", "optic_disc")
    }
    assert {row.name for row in rows} == {f"{name}_difference" for name in COMPARED}
    assert {row.seeds for row in rows} == {2}
    assert len(rows) == 2 * 2 * len(COMPARED)


def test_without_real_there_is_nothing_to_differ_from() -> None:
    assert difference_rows([result("SYNTH", DICE), result("FINETUNE", DICE)]) == []


def test_results_keep_each_eye_and_pool_its_pixels() -> None:
    samples = tiny_eyes(2, image_px=16).samples
    counted = [
        (samples[0], "vessel", EyeCounts(Confusion(8, 0, 0, 2))),
        (samples[0], "optic_disc", EyeCounts(Confusion(1, 1, 1, 1))),
        (samples[1], "vessel", EyeCounts(Confusion(1, 3, 3, 1))),
    ]
    vessel, disc = collect("REAL", 2, {"vessel": 0.25}, counted)
    assert (vessel.trained_on, vessel.seed, vessel.channel, vessel.threshold) == ("REAL", 2, "vessel", 0.25)
    assert [(eye.eye, eye.patient) for eye in vessel.eyes] == [("eye0", "patient0"), ("eye1", "patient1")]
    assert [eye.scores["dice"] for eye in vessel.eyes] == [1.0, 0.25]
    assert vessel.pooled["dice"] == pytest.approx(2 * 9 / (2 * 9 + 3 + 3))  # not the mean of the two
    assert (disc.channel, disc.threshold, len(disc.eyes)) == ("optic_disc", None, 1)


def test_the_table_has_a_row_per_training_eye_and_channel(tmp_path: Path) -> None:
    path = tmp_path / "evaluation" / "eyes.csv"
    second = replace(result("second observer", [0.8, None]), threshold=None)
    write_csv(path, [result("MIX(50)", DICE, seed=2), second])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["trained_on", "seed", "eye", "patient", "channel", "threshold", *METRICS]
    assert len(rows) == 6
    first, last = rows[0], rows[-1]
    assert [first[key] for key in ("trained_on", "seed", "eye", "patient", "channel", "threshold", "dice")] == [
        "MIX(50)", "2", "eye0", "a", "vessel", "0.500000", "0.200000",
    ]  # fmt: skip
    assert [row["dice"] for row in rows[:4]] == [f"{value:.6f}" for value in DICE]
    assert first["auc_roc"] == ""
    assert (last["trained_on"], last["threshold"], last["dice"]) == ("second observer", "", "")


def test_a_name_with_a_comma_stays_one_cell(tmp_path: Path) -> None:
    odd = ChannelResult("REAL", 0, "vessel", 0.5, (EyeScores('left, "1"', "a\nb", {"dice": 0.5}),), {})
    write_csv(tmp_path / "eyes.csv", [odd])
    with (tmp_path / "eyes.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["eye"], row["patient"]) == ('left, "1"', "a\nb")
