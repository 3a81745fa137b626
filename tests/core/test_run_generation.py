"""Grades, filters and a finder of vessels in a pipeline: refused before any training, and kept in the run's request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import graded_stages as tiny
import pytest

from retina_core import DataConfig, FitOptions, PipelineRequest, run_pipeline
from retina_core.data.opening import open_dataset
from retina_core.errors import (
    GradeError,
    InvalidValueError,
    LeakError,
    RequestError,
    StageFolderError,
    UnknownStageError,
)
from retina_core.evaluation.scores import Scores
from retina_core.formats.sample_set import read_rows
from retina_core.run_plan import RunPlan

OPTIONS = FitOptions(device="cpu")
EYES = {"phantom_count": "10", "phantom_px": "32", "channels": ",".join(tiny.CHANNELS)}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def request(out: Path, *, grades: str = "0,2,3", labels: str = "graded", **more: Any) -> PipelineRequest:
    eyes = {**EYES, "phantom_grades": grades}
    return PipelineRequest(
        labels, "copyist", ("likeness",), preset="quick", count=6, out=out, settings={"data": eyes}, **more
    )


def plan(asked: PipelineRequest) -> RunPlan:
    return RunPlan.of(asked, tiny.registry(), OPTIONS)


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"grade": 4}, GradeError, r"--grade 4 cannot be asked of graded: .* \(have: 0, 2, 3\)"),
        ({"grade": "3", "labels": "plain"}, GradeError, r"plain: it takes no grades; .*\(have: graded\)"),
        ({"grade": "strong"}, InvalidValueError, "strong"),
        ({"unseen_grade": True}, InvalidValueError, "add --grade"),
        ({"filters": ("anatomie",)}, UnknownStageError, "did you mean 'anatomy'"),
        ({"vessels": "nowhere"}, StageFolderError, "there is no config.json"),
    ],
)
def test_what_generation_would_refuse_is_refused_before_anything_is_trained(
    more: dict[str, Any], kind: type[RequestError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        run_pipeline(request(tmp_path / "run", **more), options=OPTIONS, registry=tiny.registry())
    assert not (tmp_path / "run").exists()


def test_a_grade_of_the_test_part_alone_is_not_there(tmp_path: Path) -> None:
    """The fifth and the tenth eye are for testing, and get the highest grades in turn, as the others do."""
    plan(request(tmp_path, grades="3,0", grade=0))
    with pytest.raises(GradeError, match=r"have: 0, 3\)"):
        plan(request(tmp_path, grades="3,0", grade=2))
    plan(request(tmp_path, grades="3,0", grade=2, unseen_grade=True))


def test_a_segmenter_that_saw_the_test_part_is_refused_where_it_would_be_asked(tmp_path: Path) -> None:
    eyes = DataConfig.resolve("data", "quick", {**EYES, "phantom_grades": "0,2,3"})
    tested = open_dataset("phantom", config=eyes).split().test.samples[0]
    finder = tiny.saved(tmp_path / "finder", tiny.Finder, ("vessel",), seen=[tested.fingerprint])
    asked = request(tmp_path / "run", vessels=str(finder))
    with pytest.raises(LeakError, match=rf"training of the segmenter .*finder: {tested.id}"):
        plan(asked)
    fair = tiny.saved(tmp_path / "fair", tiny.Finder, ("vessel",), seen=["c" * 64])
    plan(request(tmp_path / "run", vessels=str(fair)))


def test_a_run_of_grades_and_chosen_filters_writes_them_and_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retina_core.pipeline.metadata.version", lambda _: "0.1")  # nothing is installed
    monkeypatch.setattr(
        "retina_core.pipeline.draws_grades", lambda *_: False
    )  # whether grades show: not here
    finder = tiny.saved(tmp_path / "finder", tiny.Finder, ("vessel",))
    asked = request(tmp_path / "run", grade="uniform", vessels=str(finder), filters=("anatomy",))
    run = run_pipeline(asked, options=OPTIONS, registry=tiny.registry())
    rows = read_rows(run / "synthetic")
    assert [row["grade"] for row in rows] == [0, 2, 3, 0, 2, 3]
    assert {row["vessels_stage"]["name"] for row in rows} == {"finder"}
    scores = Scores.read(run / "evaluation/likeness/scores.json")
    for name in ("refused_first", "refused_kept", "refused_kept_unrooted"):
        channel = "optic_disc" if name.endswith("unrooted") else None
        assert scores.find(name, channel=channel) is not None
    facts = json.loads((run / "run.json").read_text())["request"]
    assert (facts["grade"], facts["filters"]) == ("uniform", ["anatomy"])
    assert "unseen_grade" not in facts


def test_requests_without_any_of_it_are_those_that_they_ever_were() -> None:
    """Noted before there were grades: the folders of earlier runs are named by them, and go on."""
    usual = PipelineRequest(labels="pgan", translator="spade")
    assert usual.digest == "08f8e6affdd1f49a6ea24bfde6e2f69e1a3beb466a4a94b1080c2151eb2d8cb6"
    more = PipelineRequest(
        labels="dcgan",
        translator="pix2pix",
        evaluators=("unet",),
        data=("a", "b"),
        preset="quick",
        count=3,
        seed=4,
        settings={"labels": {"resolution": 64}},
    )
    assert more.digest == "2172f7a476a2ea01791db1312dbe7b430d03fc7bc4f82e6917981aa6e6500f00"


def test_requests_with_any_of_it_are_others() -> None:
    asked: list[dict[str, Any]] = [
        {},
        {"grade": 3},
        {"grade": "uniform"},
        {"grade": "uniform", "unseen_grade": True},
        {"filters": ()},
        {"vessels": "finder"},
    ]
    digests = {PipelineRequest("acgan", "spade", **more).digest for more in asked}
    assert len(digests) == len(asked)
    assert PipelineRequest("acgan", "spade", grade="3").digest in digests
    assert PipelineRequest("acgan", "spade", filters=("b", "a")).digest == (
        PipelineRequest("acgan", "spade", filters=("a", "b", "a")).digest
    )
