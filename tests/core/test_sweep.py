"""A sweep: which shares, how many pairs, and the scores of all channels together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from retina_core.config import DataConfig
from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError, WrongRoleError
from retina_core.evaluation import tested
from retina_core.evaluation.metrics import Confusion, EyeCounts
from retina_core.evaluation.regimes import lessons_for, mixed, pairs_needed, percent_of
from retina_core.evaluation.results import ChannelResult, EyeScores, collect, write_csv
from retina_core.evaluation.shares import ChannelRow, Measured, SweepTable, SweptShare
from retina_core.evaluation.summary import COMPARED, TRADED, difference_rows, regime_rows
from retina_core.evaluation.tested import KeptResults
from retina_core.registry import Registry
from retina_core.run_plan import RunPlan
from retina_core.sweep import SweepRequest, _settled, parse_shares, run_sweep
from retina_core.testing import tiny_eyes
from retina_core.training.options import FitOptions


def eyes(count: int, name: str = "eyes") -> Dataset:
    """Samples that nobody looks at, only counts."""
    one = tiny_eyes(1, image_px=16)
    samples = [replace(one.samples[0], id=f"{name}{i:03}") for i in range(count)]
    return replace(one, name=name, samples=tuple(samples))


def ids(dataset: Dataset) -> list[str]:
    return [sample.id for sample in dataset.samples]


def request(**asked: Any) -> SweepRequest:
    return SweepRequest(labels="phantom", translator="spade", **asked)


@pytest.mark.parametrize(
    ("text", "shares"), [("0,25,50,75", (0, 25, 50, 75)), (" 50, 5", (5, 50)), ("99", (99,))]
)
def test_shares_are_read_in_order(text: str, shares: tuple[int, ...]) -> None:
    assert parse_shares(text) == shares


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,100", "100 is not from 0 to 99"),
        ("25,25", "25 is there twice"),
        ("0,0,25", "0 is there twice"),
        ("0", "name a share above 0"),
        ("", "'' is no whole number"),
        ("0,2.5", "'2.5' is no whole number"),
        ("0,-5", "'-5' is no whole number"),
        ("0,25%", "'25%' is no whole number"),
        ("0,²5", "'²5' is no whole number"),
        ("9" * 5000, f"'{'9' * 30}' is no whole number"),
    ],
)
def test_shares_that_cannot_be_swept_over_are_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidValueError, match="retina sweep --help") as caught:
        parse_shares(text)
    assert said in str(caught.value)
    assert caught.value.exit_status == 2


def test_zero_is_taken_up_and_the_order_of_shares_makes_no_other_sweep() -> None:
    asked = request(mix=(50, 25))
    assert asked.mix == (0, 25, 50)
    assert asked.regimes == ("REAL", "MIX(25)", "MIX(50)")
    assert asked.digest == request(mix=(0, 25, 50)).digest
    assert len({asked.digest, request(mix=(50,)).digest, request(mix=(50, 25), seeds=4).digest}) == 3


def test_a_request_out_of_bounds_is_refused_in_python_too() -> None:
    with pytest.raises(InvalidValueError, match="100 is not from 0 to 99"):
        request(mix=(100,))
    with pytest.raises(InvalidValueError, match="at least one training"):
        request(seeds=0)
    with pytest.raises(InvalidValueError, match="name one segmenter"):
        request(evaluators=("unet", "other"))
    with pytest.raises(InvalidValueError, match="choose steps or epochs"):
        request(budget="hours")


def test_rounds_belong_to_a_budget_of_epochs() -> None:
    assert request().trainings == {"seeds": 3, "epochs": None, "over_all": True}
    assert request(budget="epochs").rounds == 10  # phantoms: quick
    assert request(budget="epochs", preset="standard").rounds == 40  # Son et al. 2021
    assert request(budget="epochs", epochs=7).rounds == 7
    with pytest.raises(InvalidValueError, match="it counts with --budget epochs alone"):
        request(epochs=7)
    with pytest.raises(InvalidValueError, match=r"unet\.seen_images"):
        request(budget="epochs", settings={"unet": {"seen_images": 10}})


def test_who_trains_nothing_sweeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(WrongRoleError, match="likeness"):
        run_sweep(request(evaluators=("likeness",), out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_count_below_the_largest_share_is_refused_before_any_work(tmp_path: Path) -> None:
    data = {"phantom_count": 10, "phantom_px": 48, "channels": "vessel"}
    asked = request(mix=(25, 75), count=23, out=tmp_path / "run", settings={"data": data})
    with pytest.raises(InvalidValueError, match="75 % of what is trained on takes 24 pairs"):
        run_sweep(asked, registry=Registry.discover())
    assert not (tmp_path / "run").exists()
    assert DataConfig.resolve("data", "quick", data).phantom_count == 10  # eight to train on


@pytest.mark.parametrize(
    ("labels", "grade", "drawn"), [("phantom", None, "uniform"), ("phantom", "3", "3"), ("pgan", None, None)]
)
def test_grades_are_uniform_where_nothing_is_said_and_the_generator_draws_them(
    labels: str, grade: str | None, drawn: str | None
) -> None:
    data = {"phantom_count": 10, "phantom_px": 48, "phantom_grades": "1,3", "channels": "hard_exudate"}
    asked = SweepRequest(
        labels=labels, translator="pix2pix", preset="quick", grade=grade, settings={"data": data}
    )
    settled = _settled(RunPlan.of(asked, Registry.discover(), FitOptions()))
    assert settled.request.grade == drawn
    assert settled.request.count == 3 * len(settled.split.train)
    assert settled.request.folder == asked.folder


@pytest.mark.parametrize(("share", "wanted"), [(25, 246), (50, 738), (75, 2214)])
def test_the_papers_counts_are_those_of_its_shares(share: int, wanted: int) -> None:
    """Son et al. 2021, figure 1c: beside 738 photographs, as 50 % says."""
    assert pairs_needed(("REAL", f"MIX({share})"), eyes(738)) == wanted


def test_the_greatest_mix_says_how_many_pairs_are_needed() -> None:
    assert pairs_needed(("REAL", "MIX(50)", "MIX(25)"), eyes(8)) == 8
    assert pairs_needed(("REAL", "SYNTH"), eyes(8)) == 0
    assert [percent_of(regime) for regime in ("REAL", "MIX(5)", "MIX(75)")] == [0, 5, 75]


def test_a_smaller_shares_pairs_are_among_a_larger_ones() -> None:
    real, synthetic = eyes(9, "real"), eyes(60, "synthetic")
    small, large = ids(mixed(real, synthetic, 25)), ids(mixed(real, synthetic, 75))
    assert len(small) == 12
    assert large[: len(small)] == small


def test_a_photograph_without_a_map_does_not_count_as_real() -> None:
    """IDRiD's grading part has no maps: its 413 photographs would make 25 % of pairs 74 % of what is learnt from."""
    synthetic, one = eyes(60, "synthetic"), eyes(1).samples[0]
    vessel = one.labels["vessel"]
    full = [replace(one, id=f"full{i}", labels={"vessel": vessel, "optic_disc": None}) for i in range(6)]
    bare = [replace(one, id=f"bare{i}", labels={}) for i in range(9)]
    partly = replace(one, id="partly", labels={"vessel": vessel})
    whole = replace(synthetic, samples=(*full, *bare, partly), channels=("vessel", "optic_disc"))
    (lesson,) = lessons_for("MIX(50)", whole, synthetic, 10)
    assert sum(sample.id.startswith("synthetic") for sample in lesson.dataset) == 7
    (lesson,) = lessons_for("MIX(50)", whole, synthetic, 10, masks=False)
    assert sum(sample.id.startswith("synthetic") for sample in lesson.dataset) == 6


