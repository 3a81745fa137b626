"""What the filters refused, before drawing again and after: from a set's own rows into scores and figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import graded_stages as tiny
import pytest

from retina_core import FitOptions, Registry, generate, open_dataset
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.figures import Note, Table, read_figures
from retina_core.evaluation.likeness import LikenessEvaluator
from retina_core.evaluation.likeness_config import LikenessConfig
from retina_core.evaluation.refusals import Refusals, read_refusals
from retina_core.evaluation.scores import Scores
from retina_core.testing import tiny_eyes

TWO, NONE, FREE = (
    "anatomy: 2 pieces of optic_disc",
    "anatomy: no fovea",
    "anatomy: no vessel reaches the optic_disc",
)


def row(
    *refused: str, kept_refused: bool = False, channels: Any = ("optic_disc", "vessel"), **more: Any
) -> Any:
    attempt = len(refused) - kept_refused
    columns = {f"{channel}_file_name": "x.png" for channel in (*channels, "fov")}
    return {"file_name": "x.png", **columns, "attempt": attempt, "refused": list(refused), **more}


def values(refusals: Refusals | None) -> dict[tuple[str, str | None], float | None]:
    assert refusals is not None
    return {(score.name, score.channel): score.value for score in refusals.scores()}


def test_shares_are_of_first_draws_and_of_what_is_kept() -> None:
    rows = [row(), row(TWO), row(TWO, FREE, kept_refused=True), row(FREE, TWO)]
    assert values(Refusals.of(rows)) == {
        ("refused_first", None): 0.75,
        ("refused_first_missing", "optic_disc"): 0.0,
        ("refused_first_missing", "vessel"): 0.0,
        ("refused_first_several", "optic_disc"): 0.5,
        ("refused_first_unrooted", "optic_disc"): 0.25,
        ("refused_kept", None): 0.25,
        ("refused_kept_missing", "optic_disc"): 0.0,
        ("refused_kept_missing", "vessel"): 0.0,
        ("refused_kept_several", "optic_disc"): 0.0,
        ("refused_kept_unrooted", "optic_disc"): 0.25,
    }


def test_each_score_says_that_lower_is_better_and_that_nothing_was_trained() -> None:
    refusals = Refusals.of([row(TWO)])
    assert refusals
    scores = list(refusals.scores())
    assert {(score.better, score.seeds, score.regime, score.reference) for score in scores} == {
        ("lower", 0, None, None)
    }
    again = Scores.from_json(Scores("likeness", tuple(scores)).to_json())
    assert again.scores == tuple(scores)


def test_what_was_not_checked_has_no_value_and_is_said() -> None:
    refusals = Refusals.of([row(channels=("optic_disc", "hard_exudate"))])
    assert refusals
    assert values(refusals)["refused_first_unrooted", "optic_disc"] is None
    assert refusals.table().rows[-1] == ("optic disc: no vessel reaches it", "not checked", "not checked")
    assert "Whether vessels reach the optic disc was not checked" in refusals.table().caption
    found = Refusals.of([row(channels=("optic_disc",), vessels_stage={"name": "unet"})])
    assert values(found)["refused_first_unrooted", "optic_disc"] == 0.0


def test_a_fovea_and_reasons_of_other_filters_are_named() -> None:
    rows = [
        row(NONE, "no blur: too soft", channels=("fovea",)),
        row("anatomy: cell outside the field of view"),
    ]
    found = values(Refusals.of(rows))
    assert found["refused_first_missing", "fovea"] == 0.5
    assert found["refused_first_outside", "cell"] == 0.5
    kept = values(Refusals.of([row("no blur: too soft", kept_refused=True)]))
    assert kept["refused_kept_by_no_blur", None] == 1.0


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"file_name": "x.png", "grade": 3}],
        [row(filters=[])],
        [row() | {"refused": "none"}],
    ],
)
def test_a_set_that_no_filter_looked_at_has_no_shares(rows: Any) -> None:
    assert Refusals.of(rows) is None


def test_without_the_core_s_filter_nothing_is_said_of_anatomy() -> None:
    found = values(Refusals.of([row(filters=["mine"])]))
    assert found == {("refused_first", None): 0.0, ("refused_kept", None): 0.0}


def test_any_other_data_set_has_none(tmp_path: Path) -> None:
    assert read_refusals(None) is None
    assert read_refusals(tmp_path) is None
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "images/a.png"}\n')
    assert read_refusals(tmp_path) is None


def likeness(synthetic: Any, folder: Path) -> Scores:
    real = tiny_eyes(3, image_px=24, channels=tiny.CHANNELS)
    test = tiny_eyes(5, image_px=24, channels=tiny.CHANNELS).with_samples(())
    context = EvaluationContext(folder, Registry.of(), FitOptions(device="cpu"))
    return LikenessEvaluator(LikenessConfig()).evaluate(synthetic, real, test, context)


def test_likeness_writes_the_shares_of_a_synthetic_set_beside_its_own_scores(tmp_path: Path) -> None:
    stages = (
        tiny.saved(tmp_path / "labels", tiny.Plain),
        tiny.saved(tmp_path / "translator", tiny.Copyist),
    )
    pairs = generate(
        *stages, count=8, out=tmp_path / "pairs", options=FitOptions(device="cpu"), registry=tiny.registry()
    )
    rows = [json.loads(line) for line in (pairs / "metadata.jsonl").read_text().splitlines()]
    scores = likeness(open_dataset(pairs), tmp_path / "likeness")
    first = scores.find("refused_first")
    assert first
    assert first.value == sum(bool(one["refused"]) for one in rows) / 8 > 0
    assert scores.find("kl") is not None
    (table,) = [f for f in read_figures(tmp_path / "likeness/figures.json") if isinstance(f, Table)]
    assert table.rows[0][1] == f"{100 * first.value:.1f} %"
    assert Scores.read(tmp_path / "likeness/scores.json") == scores


def test_likeness_of_pairs_that_have_no_rows_says_nothing_of_filters(tmp_path: Path) -> None:
    scores = likeness(tiny_eyes(2, image_px=24, channels=tiny.CHANNELS), tmp_path)
    assert not [score for score in scores.scores if score.name.startswith("refused")]
    assert not [one for one in read_figures(tmp_path / "figures.json") if isinstance(one, Table)]


def test_likeness_says_which_training_maps_are_weak(tmp_path: Path) -> None:
    first, *others = tiny_eyes(3, image_px=24, channels=tiny.CHANNELS).samples
    weak = replace(first, weak=(tiny.CHANNELS[0],), weak_from=("unet",))
    real = tiny_eyes(3, image_px=24, channels=tiny.CHANNELS).with_samples([weak, *others])
    pairs = tiny_eyes(2, image_px=24, channels=tiny.CHANNELS)
    context = EvaluationContext(tmp_path, Registry.of(), FitOptions(device="cpu"))
    LikenessEvaluator(LikenessConfig()).evaluate(pairs, real, real.with_samples(()), context)
    notes = [one.text for one in read_figures(tmp_path / "figures.json") if isinstance(one, Note)]
    assert len(notes) == 1
    assert "1 of 3 real training maps" in notes[0]
