"""``retina sweep`` from the command line to the report, on phantoms of a few pixels."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from retina_cli.main import main as retina
from retina_cli.report import write_report
from retina_core import DataConfig, FitOptions, evaluate, open_dataset

DATA = {"phantom_count": 10, "phantom_px": 48}
UNET = {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2, "seen_images": 8, "batch_size": 4}
PAINTER = {
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "discriminator_width": 4,
    "seen_images": 4,
    "batch_size": 4,
}
SETTINGS = {"data": DATA, "labels": {"resolution": 32}, "translator": PAINTER, "unet": UNET}
SWEEP = ("sweep", "--labels", "phantom", "--translator", "pix2pix", "--preset", "quick", "--device", "cpu")


def sets(settings: dict[str, dict[str, Any]]) -> list[str]:
    pairs = [
        f"{prefix}.{key}={value}" for prefix, values in settings.items() for key, value in values.items()
    ]
    return [word for pair in pairs for word in ("--set", pair)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[..., Result]]:
    """A folder, and the command that sweeps in it."""
    home = tmp_path_factory.mktemp("sweep")

    def run(*words: str) -> Result:
        command = [
            *SWEEP,
            "--mix",
            "50",
            "--seeds",
            "2",
            "--out",
            str(home / "run"),
            *sets(SETTINGS),
            *words,
        ]
        return CliRunner(env={"RETINA_CACHE": str(home / "cache")}).invoke(retina, command)

    return home / "run", run


@pytest.fixture(scope="module")
def first(sweep: tuple[Path, Callable[..., Result]]) -> Result:
    done = sweep[1]()
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done


@pytest.fixture
def run(sweep: tuple[Path, Callable[..., Result]], first: Result) -> Path:
    return sweep[0]


def facts(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_table_is_printed_and_lies_in_the_run(run: Path, first: Result) -> None:
    assert "0 % is taken up too" in first.stderr
    lines = [line.split("  ") for line in first.stdout.splitlines()]
    assert "unet beside 8 phantoms, 2 trainings of each share, equal steps" in first.stdout
    assert [line[0].strip() for line in lines[2:8]] == ["0 %"] * 3 + ["50 %"] * 3
    with (run / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["channel"] for row in rows] == ["", "vessel", "optic_disc"] * 2
    assert [row["synthetic"] for row in rows] == ["0"] * 3 + ["8"] * 3
    assert {(row["real"], row["seen_images"], row["steps"], row["seeds"]) for row in rows} == {
        ("8", "8", "2", "2")
    }
    assert rows[0]["f1_difference"] == ""
    assert all(row["f1_difference"] and row["recall_difference"] for row in rows[3:6:3])


def test_scores_over_all_channels_have_no_channel(run: Path) -> None:
    scores = facts(run / "evaluation/unet/scores.json")
    assert scores["schema"] == 1
    over_all = [
        score for score in scores["scores"] if score["channel"] is None and score["reference"] is None
    ]
    assert {score["regime"] for score in over_all} == {"REAL", "MIX(50)"}
    assert {"dice", "precision", "recall"} <= {score["name"] for score in over_all}
    assert not any(score["name"].startswith("auc") for score in over_all)
    shares = facts(run / "sweep.json")["shares"]
    real = next(score for score in over_all if (score["name"], score["regime"]) == ("dice", "REAL"))
    assert shares[0]["scores"][0]["f1"]["value"] == real["value"]


def test_the_report_has_the_tables_the_charts_and_what_they_say(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    for said in (
        "How much synthetic data helps",
        "F1 − 0 %",
        "All channels, ",
        "micro-averaged",
        'href="#sweep"',
    ):
        assert said.lower() in page.lower()
    assert "beside" in page or "trained on 8 phantoms" in page
    assert page.count("<svg") >= 4  # a chart for all channels, each channel, and the differences


def test_a_damaged_table_is_said_and_the_report_still_written(run: Path) -> None:
    kept = (run / "sweep.json").read_bytes()
    (run / "sweep.json").write_text('{"schema": 1}')
    assert "sweep.json is damaged" in write_report(run).read_text(encoding="utf-8")
    (run / "sweep.json").write_bytes(kept)


def test_no_stage_and_no_pair_has_seen_the_test_part(run: Path) -> None:
    split = open_dataset("phantom", config=DataConfig.resolve("data", "quick", DATA)).split(0, 0.2)
    tested, trained = set(split.test.seen()), set(split.train.seen())
    assert tested
    for folder in ("translator", "synthetic", "evaluation/unet/mix-50-seed0"):
        seen = set(facts(run / folder / "seen.json")["fingerprints"])
        assert seen & trained
        assert not seen & tested


def test_what_was_finished_is_not_done_again(sweep: tuple[Path, Callable[..., Result]], run: Path) -> None:
    """As after a kill: one training is not tested yet, and the scores are not there."""
    evaluation = run / "evaluation/unet"
    before = {path: path.stat().st_mtime_ns for path in evaluation.glob("*/model.safetensors")}
    scores, table = (evaluation / "scores.json").read_bytes(), (run / "sweep.json").read_bytes()
    (evaluation / "scores.json").unlink()
    (evaluation / "mix-50-seed1/tested.json").unlink()
    again = sweep[1]("--json")
    assert again.exit_code == 0, again.output
    assert again.stderr.count("tested before") == 3
    assert "unet: MIX(50) seed 1: testing on 2 eyes" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in evaluation.glob("*/model.safetensors")} == before
    assert (evaluation / "scores.json").read_bytes() == scores
    assert (run / "sweep.json").read_bytes() == table
    assert json.loads(again.stdout) == facts(run / "sweep.json")


def test_another_sweep_is_refused_in_the_folder(sweep: tuple[Path, Callable[..., Result]], run: Path) -> None:
    done = sweep[1]("--seeds", "3")
    assert done.exit_code == 2
    assert "another request" in done.stderr


def test_with_a_budget_of_epochs_more_pairs_mean_more_steps(run: Path, tmp_path: Path) -> None:
    split = open_dataset("phantom", config=DataConfig.resolve("data", "quick", DATA)).split(0, 0.2)
    evaluate(
        "unet",
        run / "synthetic",
        split,
        tmp_path,
        preset="quick",
        settings={key: value for key, value in UNET.items() if key != "seen_images"},
        regimes=("REAL", "MIX(50)"),
        seeds=1,
        epochs=1,
        options=FitOptions(device="cpu"),
    )
    lengths = [
        facts(tmp_path / f"{name}-seed0/config.json")["config"]["seen_images"] for name in ("real", "mix-50")
    ]
    assert lengths == [8, 8 + 8]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mix", "0"), "name a share above 0"),
        (("--mix", "25,100"), "100 is not from 0 to 99"),
        (("--evaluator", "likeness"), "'likeness' is an evaluator, not a segmenter"),
        (("--epochs", "3"), "it counts with --budget epochs alone"),
        (("--budget", "epochs", "--set", "unet.seen_images=9"), "it follows from --epochs"),
        (("--labels", "pgan", "--grade", "3"), "it takes no grades"),
        (("--count", "2", "--mix", "50"), "takes 48 pairs"),
    ],
)
def test_a_wrong_request_is_one_error_before_any_work(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(retina, ["sweep", "--labels", "phantom", "--translator", "spade", *words])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not any(tmp_path.iterdir())


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(retina, ["sweep"])
    assert done.exit_code == 2
    assert "torchrun started 2" in done.stderr
