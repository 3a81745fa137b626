"""Ctrl-C and SIGTERM, sent to the real command."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAIN = [
    *("train", "label-generator:dcgan", "--out", "stage", "--preset", "quick", "--device", "cpu"),
    *("--set", "data.phantom_count=6", "--set", "data.phantom_px=48"),
    *(
        "--set",
        "resolution=32",
        "--set",
        "width=8",
        "--set",
        "max_width=16",
        "--set",
        "discriminator_width=8",
    ),
    *("--set", "batch_size=8", "--set", "seen_images=80000"),
]


def start(folder: Path, *launcher: str, threads: int = 1, arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "RETINA_CACHE": str(folder / "cache")}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    command = [sys.executable, *launcher, "-m", "retina_cli", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def stop(
    folder: Path, process: subprocess.Popen[str], number: int, after: int, *, launched: bool = False
) -> str:
    """Send a signal once that many rows were logged; gives what was said on standard error."""
    log, deadline = folder / "stage" / "log.jsonl", time.monotonic() + 120
    while not log.exists() or len(log.read_text().splitlines()) < after:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert launched or "Traceback" not in said  # torchrun shows its own
    return said


def seen(folder: Path) -> int:
    return int(json.loads((folder / "stage" / "checkpoints" / "latest.json").read_text())["seen_images"])


@pytest.mark.slow
def test_a_stopped_command_says_how_to_go_on_and_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, arguments=TRAIN)
    said = stop(tmp_path, process, signal.SIGINT, 1)
    assert process.returncode == 130
    stopped = seen(tmp_path)
    assert stopped > 0
    assert f"dcgan: stopped after {stopped} of 80000 seen images" in said
    name, *told = shlex.split(
        said.splitlines()[-1].removeprefix("Interrupted; the same command continues where this one stopped: ")
    )
    assert name == "retina"
    assert told == TRAIN

    process = start(tmp_path, arguments=told, threads=2)  # on a machine with other threads: said, and done
    said = stop(tmp_path, process, signal.SIGTERM, 3)
    assert process.returncode == 143
    assert f"dcgan: goes on from {stopped} of 80000 seen images" in said
    assert "dcgan: threads: 1 before, 2 now; the result will differ in its last bits" in said
    assert seen(tmp_path) > stopped


@pytest.mark.slow
def test_two_processes_stop_at_the_same_step(tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = start(tmp_path, *launcher, arguments=TRAIN)
    said = stop(tmp_path, process, signal.SIGINT, 1, launched=True)
    assert process.returncode != 0
    stopped = seen(tmp_path)
    assert stopped % 64 == 0  # they agree every eight steps of eight images
    assert f"dcgan: stopped after {stopped} of 80000 seen images" in said
    assert "Interrupted; start torchrun the same way to go on." in said
