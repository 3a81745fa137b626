"""MI-GAN's protocol: how DRIVE and STARE are framed and divided, what is cut where, and what says so."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retina_core.config import DataConfig
from retina_core.data.fov import Box, paste_back
from retina_core.data.framing import USUAL, Framing
from retina_core.data.opening import open_dataset
from retina_core.data.prepare import prepare, prepare_sample
from retina_core.data.sample import Dataset, Split
from retina_core.errors import InvalidValueError, RunFolderError
from retina_core.evaluation import protocol as utility
from retina_core.evaluation.metrics import otsu_threshold
from retina_core.evaluation.paper_protocols import MIGAN, divided, protocol_named
from retina_core.evaluation.running import at_working_resolution, evaluate
from retina_core.evaluation.scores import Score, Scores
from retina_core.evaluation.testing_eyes import segmented_eyes
from retina_core.formats.stage_card import read_card
from retina_core.formats.stage_folder import load_stage
from retina_core.registry import Registry
from retina_core.run_plan import PipelineRequest, RunPlan
from retina_core.testing import tiny_eyes
from retina_core.training.options import FitOptions

UNET: dict[str, Any] = {
    "resolution": 32,
    "patch_px": 16,
    "width": 4,
    "depth": 2,
    "seen_images": 4,
    "batch_size": 4,
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def opened(readers: Any, *sources: Path) -> Dataset:
    source: Any = sources[0] if len(sources) == 1 else tuple(map(str, sources))
    return open_dataset(source, registry=readers)


def split(count: int = 8) -> Split:
    eyes = tiny_eyes(count)
    return Split(eyes.with_samples(eyes.samples[:-2]), eyes.with_samples(eyes.samples[-2:]))


def scored(out: Path, parts: Split, **asked: Any) -> Scores:
    return evaluate(
        "unet",
        None,
        parts,
        out,
        **{
            "preset": "quick",
            "settings": UNET,
            "regimes": ("REAL",),
            "protocol": "migan",
            "options": FitOptions(device="cpu"),
            **asked,
        },
    )


class TestFraming:
    def test_drive_is_cropped_to_565_px_about_its_centre(self) -> None:
        fov = np.zeros((584, 565), np.bool_)
        fov[20:560, 10:550] = True
        assert MIGAN.framings["drive"].box(fov) == Box(left=0, top=9, side=565)

    def test_stare_is_taken_whole(self) -> None:
        assert MIGAN.framings["stare"].box(np.ones((605, 700), np.bool_)) == Box(0, 0, 700, 605)

    @pytest.mark.parametrize("part", ["centre", "whole"])
    def test_a_crop_at_its_own_size_comes_back_exactly(self, folders: Any, part: Any) -> None:
        """64 x 56: at 56 px the central square is what it was; stretched, it is near."""
        plane = np.random.default_rng(0).random((56, 64), dtype=np.float32)
        box = Framing(part).box(folders.disc())
        crop = plane[:, 4:60] if part == "centre" else plane
        back = paste_back(np.ascontiguousarray(crop), box, (64, 56))
        inside = np.zeros_like(plane)
        inside[:, 4:60] = plane[:, 4:60]
        np.testing.assert_array_equal(back, inside if part == "centre" else plane)

    def test_a_whole_frame_is_stretched_and_comes_back_at_its_place(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        sample = MIGAN.framed(opened(readers, published.stare(folders))).samples[0]
        prepared = prepare_sample(sample, ("vessel",), 128)
        assert prepared.box == Box(0, 0, 64, 56)
        back = paste_back(prepared.labels[0].astype(np.float32) / 255, prepared.box, prepared.size)
        assert back.shape == (56, 64)
        np.testing.assert_array_equal(back > 0.5, sample.label_array("vessel") & sample.fov_array())

    def test_each_data_set_is_framed_by_its_reader_combined_too(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        both = MIGAN.framed(opened(readers, published.drive(folders), published.stare(folders)))
        found = {one.origin: one.framing for one in both}
        assert found == {"DRIVE": Framing("centre", "bicubic"), "STARE": Framing("whole", "bicubic")}
        other = MIGAN.framed(opened(readers, folders.chase()))
        assert {one.framing for one in other} == {Framing("fov", "bicubic")}

    def test_another_framing_is_prepared_anew(self, tmp_path: Path) -> None:
        eyes = tiny_eyes(2)
        for dataset in (eyes, MIGAN.framed(eyes), eyes):
            prepare(dataset, ("vessel",), 16)
        assert len(list((tmp_path / "cache" / "prepared").iterdir())) == 2
        assert {one.framing for one in eyes} == {USUAL}


class TestDivision:
    def test_half_of_stare_is_tested_on(self, folders: Any, published: Any, readers: Any) -> None:
        stare = opened(readers, published.stare(folders))
        parts = MIGAN.split(stare, 0, DataConfig())
        assert (len(parts.train), len(parts.test)) == (2, 2)
        seeds = {tuple(one.id for one in MIGAN.split(stare, seed, DataConfig()).test) for seed in range(8)}
        assert len(seeds) > 1
        assert len(divided(stare, 0, DataConfig(), None).test) == 1  # the core's own fifth

    def test_its_halves_are_the_same_beside_drive(self, folders: Any, published: Any, readers: Any) -> None:
        drive, stare = published.drive(folders), published.stare(folders)
        alone = {one.id for one in MIGAN.split(opened(readers, stare), 3, DataConfig()).test}
        both = MIGAN.split(opened(readers, drive, stare), 3, DataConfig())
        assert {one.id for one in both.test} == {f"STARE-{name}" for name in alone} | {
            "DRIVE-01_test",
            "DRIVE-02_test",
        }

    def test_an_official_split_stands(self, folders: Any, published: Any, readers: Any) -> None:
        drive = opened(readers, published.drive(folders))
        found, usual = MIGAN.split(drive, 0, DataConfig()), drive.split()
        assert [one.id for one in found.test] == [one.id for one in usual.test]
        assert [one.id for one in found.train] == [one.id for one in usual.train]


class TestEvaluation:
    def test_otsu_cuts_what_is_found_in_training_eyes(self, tmp_path: Path) -> None:
        parts = split()
        scores = scored(tmp_path / "e", parts)
        folder = tmp_path / "e" / "real-seed0"
        segmenter: Any = load_stage(folder, device="cpu")
        eyes = list(segmented_eyes(segmenter, MIGAN.framed(parts.train).samples, ("vessel",)))
        expected = otsu_threshold([one.probabilities for one in eyes], [one.fov for one in eyes])
        rows = list(csv.DictReader((tmp_path / "e" / "eyes.csv").read_text().splitlines()))
        assert {row["threshold"] for row in rows if row["trained_on"] == "REAL"} == {f"{expected:.6f}"}
        assert expected != 0.5
        card = read_card(folder)
        assert card.provenance["validation"]["eyes"] == 1
        assert (card.config["rotation_degrees"], card.config["flips"], card.config["scale"]) == (
            180,
            "horizontal",
            0,
        )
        assert scores.protocol == "migan"
        assert json.loads((tmp_path / "e" / "scores.json").read_text())["protocol"] == "migan"
        assert Scores.read(tmp_path / "e" / "scores.json") == scores

    def test_drive_is_tested_at_its_own_size_beside_the_second_observer(
        self, folders: Any, published: Any, readers: Any, tmp_path: Path
    ) -> None:
        parts = divided(opened(readers, published.drive(folders)), 0, DataConfig(), "migan")
        scores = scored(tmp_path / "e", parts)
        names = {one.name for one in scores.scores if one.regime == "REAL"}
        assert names >= {"dice", "auc_roc", "auc_pr"}
        second = next(
            one for one in scores.scores if (one.name, one.reference) == ("dice", "second observer")
        )
        assert second.value == pytest.approx(0.75)  # four rows, shifted by one

    def test_without_one_nothing_says_so(self, tmp_path: Path) -> None:
        scores = Scores("unet", (Score("dice", "REAL", "vessel", 0.5),))
        assert set(scores.to_json()) == {"schema", "evaluator", "scores"}
        assert scored(tmp_path / "e", split(4), protocol=None).protocol is None
        assert not (tmp_path / "e" / "protocol.json").exists()
        assert "validation" not in read_card(tmp_path / "e" / "real-seed0").provenance

    def test_a_folder_belongs_to_one_protocol(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def untrained(*_: Any) -> None:
            raise AssertionError("something was trained")

        (tmp_path / "own" / "real-seed0").mkdir(parents=True)
        (tmp_path / "paper").mkdir()
        (tmp_path / "paper" / "protocol.json").write_text('{"schema": 1, "protocol": "migan"}')
        monkeypatch.setattr(utility.UtilityEvaluator, "evaluate", untrained)
        with pytest.raises(RunFolderError, match="leave --protocol out"):
            scored(tmp_path / "own", split())
        with pytest.raises(RunFolderError, match="repeat --protocol migan"):
            scored(tmp_path / "paper", split(), protocol=None)
        (tmp_path / "paper" / "protocol.json").write_text("{}")
        with pytest.raises(RunFolderError, match="damaged"):
            scored(tmp_path / "paper", split())

    def test_settings_that_are_given_stand_above_it(self) -> None:
        registry = Registry.discover()
        spec = registry.stage("unet", "evaluator")
        found = at_working_resolution(spec, registry, None, {"scale": 0.5}, "standard", MIGAN)
        assert (found["resolution"], found["rotation_degrees"], found["scale"]) == (512, 180.0, 0.5)
        small = at_working_resolution(spec, registry, tiny_eyes(1), {}, "standard", MIGAN)
        assert small["resolution"] == 40  # pairs are never enlarged
        assert at_working_resolution(spec, registry, None, {"scale": 0.5}, "standard", None) == {"scale": 0.5}


class TestRefusals:
    def test_an_unknown_one_is_named_with_the_choices(self) -> None:
        assert protocol_named(None) is None
        with pytest.raises(InvalidValueError, match="choose migan"):
            protocol_named("mi-gan")

    def test_an_evaluator_that_trains_nothing_follows_none(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidValueError, match="trains no segmenter"):
            evaluate("likeness", None, split(), tmp_path / "e", protocol="migan")

    def test_a_run_that_trains_no_segmenter_is_refused(self) -> None:
        request = PipelineRequest("phantom", "spade", protocol="migan")
        with pytest.raises(InvalidValueError, match="no evaluator trains a segmenter"):
            RunPlan.of(request, Registry.discover(), FitOptions())

    def test_a_run_without_one_is_the_request_that_it_was(self) -> None:
        assert "protocol" not in PipelineRequest("phantom", "spade").facts()
        one, other = (PipelineRequest("phantom", "spade", protocol=name) for name in (None, "migan"))
        assert one.digest != other.digest
