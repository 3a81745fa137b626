"""Testing on another data set, and the matrix of several, on phantoms of a few pixels written as data sets."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from retina_cli.main import main as retina
from retina_core.formats.phantom_set import write_phantom_set

UNET = {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2, "seen_images": 8, "batch_size": 4}
PAINTER = {
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "discriminator_width": 4,
    "seen_images": 4,
    "batch_size": 4,
}
STAGES = ("--labels", "phantom", "--translator", "pix2pix", "--preset", "quick", "--init", "none")
SETTINGS: dict[str, dict[str, Any]] = {
    "data": {"channels": "vessel"},
    "labels": {"resolution": 32},
    "translator": PAINTER,
    "unet": UNET,
}


def sets(settings: dict[str, dict[str, Any]]) -> list[str]:
    pairs = [
        f"{prefix}.{key}={value}" for prefix, values in settings.items() for key, value in values.items()
    ]
    return [word for pair in pairs for word in ("--set", pair)]


def facts(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, ``one/eyes`` and ``two/eyes``, of one folder's name; the second marks no disc."""
    home = tmp_path_factory.mktemp("transfer")
    for name, seed in (("one", 3), ("two", 4)):
        write_phantom_set(home / name / "eyes", 5, 48, seed=seed)
        (home / name / "eyes/metadata.jsonl").unlink()  # which says that no real eye is shown
        for labels in (home / name / "eyes/labels").iterdir():
            if labels.name not in {"vessel", "optic_disc"}:
                shutil.rmtree(labels)
    shutil.rmtree(home / "two/eyes/labels/optic_disc")
    return home


@pytest.fixture(scope="module")
def call(home: Path) -> Callable[..., Result]:
    """``retina`` with the settings of tiny networks."""

    def run(command: str, *words: str) -> Result:
        environment = {"RETINA_CACHE": str(home / "cache")}
        return CliRunner(env=environment).invoke(retina, [command, *words, "--device", "cpu", "--seed", "1"])

    return run


@pytest.fixture(scope="module")
def matrix(home: Path, call: Callable[..., Result]) -> Callable[..., Result]:
    def run(*words: str) -> Result:
        data = ("--data", str(home / "one/eyes"), "--data", str(home / "two/eyes"))
        given = (*data, "--count", "2", "--seeds", "1", "--out", str(home / "run"))
        return call("transfer", *STAGES, *given, *sets(SETTINGS), *words)

    return run


@pytest.fixture(scope="module")
def first(matrix: Callable[..., Result]) -> Result:
    done = matrix()
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done


class TestMatrix:
    def test_real_and_synth_stand_in_a_cell_for_each_two(self, home: Path, first: Result) -> None:
        with (home / "run/transfer.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["train"], row["test"], row["regime"]) for row in rows] == [
            (train, test, regime)
            for train in ("eyes", "eyes-2")
            for test in ("eyes", "eyes-2")
            for regime in ("REAL", "SYNTH")
        ]
        assert {(row["train_eyes"], row["test_eyes"], row["channel"]) for row in rows} == {
            ("4", "1", "vessel")
        }
        assert all(row["dice"] for row in rows)
        assert [bool(row["dice_difference"]) for row in rows] == [False, True] * 4
        assert "Dice of unet, REAL, vessel, 1 training" in first.stdout

    def test_the_diagonal_is_what_the_run_found_at_home(self, home: Path, first: Result) -> None:
        cells = facts(home / "run/transfer.json")["cells"]
        scores = facts(home / "run/eyes/evaluation/unet/scores.json")["scores"]
        own = next(one for one in scores if (one["name"], one["regime"]) == ("dice", "SYNTH"))
        assert cells[1]["dice"]["value"] == own["value"]

    def test_elsewhere_nothing_is_trained_and_the_others_eyes_are_tested(
        self, home: Path, first: Result
    ) -> None:
        elsewhere = home / "run/eyes/elsewhere/eyes-2"
        assert not list(elsewhere.rglob("model.safetensors"))
        with (elsewhere / "eyes.csv").open(encoding="utf-8", newline="") as file:
            tested = {row["eye"] for row in csv.DictReader(file)}
        assert tested == {one["id"] for one in facts(home / "run/eyes-2/data.json")["test"]}

    def test_the_report_has_the_tables_and_the_runs(self, home: Path, first: Result) -> None:
        page = (home / "run/report.html").read_text(encoding="utf-8")
        for said in ("REAL, vessel", "SYNTH, vessel", 'href="eyes-2/report.html"', "eyes → eyes-2"):
            assert said in page
        assert page.count("<svg") == 1

    def test_what_was_finished_is_not_done_again(
        self, home: Path, first: Result, matrix: Callable[..., Result]
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in (home / "run").rglob("model.safetensors")}
        (home / "run/eyes/elsewhere/eyes-2/scores.json").unlink()
        kept = (home / "run/transfer.json").read_bytes()
        again = matrix("--json")
        assert again.exit_code == 0, again.output
        assert "unet: training on" not in again.stderr or "tested before" in again.stderr
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert again.stderr.count("tested before") == 4  # at home the step is done
        assert (home / "run/transfer.json").read_bytes() == kept
        assert json.loads(again.stdout) == facts(home / "run/transfer.json")

    @pytest.mark.parametrize(
        ("names", "words", "said"),
        [
            (("one",), (), "name two data sets or more"),
            (("one", "one"), (), "is named twice"),
            (("one", "two"), ("--evaluator", "likeness"), "'likeness' is an evaluator, not a segmenter"),
            (
                ("one", "two"),
                ("--reader", "folder", "--reader", "folder", "--reader", "folder"),
                "one reader",
            ),
        ],
    )
    def test_a_wrong_request_is_one_error_before_any_work(
        self,
        names: tuple[str, ...],
        words: tuple[str, ...],
        said: str,
        home: Path,
        tmp_path: Path,
        call: Callable[..., Result],
    ) -> None:
        data = [word for name in names for word in ("--data", str(home / name / "eyes"))]
        done = call("transfer", *STAGES, *data, "--out", str(tmp_path / "run"), *words)
        assert done.exit_code == 2
        assert said in done.stderr
        assert not (tmp_path / "run").exists()

    def test_a_picture_that_two_share_is_refused_before_any_work(
        self, home: Path, tmp_path: Path, call: Callable[..., Result]
    ) -> None:
        again = tmp_path / "again"
        resaved(home / "one/eyes", again)
        done = call(
            *("transfer", *STAGES, "--data", str(home / "one/eyes"), "--data", str(again)),
            *("--out", str(tmp_path / "run"), "--set", "data.channels=vessel"),
        )
        assert done.exit_code == 2
        assert "shows the same picture as" in done.stderr
        assert not (tmp_path / "run").exists()


