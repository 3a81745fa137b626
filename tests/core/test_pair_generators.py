"""Pairs that one stage draws: written, gone on with, filtered, refused and run as those of two stages are."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import graded_stages as tiny
import numpy as np
import pytest
import torch
from PIL import Image

from retina_core import (
    DataConfig,
    FitOptions,
    PipelineRequest,
    SweepRequest,
    generate,
    open_dataset,
    run_pipeline,
)
from retina_core.api import FilterSpec
from retina_core.errors import (
    AmbiguousStageError,
    GradeError,
    InvalidValueError,
    LeakError,
    RequestError,
    UnknownStageError,
    WrongRoleError,
)
from retina_core.evaluation.leaks import refuse_leak
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import read_card, read_seen
from retina_core.randomness import sample_rngs
from retina_core.run_plan import RunPlan
from retina_core.stages import Priors

OPTIONS = FitOptions(device="cpu")
FOV = np.arange(16) >= 4
"""Columns inside the field of view that the stage lends."""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pair generator's folder; its camera leaves four columns on the left."""
    fovs = torch.from_numpy(np.tile(FOV, (1, 1, 16, 1)).astype(np.uint8) * 255)
    monkeypatch.setattr(tiny, "Priors", lambda **more: Priors(**{**more, "fovs": fovs}))
    return tiny.saved(tmp_path / "stamps", tiny.Stamps, seen=["a" * 64])


def drawn(stamps: Path, out: Path, *, count: int = 10, **more: Any) -> list[dict[str, Any]]:
    told = {"options": OPTIONS, "registry": tiny.registry(), **more}
    generate(pairs=stamps, count=count, out=out, **told)
    return read_rows(out)


def digests(out: Path) -> dict[str, str]:
    pictures = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.png"))}
    return {name: hashlib.sha256(content).hexdigest() for name, content in pictures.items()}


def test_labels_and_photographs_agree_and_everything_is_black_outside_the_fov(
    stamps: Path, tmp_path: Path
) -> None:
    rows = drawn(stamps, tmp_path / "set")
    assert (
        len({hashlib.sha256((tmp_path / "set" / row["file_name"]).read_bytes()).digest() for row in rows}) > 5
    )
    for row in rows:
        photo, disc, other, fov = (
            np.asarray(Image.open(tmp_path / "set" / row[f"{name}file_name"]))
            for name in ("", "optic_disc_", "haemorrhage_", "fov_")
        )
        marked = (disc > 0) | (other > 0)
        assert np.array_equal(fov > 0, np.tile(FOV, (16, 1)))
        assert marked.any()
        assert not marked[:, ~FOV].any()
        assert np.array_equal(photo[..., 1] == 255, marked)
        assert (photo[:, FOV, 0] == 255).all()
        assert (photo[:, ~FOV] == 0).all()


def test_rows_card_and_what_was_seen_name_the_one_stage(stamps: Path, tmp_path: Path) -> None:
    for row in drawn(stamps, tmp_path / "set", count=3):
        assert row["labels_stage"] == row["translator_stage"] == read_card(stamps).facts()
        assert (row["grade"], row["style"], row["phantom"]) == (None, None, True)
    said = (tmp_path / "set/README.md").read_text()
    assert "| pair generator | stamps 0.1, 16 px |" in said
    assert "translator" not in said
    assert read_seen(tmp_path / "set") == {"a" * 64}


def test_the_set_is_data_that_is_read_and_what_it_was_made_from_is_not_tested_on(tmp_path: Path) -> None:
    config = DataConfig(phantom_count=2, phantom_px=32)
    eyes = open_dataset("phantom", config=config, registry=tiny.registry())
    seen, unseen = eyes.samples
    stamps = tiny.saved(tmp_path / "stamps", tiny.Stamps, seen=[seen.fingerprint])
    drawn(stamps, tmp_path / "set", count=3)
    pairs = open_dataset(tmp_path / "set", registry=tiny.registry())
    assert (len(pairs), pairs.channels) == (3, tiny.CHANNELS)
    refuse_leak(pairs, eyes.with_samples([unseen]))
    with pytest.raises(LeakError, match=seen.id):
        refuse_leak(pairs, eyes)