def counted() -> list[tuple[Any, str, EyeCounts]]:
    """Two eyes, the second not annotated for the disc."""
    first, second = tiny_eyes(2, image_px=16).samples
    return [
        (first, "vessel", EyeCounts(Confusion(8, 0, 0, 2))),
        (first, "optic_disc", EyeCounts(Confusion(1, 1, 1, 1))),
        (second, "vessel", EyeCounts(Confusion(0, 0, 0, 8))),
    ]


def test_all_channels_together_pool_their_pixels_and_leave_out_absent_ones() -> None:
    whole, vessel, disc = collect("REAL", 1, {"vessel": 0.3}, counted(), over_all=True)
    assert (whole.channel, vessel.channel, disc.channel) == (None, "vessel", "optic_disc")
    assert [eye.eye for eye in whole.eyes] == ["eye0", "eye1"]
    assert whole.eyes[0].scores["dice"] == pytest.approx(2 * 9 / (2 * 9 + 1 + 1))
    assert whole.eyes[1].scores["dice"] is None  # nothing marked and nothing found
    assert whole.pooled["recall"] == pytest.approx(9 / 10)
    assert "auc_roc" not in whole.pooled
    assert [result.channel for result in collect("REAL", 1, {}, counted())] == ["vessel", "optic_disc"]


def test_one_channel_has_no_row_over_all() -> None:
    found = collect("REAL", 0, {}, [one for one in counted() if one[1] == "vessel"], over_all=True)
    assert [result.channel for result in found] == ["vessel"]


