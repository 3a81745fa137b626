"""A run of a pair generator that is killed again and again ends as one that never was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NEVER = ("call:retina_core.training.context:StepContext.descend", 10**6)
MOMENTS = [
    ("call:retina_core.training.context:StepContext.descend", 5),
    ("before:*/pairs/checkpoints/latest.json", 2),
    ("half:*/synthetic/images/000001.png", 1),
]
"""Of these, in this order: each call gets further than the one before."""
TINY = {
    **{"resolution": 32, "width": 4, "max_width": 8, "discriminator_width": 4, "latent": 8},
    **{"seen_images": 24, "batch_size": 4, "checkpoint_every": 8},
}


def words(out: Path) -> list[str]:
    stages = ["--pairs", "dcgan", "--evaluator", "none", "--preset", "quick", "--count", "3"]
    data = ["--set=data.phantom_count=5", "--set=data.phantom_px=32", "--set=data.channels=vessel"]
    settings = [f"--set=pairs.{key}={value}" for key, value in TINY.items()]
    return ["pipeline", *stages, "--device", "cpu", "--out", str(out), *data, *settings]


def made(run: Path) -> dict[str, object]:
    """What lies in the stage's folder and in the set."""
    files = [run / "pairs/model.safetensors", run / "pairs/config.json", *sorted(run.rglob("synthetic/**/*"))]
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.slow
def test_killed_in_training_and_while_drawing_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RETINA_CACHE": str(tmp_path / "cache")}
    requests = [(*NEVER, "straight"), *((*moment, "killed") for moment in MOMENTS), (*NEVER, "killed")]
    lines = [
        json.dumps({"moment": moment, "count": count, "words": words(tmp_path / name)})
        for moment, count, name in requests
    ]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("die_at.py"))],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=900,
    )
    statuses = [line for line in done.stdout.splitlines() if line.lstrip("-").isdigit()]
    assert statuses == ["0", *["-9"] * len(MOMENTS), "0"], done.stderr[-3000:]
    assert made(tmp_path / "killed") == made(tmp_path / "straight")
    assert len(made(tmp_path / "straight")) > 9
