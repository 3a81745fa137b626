"""Does the grade show? Lesions of generated and real maps are counted alike, and by grade."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from retina_core.config import DataConfig
from retina_core.data.opening import open_dataset
from retina_core.data.pictures import ArrayPicture
from retina_core.data.prepare import prepare
from retina_core.data.sample import WEAK_GRADE, Dataset, Sample
from retina_core.errors import DatasetError, InvalidValueError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.figures import Confusion, Groups, Note, Table, read_figures
from retina_core.evaluation.grades import GradesEvaluator
from retina_core.evaluation.grades_config import GradesConfig
from retina_core.evaluation.lesion_counts import Ruler
from retina_core.evaluation.lesion_rows import REAL
from retina_core.evaluation.scores import Scores
from retina_core.pipeline import _Run
from retina_core.registry import Registry
from retina_core.run_plan import PipelineRequest, RunPlan
from retina_core.testing import EvaluatorContract, tiny_eyes
from retina_core.training.options import FitOptions

TINY: dict[str, Any] = {"resolution": 32, "width": 4, "seen_images": 48, "batch_size": 8}
SIDE = 64


class Ears:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, progress: Any) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        self.lines.append(line)


def eye(name: str, grade: int | None, spots: int, side: int = SIDE, spot_px: int = 2, **given: Any) -> Sample:
    """An eye with a disc and as many square spots of ``haemorrhage``."""
    fov = np.full((side, side), 255, np.uint8)
    disc, marks = np.zeros_like(fov), np.zeros_like(fov)
    disc[side // 8 : side // 4, side // 8 : side // 4] = 255
    places = [(top, left) for top in range(side // 2, side, side // 8) for left in range(0, side, side // 8)]
    for top, left in places[:spots]:
        marks[top : top + spot_px, left : left + spot_px] = 255
    photo = np.random.default_rng(abs(hash(name)) % 2**32).integers(0, 255, (side, side, 3), dtype=np.uint8)
    labels = {"optic_disc": picture(f"{name} disc", disc), "haemorrhage": picture(f"{name} marks", marks)}
    return Sample(
        name,
        name,
        picture(f"{name} photo", photo),
        labels,
        picture(f"{name} fov", fov),
        "given",
        grade,
        **given,
    )


def picture(name: str, values: NDArray[np.uint8]) -> ArrayPicture:
    return ArrayPicture.of(name, values)


def dataset(*eyes: Sample) -> Dataset:
    return Dataset("made up", "memory", None, eyes, ("optic_disc", "haemorrhage"), phantom=True)


def evaluated(
    folder: Path, pairs: Dataset | None, train: Dataset, test: Dataset, **settings: Any
) -> tuple[Scores, Ears]:
    ears = Ears()
    context = EvaluationContext(
        folder, Registry.of(), FitOptions(device="cpu", precision="fp32", listener=ears)
    )
    config = GradesConfig.resolve("grades", "quick", {**TINY, **settings})
    return GradesEvaluator(config).evaluate(pairs, train, test, context), ears


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def train() -> Dataset:
    return dataset(*(eye(f"t{i}", i % 2 * 3, 2 + i % 2 * 6) for i in range(6)))


@pytest.fixture
def test() -> Dataset:
    return dataset(eye("s0", 0, 2), eye("s1", 3, 8), eye("s2", None, 8))


@pytest.fixture
def pairs() -> Dataset:
    return dataset(eye("g0", 0, 1), eye("g1", 0, 3), eye("g2", 3, 10), eye("g3", 1, 4))


def test_lesions_are_counted_by_grade_generated_beside_real(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    scores, ears = evaluated(tmp_path / "grades", pairs, train, test)
    assert Scores.read(tmp_path / "grades/scores.json") == scores
    found = {
        (s.name, s.grade, s.reference): s.value
        for s in scores.scores
        if s.channel == "haemorrhage" and s.value
    }
    assert found["lesions", 0, None] == 2
    assert found["lesions", 3, None] == 10
    assert found["lesions", 0, REAL] == 2
    assert found["lesions", 3, REAL] == 8
    assert found["eyes", 0, None] == 2
    assert found["eyes", 0, REAL] == 3
    assert found["lesion_area", 3, REAL] == pytest.approx(100 * 8 * 4 / SIDE**2, rel=0.01)
    assert not [s for s in scores.scores if s.channel == "optic_disc"]
    assert any("1 of 3 test eyes" in line for line in ears.lines)


def test_figures_hold_a_table_a_plot_for_each_measure_and_both_confusions(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    evaluated(tmp_path / "grades", pairs, train, test)
    figures = read_figures(tmp_path / "grades/figures.json")
    kinds = [type(figure) for figure in figures]
    assert kinds.count(Table) == 1
    assert kinds.count(Groups) == 2
    confusions = [figure for figure in figures if isinstance(figure, Confusion)]
    assert [sum(map(sum, one.counts)) for one in confusions] == [3, 2 + 6], (
        "2 test eyes, 6 training eyes by turns"
    )
    notes = [figure.text for figure in figures if isinstance(figure, Note)]
    assert any("grade 1 are counted, but not judged" in text for text in notes)


def test_every_eye_and_every_answer_is_a_row_of_a_table(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    first = replace(train.samples[0], grade_from="other")
    second = replace(train.samples[1], weak={WEAK_GRADE: "grader"})
    given = dataset(first, second, *train.samples[2:])
    _, ears = evaluated(tmp_path / "grades", pairs, given, test)
    with (tmp_path / "grades/lesions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 + 6
    assert [row["grade_from"] for row in rows] == ["asked"] * 4 + ["twin other", "weak"] + ["own"] * 4
    assert rows[2]["pieces"] == "10"
    with (tmp_path / "grades/answers.csv").open(newline="") as file:
        found = [row["eye"] for row in csv.DictReader(file)]
    assert found[:5] == ["g0", "g1", "g2", "s0", "s1"]
    assert sorted(found[5:]) == [f"t{i}" for i in range(6)]
    assert any("twins" in line for line in ears.lines)
    assert any("weak" in line for line in ears.lines)


def test_without_parts_only_test_eyes_are_the_yardstick(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    evaluated(tmp_path / "grades", pairs, train, test, parts=0)
    figures = read_figures(tmp_path / "grades/figures.json")
    assert [sum(map(sum, one.counts)) for one in figures if isinstance(one, Confusion)] == [3, 2]
    assert not any("training eyes, asked" in one.text for one in figures if isinstance(one, Note))


def test_weak_maps_that_stand_for_real_ones_are_named(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    weak = replace(train.samples[1], weak=("haemorrhage",), weak_from=("unet",))
    _, ears = evaluated(tmp_path / "grades", pairs, train.with_samples([weak, *train.samples[2:]]), test)
    said = "1 of 5 real training maps of haemorrhage are weak"
    assert any(said in line for line in ears.lines)
    notes = [
        figure.text for figure in read_figures(tmp_path / "grades/figures.json") if isinstance(figure, Note)
    ]
    assert [said in note for note in notes].count(True) == 1
    with (tmp_path / "grades/lesions.csv").open(newline="") as file:
        assert [row["eye"] for row in csv.DictReader(file) if row["weak"] == "1"] == [weak.id]


def test_maps_that_annotators_drew_are_not_called_weak(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    _, ears = evaluated(tmp_path / "grades", pairs, train, test)
    assert not any("training maps of" in line for line in ears.lines)


def test_real_maps_that_were_brought_down_count_as_those_drawn_small(tmp_path: Path) -> None:
    """A perfect generator of small maps has as many pieces, and as large ones, as real eyes of four times the side."""
    large = [eye(f"r{i}", 2, 5 + i, side=4 * SIDE, spot_px=8) for i in range(4)]
    small = [eye(f"d{i}", 2, 5 + i) for i in range(4)]
    ruler = Ruler.of(prepare(large, ("optic_disc", "haemorrhage"), SIDE, tmp_path), 32)
    real, drawn = (
        [one.lesions["haemorrhage"] for one in ruler.measure(eyes, "real")] for eyes in (large, small)
    )
    assert [one.pieces for one in real] == [one.pieces for one in drawn] == [5, 6, 7, 8]
    assert [one.area_percent for one in real] == pytest.approx([one.area_percent for one in drawn], rel=0.01)


def test_a_lesion_of_one_pixel_is_counted(tmp_path: Path) -> None:
    eyes = [eye(f"p{i}", 1, 6, spot_px=1 if i else 6) for i in range(3)]
    ruler = Ruler.of(prepare(eyes, ("haemorrhage",), SIDE, tmp_path), 32)
    assert [one.lesions["haemorrhage"].pieces for one in ruler.measure(eyes, "real")] == [6, 6, 6]


def test_an_absent_channel_is_not_counted_as_empty(tmp_path: Path, pairs: Dataset, test: Dataset) -> None:
    with_maps, empty = eye("a", 3, 4), eye("b", 3, 4)
    empty = replace(empty, labels={**empty.labels, "haemorrhage": None})
    absent = replace(eye("c", 3, 4), labels={"optic_disc": with_maps.labels["optic_disc"]})
    scores, ears = evaluated(tmp_path / "grades", pairs, dataset(with_maps, empty, absent), test)
    rows = {s.name: s.value for s in scores.scores if (s.grade, s.reference) == (3, REAL)}
    assert rows["lesions"] == 2
    assert rows["eyes"] == 2
    assert any("No classifier is trained" in line for line in ears.lines)


def test_what_has_no_grade_is_refused_with_what_to_do(
    tmp_path: Path, pairs: Dataset, train: Dataset, test: Dataset
) -> None:
    def ungraded(given: Dataset) -> Dataset:
        return dataset(*(replace(sample, grade=None) for sample in given.samples))

    with pytest.raises(InvalidValueError, match="--synthetic"):
        evaluated(tmp_path, None, train, test)
    with pytest.raises(DatasetError, match=r"no pair has a grade.*--grade"):
        evaluated(tmp_path, ungraded(pairs), train, test)
    with pytest.raises(DatasetError, match=r"no training sample.*retina annotate"):
        evaluated(tmp_path, pairs, ungraded(train), test)
    assert not (tmp_path / "scores.json").exists()


class TestContract(EvaluatorContract):
    evaluator = "grades"
    settings: ClassVar[Mapping[str, Any]] = TINY
    channels: ClassVar[tuple[str, ...]] = ("optic_disc", "drusen")

    def evaluate(self, folder: Path) -> Scores:
        eyes = tiny_eyes(9, channels=self.channels)
        graded = [replace(one, grade=i % 3) for i, one in enumerate(eyes.samples)]
        pairs, train, test = (eyes.with_samples(graded[i : i + 3]) for i in (0, 3, 6))
        return evaluated(folder, pairs, train, test)[0]


@pytest.mark.parametrize(("grades", "added"), [((0, 4), True), ((), False)])
def test_a_run_adds_the_evaluator_exactly_where_pairs_and_eyes_have_grades(
    tmp_path: Path, grades: tuple[int, ...], *, added: bool
) -> None:
    data = {"phantom_count": 10, "phantom_px": 64, "phantom_grades": list(grades)}
    request = PipelineRequest(
        "phantom", "spade", out=tmp_path / "run", settings={"data": data}, preset="quick"
    )
    plan = RunPlan.of(request, Registry.discover(), FitOptions(device="cpu"))
    assert ("evaluation/grades" in [step.name for step in _Run(plan)._steps()]) == added
    asked = replace(request, evaluators=("grades",))
    if not added:
        with pytest.raises(InvalidValueError, match="takes grades"):
            RunPlan.of(asked, Registry.discover(), FitOptions(device="cpu"))


def test_an_evaluator_that_a_run_adds_can_be_set_without_being_named(tmp_path: Path) -> None:
    data = {"phantom_count": 10, "phantom_px": 64, "phantom_grades": [0, 4]}
    asked = PipelineRequest("phantom", "spade", out=tmp_path / "run", preset="quick")

    def planned(**settings: Mapping[str, Any]) -> RunPlan:
        request = replace(asked, settings={"data": data, **settings})
        return RunPlan.of(request, Registry.discover(), FitOptions(device="cpu"))

    assert planned(grades={"parts": "3"}).configs["grades"].parts == 3  # type: ignore[attr-defined]
    assert "likeness" in planned(likeness={}).configs
    assert "grades" not in planned().configs
    with pytest.raises(InvalidValueError, match="parts"):
        planned(grades={"parts": "-1"})
    data["phantom_grades"] = []
    with pytest.raises(InvalidValueError, match="takes grades"):
        planned(grades={"parts": "3"})


def test_phantoms_show_more_lesions_the_higher_the_grade(tmp_path: Path) -> None:
    config = DataConfig.resolve(
        "data", "quick", {"phantom_count": 12, "phantom_px": 96, "phantom_grades": [0, 2, 4]}
    )
    eyes = open_dataset("phantom", config=config).split(0)
    drawn = eyes.train.with_samples([replace(one, id=f"g{one.id}") for one in eyes.train.samples])
    scores, _ = evaluated(tmp_path / "grades", drawn, eyes.train, eyes.test, seen_images=8)
    for lesion in ("microaneurysm", "haemorrhage"):
        found = [scores.find("lesions", channel=lesion, grade=grade) for grade in (0, 2, 4)]
        values = [score.value for score in found if score and score.value is not None]
        assert values[0] == 0
        assert values == sorted(values)
        assert len(set(values)) == 3
    assert json.loads((tmp_path / "grades/scores.json").read_text())["evaluator"] == "grades"