def test_shards_are_the_whole_set_and_a_stopped_one_goes_on_to_the_same(stamps: Path, tmp_path: Path) -> None:
    drawn(stamps, tmp_path / "whole")
    for part in (0, 1):
        drawn(stamps, tmp_path / f"part{part}", shard=(part, 2))
    whole = digests(tmp_path / "whole")
    assert whole == digests(tmp_path / "part0") | digests(tmp_path / "part1")

    class Stopping:
        def say(self, line: str) -> None: ...

        def progress(self, progress: Any) -> None:
            if progress.done == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn(stamps, tmp_path / "stopped", options=FitOptions(device="cpu", listener=Stopping()))
    assert 0 < len(digests(tmp_path / "stopped")) < len(whole)
    drawn(stamps, tmp_path / "stopped")
    assert digests(tmp_path / "stopped") == whole


def upper(labels: Any, photo: Any) -> str | None:
    """Refuses discs in the lower half."""
    return "low" if labels["optic_disc"][8:].any() else None


def test_what_a_filter_refuses_is_drawn_again(
    stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "discs", SimpleNamespace(upper=upper))
    filters = tiny.registry(FilterSpec("upper", "discs:upper", "Upper discs."))
    rows = drawn(stamps, tmp_path / "set", registry=filters, filters=("upper",))
    assert any(row["attempt"] for row in rows)
    for row in rows:
        disc = np.asarray(Image.open(tmp_path / "set" / row["optic_disc_file_name"]))
        assert upper({"optic_disc": disc > 0}, None) is None
        assert row["refused"] == ["upper: low"] * row["attempt"]


def test_a_segmenter_finds_vessels_for_filters_as_it_does_for_two_stages(
    stamps: Path, tmp_path: Path
) -> None:
    finder = tiny.saved(tmp_path / "finder", tiny.Finder, ("vessel",), seen=["b" * 64])
    rows = drawn(stamps, tmp_path / "set", count=2, vessels=finder, filters=("anatomy",))
    assert {row["vessels_stage"]["name"] for row in rows} == {"finder"}
    assert read_seen(tmp_path / "set") == {"a" * 64, "b" * 64}


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"grade": 3}, GradeError, "--grade 3 cannot be asked of stamps: it takes no grades"),
        ({"style": "photo.png"}, InvalidValueError, "stamps draws pairs from noise alone.*leave --style out"),
        ({"labels": "labels"}, InvalidValueError, "in place of labels and translator"),
        ({"translator": "translator"}, InvalidValueError, "in place of labels and translator"),
        ({"pairs": None}, InvalidValueError, "labels=None.*or that of a pair generator"),
        ({"pairs": None, "labels": "x"}, InvalidValueError, "translator=None"),
        ({"shard": (2, 2)}, InvalidValueError, "nothing to draw"),
    ],
)
def test_what_cannot_be_asked_of_it_is_refused_by_name(
    more: dict[str, Any], kind: type[RequestError], said: str, stamps: Path, tmp_path: Path
) -> None:
    asked = {"pairs": stamps, "options": OPTIONS, "registry": tiny.registry(), **more}
    with pytest.raises(kind, match=said):
        generate(count=2, out=tmp_path / "set", **asked)
    assert not (tmp_path / "set").exists()


def test_a_folder_of_another_role_is_refused(stamps: Path, tmp_path: Path) -> None:
    labels = tiny.saved(tmp_path / "plain", tiny.Plain)
    with pytest.raises(WrongRoleError, match="label-generator, not a pair-generator"):
        drawn(labels, tmp_path / "set")
    with pytest.raises(WrongRoleError, match="pair-generator, not a label-generator"):
        generate(stamps, labels, count=1, out=tmp_path / "set", options=OPTIONS, registry=tiny.registry())


def test_thresholds_are_matched_to_the_training_set_as_those_of_label_generators() -> None:
    class Soft(tiny.Stamps):
        sharp = False

    stage = Soft(tiny.Config(), ("cell",))
    fovs = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    stage.priors = Priors(fovs=fovs, shares={"cell": 1 / 16})
    stage.calibrate((), 0)
    assert 0 < stage.priors.thresholds["cell"] <= 1
    labels, _ = stage.sample_pairs(sample_rngs(0, 64))
    share = float((labels >= stage.priors.thresholds["cell"]).float().mean())
    assert share == pytest.approx(1 / 16, abs=1e-3)