def resaved(data: Path, copy: Path) -> None:
    """The data set with its photographs saved as JPEG, in another order of names."""
    photos = sorted((data / "images").iterdir())
    for place, photo in enumerate(photos):
        name = f"p{(place + 1) % len(photos)}"
        for part, ending in (("images", ".jpg"), ("labels/vessel", ".png")):
            (copy / part).mkdir(parents=True, exist_ok=True)
            with Image.open(data / part / photo.name) as picture:
                picture.save(copy / part / f"{name}{ending}", quality=90)


class TestTestData:
    def test_evaluate_tests_on_all_eyes_of_another_set_where_that_is_asked(
        self, home: Path, tmp_path: Path, call: Callable[..., Result]
    ) -> None:
        done = call(
            *("evaluate", "--data", str(home / "one/eyes"), "--test-data", str(home / "two/eyes")),
            *("--test-part", "all", "--evaluator", "unet", "--regime", "real", "--preset", "quick"),
            *("--out", str(tmp_path / "all"), *sets({"unet": UNET})),
        )
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
        with (tmp_path / "all/unet/eyes.csv").open(encoding="utf-8", newline="") as file:
            tested = {(row["eye"], row["channel"]) for row in csv.DictReader(file)}
        assert len(tested) == 5
        assert {channel for _, channel in tested} == {"vessel"}  # what both are annotated for

    def test_a_pipeline_says_whose_eyes_it_was_tested_on(
        self, home: Path, tmp_path: Path, call: Callable[..., Result]
    ) -> None:
        words = (
            *(*STAGES, "--data", str(home / "one/eyes"), "--test-data", str(home / "two/eyes")),
            *("--count", "2", "--out", str(tmp_path / "run"), "--evaluator", "none"),
            *sets({prefix: chosen for prefix, chosen in SETTINGS.items() if prefix != "unet"}),
        )
        done = call("pipeline", *words)
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
        assert facts(tmp_path / "run/data.json")["tested_on"] == "eyes"
        assert len(facts(tmp_path / "run/data.json")["test"]) == 1  # of five: its test part
        assert "in eyes, another data set, were tested on" in (tmp_path / "run/report.html").read_text()
        refused = call("pipeline", *words, "--test-part", "all")
        assert refused.exit_code == 2
        assert "another request" in refused.stderr

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--test-data", "nowhere"), "is not there"),
            (("--test-data", "phantom"), "phantoms, the other real eyes"),
            (("--test-reader", "drive", "--test-data", "{two}"), "problem"),
            (("--test-data", "{two}", "--set", "data.channels=optic_disc"), "annotated for optic_disc"),
        ],
    )
    def test_a_test_set_that_does_not_fit_is_refused_before_any_work(
        self,
        words: tuple[str, ...],
        said: str,
        home: Path,
        tmp_path: Path,
        call: Callable[..., Result],
    ) -> None:
        given = [word.format(two=home / "two/eyes") for word in words]
        done = call(
            "pipeline", *STAGES, "--data", str(home / "one/eyes"), "--out", str(tmp_path / "run"), *given
        )
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        assert not (tmp_path / "run").exists()