def test_all_channels_are_an_empty_cell_of_the_table(tmp_path: Path) -> None:
    write_csv(tmp_path / "eyes.csv", collect("REAL", 0, {}, counted(), over_all=True))
    rows = (tmp_path / "eyes.csv").read_text().splitlines()
    assert rows[1].startswith("REAL,0,eye0,patient0,,,")
    assert len(rows) == 1 + 2 + 3


def found(regime: str, seed: int, dice: tuple[float, ...], channel: str | None) -> ChannelResult:
    scores = [{"dice": value, "precision": value, "recall": 0.5} for value in dice]
    each = tuple(EyeScores(f"eye{i}", f"{i}", one) for i, one in enumerate(scores))
    whole = {name: sum(one[name] for one in scores) / len(scores) for name in scores[0]}
    rest = tuple(
        {name: (whole[name] * len(scores) - one[name]) / (len(scores) - 1) for name in whole}
        for one in scores
    )
    return ChannelResult(regime, seed, channel, None, each, whole, rest)


def test_differences_of_precision_and_recall_are_paired_too_and_nothing_is_ranked_over_all() -> None:
    real = [found("REAL", seed, (0.2, 0.5, 0.8, 0.6), None) for seed in range(3)]
    mix = [found("MIX(25)", seed, (0.3, 0.6, 0.9, 0.7), None) for seed in range(3)]
    rows = difference_rows([*real, *mix], (*COMPARED, *TRADED))
    assert [row.name for row in rows] == ["dice_difference", "precision_difference", "recall_difference"]
    assert {row.channel for row in rows} == {None}
    assert (rows[0].value, rows[0].low, rows[0].high) == pytest.approx((0.1, 0.1, 0.1))
    assert rows[2].value == 0
    assert {row.seeds for row in (*rows, *regime_rows(mix))} == {3}


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    card = SimpleNamespace(files={"model.safetensors": "abc"})
    monkeypatch.setattr(tested, "read_card", lambda folder: card)
    return SimpleNamespace(
        protocol=None,
        folder=tmp_path.parent,
        over_all=True,
        options=SimpleNamespace(precision="fp32"),
        card=card,
    )


def test_what_a_training_found_is_kept_to_the_last_bit(tmp_path: Path, context: Any) -> None:
    samples = tiny_eyes(2, image_px=16).samples
    results = collect("MIX(25)", 1, {"vessel": 1 / 3}, counted(), over_all=True)
    kept = KeptResults.of(tmp_path, samples, ("vessel",), context)
    assert kept.read() is None
    kept.write(results)
    assert KeptResults.of(tmp_path, samples, ("vessel",), context).read() == results


def test_what_other_weights_or_eyes_found_is_found_anew(tmp_path: Path, context: Any) -> None:
    samples = tiny_eyes(2, image_px=16).samples
    kept = KeptResults.of(tmp_path, samples, ("vessel",), context)
    kept.write(collect("REAL", 0, {}, counted()))
    assert KeptResults.of(tmp_path, samples[:1], ("vessel",), context).read() is None
    assert KeptResults.of(tmp_path, samples, ("vessel", "optic_disc"), context).read() is None
    context.card.files = {"model.safetensors": "other"}
    assert KeptResults.of(tmp_path, samples, ("vessel",), context).read() is None
    kept.path.write_text("{")
    assert kept.read() is None


def table() -> SweepTable:
    none = ChannelRow(None, 5, Measured(0.5, 0.4, 0.6), Measured(None), Measured(0.25))
    some = replace(none, f1_difference=Measured(0.125, 0.0625, 0.25))
    shares = (
        SweptShare(0, 0, 6, 60, 30, {}, (none,)),
        SweptShare(25, 2, 6, 80, 40, {"0": 1, "3": 1}, (some,)),
    )
    return SweepTable("unet", "epochs", 10, 3, shares)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table().write(tmp_path)
    assert SweepTable.read(tmp_path) == table()
    rows = [line.split(",") for line in (tmp_path / "sweep.csv").read_text().splitlines()]
    assert rows[0][:8] == [
        "share",
        "synthetic",
        "real",
        "seen_images",
        "steps",
        "channel",
        "test_eyes",
        "seeds",
    ]
    assert rows[2][:9] == ["25", "2", "6", "80", "40", "", "5", "3", "0.500000"]
    assert dict(zip(rows[0], rows[2], strict=True))["f1_difference_low"] == "0.062500"
    assert dict(zip(rows[0], rows[1], strict=True))["recall"] == ""


def test_a_difference_is_decided_where_its_interval_leaves_out_zero() -> None:
    assert Measured(0.1, 0.05, 0.2).decided
    assert Measured(-0.1, -0.2, -0.05).decided
    assert not Measured(0.1, -0.05, 0.2).decided
    assert not Measured(0.1).decided
