"""``retina learning-curve`` from the command line to the report, on phantoms of a few pixels."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from retina_cli.main import main as retina
from retina_core.evaluation.curve import LearningCurve

UNET = {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2, "seen_images": 8, "batch_size": 4}
PAINTER = {
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "discriminator_width": 4,
    "seen_images": 4,
    "batch_size": 4,
}
DATA = {"phantom_count": 10, "phantom_px": 48, "channels": "vessel"}
SETTINGS: dict[str, dict[str, Any]] = {
    "data": DATA,
    "labels": {"resolution": 32},
    "translator": PAINTER,
    "unet": UNET,
}
CURVE = ("learning-curve", "--labels", "phantom", "--translator", "pix2pix", "--preset", "quick")


def sets(settings: dict[str, dict[str, Any]]) -> list[str]:
    pairs = [
        f"{prefix}.{key}={value}" for prefix, values in settings.items() for key, value in values.items()
    ]
    return [word for pair in pairs for word in ("--set", pair)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("curve")


@pytest.fixture(scope="module")
def draw(home: Path) -> Callable[..., Result]:
    """The command that draws a curve in the folder."""

    def run(*words: str) -> Result:
        command = [*CURVE, "--device", "cpu", "--seeds", "1", "--out", str(home / "run"), *sets(SETTINGS)]
        return CliRunner(env={"RETINA_CACHE": str(home / "cache")}).invoke(retina, [*command, *words])

    return run


@pytest.fixture(scope="module")
def few(draw: Callable[..., Result], home: Path) -> dict[Path, int]:
    """One number of eyes alone, as a beginning: its weights, and when they were written."""
    done = draw("--eyes", "2")
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return written(home / "run")


@pytest.fixture(scope="module")
def first(draw: Callable[..., Result], few: dict[Path, int]) -> Result:
    """Two numbers, in the same folder."""
    done = draw("--eyes", "4,2")
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done


def written(folder: Path) -> dict[Path, int]:
    """Every file of weights, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}


@pytest.fixture
def run(home: Path, first: Result) -> Path:
    return home / "run"


def facts(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_table_is_printed_and_lies_in_the_folder(run: Path, first: Result) -> None:
    lines = [line.split() for line in first.stdout.splitlines()]
    assert [line[:4] for line in lines[2:6]] == [
        ["2", "0", "%", "0"],
        ["2", "50", "%", "2"],
        ["4", "0", "%", "0"],
        ["4", "50", "%", "4"],
    ]
    assert "tested on 2 eyes" in first.stdout
    assert "another seed" in first.stderr
    with (run / "curve.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["eyes"], row["share"], row["real"]) for row in rows] == [
        ("2", "0", "2"),
        ("2", "50", "2"),
        ("4", "0", "4"),
        ("4", "50", "4"),
    ]
    assert {(row["steps"], row["seen_images"], row["test_eyes"]) for row in rows} == {("2", "8", "2")}
    assert [bool(row["f1_difference"]) for row in rows] == [False, True, False, True]


def test_at_each_number_everything_saw_those_eyes_alone_and_all_are_tested_alike(run: Path) -> None:
    few, more = (facts(run / f"eyes-{count}/data.json") for count in (2, 4))
    small, large = ({one["id"] for one in part["train"]} for part in (few, more))
    assert (len(small), len(large)) == (2, 4)
    assert small < large
    assert few["test"] == more["test"]
    for folder in ("translator", "synthetic", "evaluation/unet/real-seed0", "evaluation/unet/mix-50-seed0"):
        seen = set(facts(run / "eyes-2" / folder / "seen.json")["fingerprints"])
        of_photographs = seen & set(facts(run / "eyes-4/translator/seen.json")["fingerprints"])
        assert len(of_photographs) == 2  # beside the pairs, of those that a segmenter learnt from
    assert [point.ids for point in LearningCurve.read(run).points] == [
        tuple(one["id"] for one in part["train"]) for part in (few, more)
    ]


def test_the_report_has_a_table_and_a_chart_and_the_single_runs(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    for said in ("Learning curve", "by number of training eyes", 'href="eyes-2/report.html"', "Phantom data"):
        assert said in page
    assert page.count("<svg") == 1
    assert (run / "eyes-4/report.html").is_file()
    done = CliRunner().invoke(retina, ["report", str(run)])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(retina, ["report", str(run), "--with-real"]).exit_code == 2


def test_more_numbers_go_on_in_the_folder(run: Path, few: dict[Path, int]) -> None:
    assert few
    assert few.items() < written(run).items()


def test_what_was_finished_is_not_done_again(draw: Callable[..., Result], run: Path) -> None:
    before, kept = written(run), (run / "curve.json").read_bytes()
    again = draw("--eyes", "2,4", "--json")
    assert again.exit_code == 0, again.output
    assert written(run) == before
    assert (run / "curve.json").read_bytes() == kept
    assert json.loads(again.stdout) == facts(run / "curve.json")


def test_a_damaged_curve_is_one_error(run: Path) -> None:
    kept = (run / "curve.json").read_bytes()
    (run / "curve.json").write_text('{"schema": 1}')
    done = CliRunner().invoke(retina, ["report", str(run)])
    (run / "curve.json").write_bytes(kept)
    assert done.exit_code == 2
    assert "curve.json: is damaged" in done.stderr


def test_another_request_is_refused_in_the_folder(draw: Callable[..., Result], run: Path) -> None:
    done = draw("--eyes", "2", "--mix", "25")
    assert done.exit_code == 2
    assert "another request" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--eyes", "0,5"), "fewer than 1 eye"),
        (("--eyes", "5,5"), "5 is there twice"),
        (("--eyes", "5,x"), "'x' is no whole number"),
        (("--eyes", ""), "'' is no whole number"),
        (("--eyes", "2,9"), "has 8 annotated eyes; ask for so many at most"),
        (("--mix", "0"), "name a share above 0"),
        (("--evaluator", "likeness"), "'likeness' is an evaluator, not a segmenter"),
        (("--set", "data.train_eyes=4"), "it follows from the numbers of eyes"),
    ],
)
def test_a_wrong_request_is_one_error_before_any_work(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = sets({"data": DATA, "labels": {"resolution": 32}})
    done = CliRunner().invoke(retina, [*CURVE, *settings, *words])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not any(tmp_path.iterdir())