EYES = {
    "phantom_count": "6",
    "phantom_px": "32",
    "channels": ",".join(tiny.CHANNELS),
    "phantom_grades": "0,2",
}


def request(out: Path | None, **more: Any) -> PipelineRequest:
    chosen = {"pairs": "stamps", "evaluators": ("likeness",), "settings": {"data": EYES}, **more}
    return PipelineRequest(preset="quick", count=4, out=out, **chosen)


def test_a_run_has_a_step_for_the_pair_generator_in_place_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retina_core.pipeline.metadata.version", lambda _: "0.1")  # nothing is installed
    run = run_pipeline(request(tmp_path / "run"), options=OPTIONS, registry=tiny.registry())
    facts = json.loads((run / "run.json").read_text())
    assert list(facts["steps"]) == ["pairs", "synthetic", "evaluation/likeness"]
    assert {step["status"] for step in facts["steps"].values()} == {"done"}
    assert facts["request"]["pairs"] == "stamps"
    assert not {"labels", "translator"} & (
        set(facts["request"]) | set(facts["starts"]) | set(facts["configs"])
    )
    assert read_card(run / "pairs").role == "pair-generator"
    assert len(read_rows(run / "synthetic")) == 4
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.png")}
    run_pipeline(request(tmp_path / "run"), options=OPTIONS, registry=tiny.registry())
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*.png")}


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"grade": "uniform"}, GradeError, "stamps: it takes no grades"),
        ({"labels": "plain"}, InvalidValueError, "in place of labels and translator"),
        ({"pairs": None, "labels": "plain"}, InvalidValueError, "translator=None"),
        ({"pairs": None}, InvalidValueError, "labels=None"),
        ({"pairs": "stams"}, UnknownStageError, "no pair-generator is called 'stams'.*did you mean 'stamps'"),
        ({"pairs": "plain"}, WrongRoleError, "is a label-generator, not a pair-generator"),
        ({"evaluators": ("grades",)}, InvalidValueError, "stamps draws no grades"),
        ({"init": "starter"}, None, ""),
    ],
)
def test_a_run_refuses_before_any_work(
    more: dict[str, Any], kind: type[RequestError] | None, said: str, tmp_path: Path
) -> None:
    if kind is None:  # what learns nothing has no starter to begin with
        RunPlan.of(request(tmp_path / "run", **more), tiny.registry(), OPTIONS)
        return
    with pytest.raises(kind, match=said):
        RunPlan.of(request(tmp_path / "run", **more), tiny.registry(), OPTIONS)
    assert not (tmp_path / "run").exists()


def test_requests_name_their_folder_by_it_and_are_others_than_those_of_two_stages() -> None:
    alone, two = request(None), request(None, pairs=None, labels="plain", translator="copyist")
    assert alone.digest != two.digest
    assert alone.folder == Path("runs") / f"stamps-phantom-{alone.digest[:8]}"
    assert alone.stages == {"pairs": ("stamps", "pair-generator")}
    assert list(two.stages) == ["labels", "translator"]
    assert SweepRequest(pairs="stamps", evaluators=("finder",)).facts()["pairs"] == "stamps"


def test_a_name_of_two_roles_is_written_with_its_role() -> None:
    twice = tiny.registry()
    assert twice.reference(twice.stage("stamps")) == "stamps"
    plain = twice.stage("plain", "label-generator")

    class Hooks:
        @staticmethod
        @tiny.hookimpl
        def retina_label_generators() -> list[Any]:
            return [plain._replace(name="both")]

        @staticmethod
        @tiny.hookimpl
        def retina_pair_generators() -> list[Any]:
            return [twice.stage("stamps")._replace(name="both")]

    registry = twice.of(both=Hooks())
    with pytest.raises(AmbiguousStageError, match="write label-generator:both or pair-generator:both"):
        registry.stage("both")
    spec = registry.stage("pair-generator:both")
    assert registry.reference(spec) == "pair-generator:both"
