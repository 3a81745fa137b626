"""Nothing is lost: a run that is killed again and again ends as one that never was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retina_core import FitOptions, run_pipeline

CPU = FitOptions(device="cpu")
STEP = "call:retina_core.training.context:StepContext.descend"

MOMENTS = {
    "in the label generator's training": (STEP, 7),
    "while its first checkpoint is half written": ("half:*/labels/checkpoints/*/state.safetensors", 1),
    "before a later checkpoint is committed": ("before:*/labels/checkpoints/latest.json", 3),
    "between its weights and its card": ("after:*/labels/model.safetensors", 1),
    "in the translator's training": (STEP, 9),
    "after its last checkpoint": ("after:*/translator/checkpoints/0000000032", 1),
    "while a photograph is half written": ("half:*/synthetic/images/000003.png", 1),
    "between a pair's pictures and its row": ("after:*/synthetic/fov/000007.png", 1),
    "when the set is complete, and not yet tidied": ("after:*/synthetic/metadata.jsonl", 1),
    "in the training of a segmenter": (STEP, 5),
    "while its checkpoint is renamed": ("before:*/evaluation/unet/real-seed0/checkpoints/0*", 4),
    "in its testing": ("call:retina_core.evaluation.protocol:_tested", 2),
    "before the scores are written": ("before:*/evaluation/unet/scores.json", 1),
    "in the report": ("half:*/report.html", 1),
}


def facts(folder: Path) -> dict[str, Any]:
    """What every file of a run holds, but for the seconds that it took; the report is made of the rest."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"):
        name = path.relative_to(folder).as_posix()
        if path.name == "log.jsonl":
            found[name] = [
                without(json.loads(line), "images_per_second") for line in path.read_text().splitlines()
            ]
        elif name == "run.json":
            run = json.loads(path.read_text())
            steps = {step: without(entry, "wall_seconds") for step, entry in run["steps"].items()}
            found[name] = {"configs": run["configs"], "threads": run["threads"], "steps": steps}
        elif path.name == "state.safetensors":
            found[name] = state(path)
        elif name != "report.html":
            found[name] = path.read_bytes()
    return found


def state(path: Path) -> tuple[Any, bytes]:
    """Header and data of a safetensors file; the library writes a header's metadata in any order."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k != key}


def command(chain: Any, out: Path) -> list[str]:
    """The chain's own request, as it is typed."""
    asked = chain.request
    settings = [
        f"--set={prefix}.{key}={value}"
        for prefix, values in asked.settings.items()
        for key, value in values.items()
    ]
    stages = ["--labels", asked.labels, "--translator", asked.translator, "--evaluator", *asked.evaluators]
    rest = ["--data", asked.data, "--preset", "quick", "--count", str(asked.count), "--seed", str(asked.seed)]
    return ["pipeline", *stages, *rest, "--device", "cpu", "--out", str(out), *settings]


def environment(chain: Any) -> dict[str, str]:
    threads = json.loads((chain.run / "run.json").read_text())["threads"]
    return {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))}


@contextmanager
def dying(chain: Any, said: Path) -> Iterator[Callable[[dict[str, Any]], int]]:
    """Calls of the command in processes that die at a moment; gives their exit statuses."""
    driver = Path(__file__).with_name("die_at.py")
    with (
        said.open("w") as file,
        subprocess.Popen(
            [sys.executable, str(driver)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=environment(chain),
        ) as server,
    ):
        tell, answers = server.stdin, server.stdout
        assert tell
        assert answers

        def die(request: dict[str, Any]) -> int:
            tell.write(json.dumps(request) + "\n")
            tell.flush()
            return int(answers.readline())

        yield die
        tell.close()


@pytest.mark.slow
def test_a_run_killed_at_every_kind_of_moment_ends_as_one_that_never_was(chain: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = command(chain, run)
    with dying(chain, tmp_path / "said.txt") as die:
        for name, (moment, count) in MOMENTS.items():
            status = die({"moment": moment, "count": count, "words": asked})
            assert status == -signal.SIGKILL, (name, (tmp_path / "said.txt").read_text())
            if "row" in name:  # the system may have had time for a part of the row
                with (run / "synthetic" / ".rows.jsonl").open("a") as rows:
                    rows.write('{"file_name": "images/0000')
            assert says_only_what_is_there(run), name
    ended = subprocess.run(
        [sys.executable, "-m", "retina_cli", *asked],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment(chain),
    )
    assert ended.returncode == 0, ended.stderr
    expected, found = facts(chain.run), facts(run)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert (run / "report.html").read_text().rstrip().endswith("</html>")


def says_only_what_is_there(run: Path) -> bool:
    steps = json.loads((run / "run.json").read_text())["steps"]
    last = {"labels": "config.json", "translator": "config.json", "synthetic": "metadata.jsonl"}
    return all(
        (run / name / last.get(name, "scores.json")).is_file()
        for name, entry in steps.items()
        if entry["status"] == "done"
    )


@pytest.fixture
def copy(chain: Any, tmp_path: Path) -> Any:
    """The finished chain once more, to be damaged."""
    shutil.copytree(chain.run, tmp_path / "run")
    return replace(chain, run=tmp_path / "run", request=replace(chain.request, out=tmp_path / "run"))


class Reader:
    """Reads run.json whenever something is said."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.statuses: list[dict[str, str]] = []

    def say(self, line: str) -> None:
        steps = json.loads((self.run / "run.json").read_text())["steps"]
        self.statuses.append({name: entry["status"] for name, entry in steps.items()})
        assert says_only_what_is_there(self.run)

    def progress(self, progress: Any) -> None:
        pass


@pytest.mark.parametrize(
    "gone",
    [
        ["labels", "evaluation/unet/scores.json"],
        ["synthetic"],
        ["translator/model.safetensors"],
        ["evaluation/unet/synth-seed0", "evaluation/unet/scores.json", "evaluation/likeness"],
    ],
)
def test_what_was_deleted_is_made_again(gone: list[str], copy: Any, chain: Any) -> None:
    for name in gone:
        path = copy.run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    reader = Reader(copy.run)
    run_pipeline(copy.request, options=replace(CPU, listener=reader))
    assert facts(copy.run) == facts(chain.run)
    assert "missing" in reader.statuses[0].values() or "begun" in reader.statuses[0].values()


def test_a_finished_run_is_not_done_again(copy: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.run.rglob("*.safetensors")}
    reader = Reader(copy.run)
    run_pipeline(copy.request, options=replace(CPU, listener=reader))
    assert reader.statuses == []
    assert {path: path.stat().st_mtime_ns for path in copy.run.rglob("*.safetensors")} == before


def test_an_evaluation_of_other_pairs_is_not_taken_for_one_of_these(copy: Any) -> None:
    state = json.loads((copy.run / "run.json").read_text())
    state["steps"]["evaluation/unet"]["made_of"] = "0" * 64
    (copy.run / "run.json").write_text(json.dumps(state))
    (copy.run / "evaluation/unet/scores.json").write_text("{}")
    run_pipeline(copy.request, options=CPU)
    assert len(json.loads((copy.run / "evaluation/unet/scores.json").read_text())["scores"]) > 0


def test_a_killed_writers_half_pictures_are_no_samples(copy: Any, chain: Any) -> None:
    (copy.run / "synthetic/metadata.jsonl").rename(copy.run / "synthetic/.rows.jsonl")
    left = copy.run / "synthetic/images/.000012.png.4242.retina.tmp"
    left.write_bytes(b"half")
    run_pipeline(copy.request, options=CPU)
    assert not left.exists()
    assert facts(copy.run) == facts(chain.run)
