"""A learning curve and a matrix of data sets: what is asked for, and their tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retina_core.data.sample import Split
from retina_core.errors import DatasetError, InvalidValueError, LeakError, RunFolderError
from retina_core.evaluation.curve import CurvePoint, LearningCurve
from retina_core.evaluation.elsewhere import Elsewhere, crossed_split, named_apart
from retina_core.evaluation.matrix import Transfer, TransferSet, cells_of
from retina_core.evaluation.scores import Score, Scores
from retina_core.evaluation.shares import ChannelRow, Measured, SweepTable, SweptShare
from retina_core.learning_curve import LearningCurveRequest, parse_eyes
from retina_core.run_plan import PipelineRequest
from retina_core.sweep import SweepRequest
from retina_core.testing import tiny_eyes
from retina_core.transfer import TransferRequest


def sweep(**asked: Any) -> SweepRequest:
    return SweepRequest(labels="phantom", translator="spade", **asked)


class TestLearningCurve:
    def test_numbers_are_read_in_order(self) -> None:
        assert parse_eyes(" 10, 5,20") == (5, 10, 20)

    @pytest.mark.parametrize("text", ["", "5,", "5,0", "-5", "5,5", "2.5", "²", "five", "9" * 5000])
    def test_numbers_that_are_none_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidValueError, match="retina learning-curve --help"):
            parse_eyes(text)

    def test_at_each_number_a_sweep_is_asked_for_that_differs_in_it_alone(self, tmp_path: Path) -> None:
        asked = LearningCurveRequest(
            sweep(out=tmp_path, mix=(75, 25), settings={"data": {"channels": "vessel"}}), (10, 5)
        )
        assert asked.eyes == (5, 10)
        few = asked.at(5)
        assert few.settings["data"] == {"channels": "vessel", "train_eyes": 5}
        assert (few.mix, few.regimes) == ((0, 25, 75), ("REAL", "MIX(25)", "MIX(75)"))
        assert few.folder == tmp_path / "eyes-5"
        assert asked.sweep.settings["data"] == {"channels": "vessel"}

    def test_other_numbers_go_on_in_the_same_folder(self) -> None:
        folders = {LearningCurveRequest(sweep(), eyes).folder for eyes in ((5, 10), (5, 10, 20))}
        assert len(folders) == 1
        assert folders != {LearningCurveRequest(sweep(seed=1), (5, 10)).folder}

    def test_a_number_of_eyes_among_the_settings_is_refused(self) -> None:
        with pytest.raises(InvalidValueError, match="it follows from the numbers of eyes"):
            LearningCurveRequest(sweep(settings={"data": {"train_eyes": 5}}))

    def test_a_table_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        row = ChannelRow("vessel", 8, Measured(0.5), Measured(0.5), Measured(0.5, 0.4, 0.6))
        better = replace(row, f1_difference=Measured(0.1, 0.05, 0.2))
        shares = (SweptShare(0, 0, 5, 8, 2, {}, (row,)), SweptShare(50, 5, 5, 8, 2, {}, (better,)))
        table = SweepTable("unet", "steps", None, 3, shares)
        curve = LearningCurve("eyes", False, 0, 8, (CurvePoint(5, 3, ("a", "b"), "eyes-5", table),))
        curve.write(tmp_path)
        assert LearningCurve.read(tmp_path) == curve
        assert [share.share for _, share, _ in curve.rows("vessel")] == [0, 50]
        lines = (tmp_path / "curve.csv").read_text().splitlines()
        assert lines[0].startswith("eyes,patients,share,")
        assert lines[2].startswith("5,3,50,5,5,8,2,vessel,8,3,")
        (tmp_path / "curve.json").write_text('{"schema": 2}')
        with pytest.raises(RunFolderError, match="not a learning curve of schema 1"):
            LearningCurve.read(tmp_path)


def pipeline(**asked: Any) -> PipelineRequest:
    given = {"data": ("one/eyes", "two/eyes"), "evaluators": ("unet",), **asked}
    return PipelineRequest(labels="phantom", translator="spade", **given)


class TestMatrix:
    def test_names_are_told_apart(self) -> None:
        assert named_apart(["a/eyes", "b/eyes", "eyes-2", "c/eyes"]) == (
            "eyes",
            "eyes-2",
            "eyes-2-2",
            "eyes-3",
        )

    def test_each_data_set_has_a_pipeline_of_its_own(self, tmp_path: Path) -> None:
        homes = TransferRequest(pipeline(out=tmp_path, reader=("folder", "drive"), seed=3), seeds=2).homes
        assert list(homes) == ["eyes", "eyes-2"]
        second = homes["eyes-2"]
        assert (second.data, second.reader, second.seed) == ("two/eyes", "drive", 3)
        assert second.folder == tmp_path / "eyes-2"
        assert second.regimes == ("REAL", "SYNTH")
        assert second.trainings == {"seeds": 2}

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"data": "one/eyes"}, "two data sets or more"),
            ({"data": ("one/eyes", "two/../one/eyes")}, "is named twice"),
            ({"evaluators": ()}, "name one segmenter"),
            ({"reader": ("folder",) * 3}, "there are 2 data sets"),
            ({"test_data": "three"}, "all are tested on all"),
        ],
    )
    def test_what_makes_no_matrix_is_refused(self, asked: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidValueError, match="retina transfer --help") as caught:
            TransferRequest(pipeline(**asked))
        assert said in str(caught.value)

    def test_a_table_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        scores = Scores(
            "unet",
            (
                Score("dice", "REAL", "vessel", 0.75, 0.5, 1.0, 3),
                Score("dice", "SYNTH", "vessel", 0.5, 0.25, 0.75, 3),
                Score("dice_difference", "SYNTH", "vessel", -0.25, -0.5, -0.125, 3, reference="REAL"),
                Score("dice", None, "vessel", 0.8, reference="second observer"),
            ),
        )
        sets = (TransferSet("a", "a", 5, 2), TransferSet("b", "b", 6, 3))
        found = Transfer("unet", 3, False, sets, tuple(cells_of("a", "b", scores)))
        found.write(tmp_path)
        assert Transfer.read(tmp_path) == found
        assert found.tables == (("REAL", "vessel"), ("SYNTH", "vessel"))
        synthetic = found.cell("a", "b", "SYNTH", "vessel")
        assert synthetic is not None
        assert synthetic.dice_difference == Measured(-0.25, -0.5, -0.125)
        assert found.cell("b", "a", "SYNTH", "vessel") is None
        lines = (tmp_path / "transfer.csv").read_text().splitlines()
        assert lines[1].startswith("a,b,REAL,vessel,5,3,3,0.750000,0.500000,1.000000,")
        (tmp_path / "transfer.json").write_text("{")
        with pytest.raises(RunFolderError, match="is damaged"):
            Transfer.read(tmp_path)


class TestElsewhere:
    def test_an_eye_that_is_trained_on_is_never_tested_on(self) -> None:
        eyes = tiny_eyes(4, image_px=32)
        eyes = replace(eyes, phantom=False)
        train, test = eyes.with_samples(eyes.samples[:3]), eyes.with_samples(eyes.samples[2:])
        with pytest.raises(LeakError, match="eye2"):
            crossed_split(Split(train, train), test)

    def test_eyes_without_a_channel_that_is_trained_on_are_refused(self) -> None:
        eyes = tiny_eyes(2, image_px=32)
        train = replace(eyes, channels=("fovea",))
        with pytest.raises(DatasetError, match="no eye is annotated for fovea"):
            crossed_split(Split(train, train), eyes)

    def test_phantoms_and_real_eyes_are_not_mixed(self) -> None:
        eyes = tiny_eyes(2, image_px=32)
        other = replace(eyes, phantom=not eyes.phantom)
        with pytest.raises(DatasetError, match="phantoms, the other real eyes"):
            crossed_split(Split(eyes, eyes), other)

    def test_a_part_that_there_is_not_is_refused(self) -> None:
        from retina_core.config import DataConfig
        from retina_core.registry import Registry

        with pytest.raises(InvalidValueError, match="choose test or all"):
            Elsewhere("phantom", part="train").opened(0, DataConfig(), Registry.discover())

    def test_without_another_data_set_the_request_is_as_before(self) -> None:
        facts = pipeline().facts()
        assert not {"test_data", "test_part", "test_reader"} & set(facts)
        assert pipeline(test_data="three").facts()["test_data"] == "three"
        assert pipeline(test_data="three", test_part="all").digest != pipeline(test_data="three").digest
