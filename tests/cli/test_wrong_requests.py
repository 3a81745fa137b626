"""Bad input: one error that names the value and the next step, exit status 2, before any work is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from retina_cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten plain pictures with a map each."""
    for part in ("images", "labels/cell"):
        (tmp_path / "cells" / part).mkdir(parents=True)
    for index in range(10):
        rng = np.random.default_rng(index)
        photo = rng.integers(0, 255, (32, 32, 3), np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        mask[5 : 10 + index, 8:20] = 255
        Image.fromarray(photo).save(tmp_path / f"cells/images/{index}.png")
        Image.fromarray(mask).save(tmp_path / f"cells/labels/cell/{index}.png")
    return tmp_path / "cells"


def refused(arguments: list[str], folder: Path) -> str:
    """The one error of a command that must fail before it writes anything."""
    out = folder / "out"
    environment = {**os.environ, "RETINA_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "retina_cli", *arguments, "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Error: ")
    assert all(line.startswith("  ") for line in lines[1:]), lines
    assert done.stdout == ""
    assert not out.exists(), list(out.rglob("*"))
    return done.stderr


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("pipeline", "retina train"),
        ("generate", "--shard I/N"),
        ("evaluate", "without"),
        ("report", "without"),
    ],
)
def test_what_one_process_does_alone_refuses_torchrun_and_only_its_first_process_says_so(
    command: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, said in (("0", f"Error: {command}: runs in one process, and torchrun started 2; "), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        done = CliRunner().invoke(main, [command, "--out", str(tmp_path / "out")])
        assert done.exit_code == 2
        assert done.stderr.startswith(said)
        assert (advice in done.stderr) == (rank == "0")
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0
    assert not (tmp_path / "out").exists()


def pipeline(data: Path | str, *more: str, labels: str = "dcgan", translator: str = "pix2pix") -> list[str]:
    chosen = ["--labels", labels, "--translator", translator, "--evaluator", "unet", "--preset", "quick"]
    return ["pipeline", *chosen, "--data", str(data), *more]


@pytest.mark.parametrize(
    ("more", "stages", "said"),
    [
        ([], {"labels": "dcgann"}, ["dcgann", "did you mean 'dcgan'"]),
        ([], {"labels": "pix2pix"}, ["pix2pix", "image-translator, not a label-generator", "dcgan"]),
        (["--set", "labels.resolutoin=64"], {}, ["resolutoin", "did you mean 'resolution'"]),
        (["--set", "lables.resolution=64"], {}, ["lables", "did you mean 'labels'"]),
        (["--set", "labels.resolution=48"], {}, ["48", "power of two"]),
        (["--set", "labels.resolution=16"], {}, ["16", "greater than or equal to 32"]),
        (["--set", "translator.learning_rate=fast"], {}, ["fast", "valid number"]),
        (["--set", "data.channels=nucleus"], {}, ["nucleus"]),
        (["--preset", "quik"], {}, ["quik", "did you mean 'quick'"]),
        (["--init", "nowhere"], {}, ["nowhere", "no such folder"]),
        (["--init", "starter"], {}, ["starter", "none"]),
        (["--track", "tensorbored"], {}, ["tensorbored", "tensorboard"]),
        (["--device", "cuda"], {}, ["cuda", "cpu"]),
        (["--reader", "hfr"], {}, ["hfr", "hrf"]),
    ],
)
def test_wrong_request(
    more: list[str], stages: dict[str, str], said: list[str], data: Path, tmp_path: Path
) -> None:
    if "cuda" in more:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device here, so asking for it is right")
    message = refused(pipeline(data, *more, **stages), tmp_path)
    for words in said:
        assert words in message


def test_path_that_is_not_there(tmp_path: Path) -> None:
    assert "missing" in refused(pipeline(tmp_path / "missing"), tmp_path)


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(pipeline(tmp_path / "empty"), tmp_path)


def test_everything_wrong_with_the_files_is_said_at_once(data: Path, tmp_path: Path) -> None:
    (data / "labels/cell/0.png").unlink()
    Image.new("L", (16, 16)).save(data / "labels/cell/1.png")
    content = (data / "images/2.png").read_bytes()
    (data / "images/2.png").write_bytes(content[: len(content) // 2])
    (data / "images/3.png").write_text("a text")
    message = refused(pipeline(data), tmp_path)
    lines = message.splitlines()
    assert "4 problems" in lines[0]
    for name in ("images/0.png", "labels/cell/1.png", "images/2.png", "images/3.png"):
        assert sum(name in line for line in lines[1:]) == 1, message


def test_truncated_jpeg(data: Path, tmp_path: Path) -> None:
    (data / "images/4.png").unlink()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(
        data / "images/4.jpg"
    )
    content = (data / "images/4.jpg").read_bytes()
    (data / "images/4.jpg").write_bytes(content[: len(content) // 2])
    message = refused(pipeline(data), tmp_path)
    assert "images/4.jpg" in message
    assert "truncated" in message


def test_a_stage_folder_is_checked_before_generating(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/config.json").write_text(json.dumps({"schema": 1}))
    arguments = [
        "generate",
        "--labels",
        str(tmp_path / "labels"),
        "--translator",
        str(tmp_path),
        "--count",
        "1",
    ]
    assert "config.json" in refused(arguments, tmp_path)
