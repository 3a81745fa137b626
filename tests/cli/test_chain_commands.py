"""The commands of the first chain, run as a user runs them, on phantoms of a few pixels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY_LABELS = [
    "resolution=32",
    "width=8",
    "max_width=16",
    "discriminator_width=8",
    "seen_images=32",
    "batch_size=8",
]
TINY_PHOTOS = [*TINY_LABELS[:4], "seen_images=16", "batch_size=4"]
TINY_UNET = ["resolution=32", "patch_px=16", "width=4", "depth=2", "seen_images=32"]
PHANTOMS = ["--set", "data.phantom_count=10", "--set", "data.phantom_px=48"]


def sets(prefix: str, settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", prefix + setting)]


def retina(folder: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RETINA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "retina_cli", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment, cwd=folder
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


def report_of(printed: str) -> str:
    """The path of the report that a pipeline ends with."""
    (path,) = [line.split()[1] for line in printed.splitlines() if line.startswith("report ")]
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both stages are trained and pairs are generated, each by its own command."""
    folder = tmp_path_factory.mktemp("work")
    quick = ["--preset", "quick", *PHANTOMS]
    retina(folder, "train", "label-generator:dcgan", "--out", "labels", *quick, *sets("", TINY_LABELS))
    retina(folder, "train", "image-translator:pix2pix", "--out", "translator", *quick, *sets("", TINY_PHOTOS))
    retina(
        folder,
        "generate",
        "--labels",
        "labels",
        "--translator",
        "translator",
        "--count",
        "6",
        "--out",
        "pairs",
    )
    return folder


def test_results_go_to_standard_output_and_progress_to_standard_error(work: Path) -> None:
    arguments = (
        "generate",
        "--labels",
        "labels",
        "--translator",
        "translator",
        "--count",
        "2",
        "--out",
        "two",
    )
    done = retina(work, *arguments)
    assert done.stdout.strip() == "two"
    assert "pairs" in done.stderr


def test_train_goes_on_and_does_nothing_twice(work: Path) -> None:
    weights = work / "labels" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    arguments = (
        "train",
        "label-generator:dcgan",
        "--out",
        "labels",
        "--preset",
        "quick",
        *PHANTOMS,
        *sets("", TINY_LABELS),
    )
    retina(work, *arguments)
    assert weights.stat().st_mtime_ns == before


def test_show_says_what_a_stage_folder_holds(work: Path) -> None:
    shown = json.loads(retina(work, "show", "labels", "--json").stdout)
    assert shown["name"] == "dcgan"
    assert shown["channels"] == ["vessel", "optic_disc"]


def test_init_starts_from_another_folder(work: Path) -> None:
    arguments = (
        "train",
        "label-generator:dcgan",
        "--out",
        "more",
        "--preset",
        "quick",
        *PHANTOMS,
        *sets("", TINY_LABELS),
    )
    done = retina(work, *arguments, "--init", "labels", "--seed", "5")
    assert "starts from all weights of labels" in done.stderr


def test_evaluate_compares_every_regime(work: Path) -> None:
    arguments = ["evaluate", "--synthetic", "pairs", "--evaluator", "unet", "--out", "evaluation", "--json"]
    regimes = ["--regime", "real,synth,both,mix:25,finetune", "--preset", "quick", *PHANTOMS]
    done = retina(work, *arguments, *regimes, *sets("unet.", TINY_UNET))
    (found,) = json.loads(done.stdout)
    dice = {row["regime"] for row in found["scores"] if row["name"] == "dice" and row["reference"] is None}
    assert dice == {"REAL", "SYNTH", "BOTH", "MIX(25)", "FINETUNE"}
    assert found["evaluator"] == "unet"


def test_evaluate_needs_pairs_for_all_but_real(work: Path) -> None:
    arguments = ["evaluate", "--evaluator", "unet", "--preset", "quick", *PHANTOMS, *sets("unet.", TINY_UNET)]
    done = retina(work, *arguments, "--regime", "synth", "--out", "none", status=2)
    assert "--synthetic" in done.stderr
    done = retina(work, *arguments, "--regime", "real", "--out", "real", "--json")
    assert {row["regime"] for row in json.loads(done.stdout)[0]["scores"]} == {"REAL", None}


def test_more_pairs_than_there_are_is_refused_before_training(work: Path) -> None:
    arguments = [
        "evaluate",
        "--synthetic",
        "pairs",
        "--evaluator",
        "unet",
        "--out",
        "much",
        "--preset",
        "quick",
    ]
    done = retina(work, *arguments, *PHANTOMS, "--regime", "real,mix:90", status=2)
    assert "72 synthetic pairs" in done.stderr
    assert not (work / "much" / "unet" / "real-seed0").exists()


def test_pipeline_follows_an_experiment_file_and_ends_with_a_report(work: Path) -> None:
    tables = {"labels": TINY_LABELS, "translator": TINY_PHOTOS, "unet": TINY_UNET}
    text = 'labels = "dcgan"\ntranslator = "pix2pix"\nevaluator = ["unet"]\npreset = "quick"\ncount = 4\n'
    text += "[data]\nphantom_count = 10\nphantom_px = 48\n"
    text = text.replace('labels = "dcgan"\ntranslator = "pix2pix"\n', "")
    for name, settings in tables.items():
        stage = {"labels": 'stage = "dcgan"\n', "translator": 'stage = "pix2pix"\n'}.get(name, "")
        text += f"[{name}]\n{stage}" + "".join(setting.replace("=", " = ") + "\n" for setting in settings)
    (work / "experiment.toml").write_text(text)
    done = retina(work, "pipeline", "experiment.toml", "--count", "5", "--out", "run")
    assert report_of(done.stdout) == "run/report.html"
    assert done.stdout.startswith("Dice on two phantoms kept back:\n")
    assert "pairs   run/synthetic (5)" in done.stdout.splitlines()
    assert len(list((work / "run/synthetic/images").iterdir())) == 5  # the command line goes before the file
    report = (work / "run/report.html").read_text()
    assert "no real eye" in report
    assert report.count("data:image/") > 5
    again = retina(work, "report", "run")
    assert again.stdout.strip() == "run/report.html"


def test_a_run_without_a_name_finds_its_own_folder_again(work: Path) -> None:
    arguments = [
        "pipeline",
        "--labels",
        "dcgan",
        "--translator",
        "pix2pix",
        "--preset",
        "quick",
        "--count",
        "3",
        "--evaluator",
        "none",
    ]
    arguments += [*PHANTOMS, *sets("labels.", TINY_LABELS), *sets("translator.", TINY_PHOTOS)]
    first = report_of(retina(work, *arguments).stdout)
    assert first.startswith("runs/dcgan-pix2pix-phantom-")
    assert report_of(retina(work, *arguments).stdout) == first
    assert len(list((work / "runs").iterdir())) == 1
