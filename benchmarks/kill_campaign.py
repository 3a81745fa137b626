"""Kills a small pipeline at random moments until it was killed often enough, and compares what it leaves with a run
that was never killed, bit for bit.

    python benchmarks/kill_campaign.py --kills 100 --out FOLDER

Every process gets SIGKILL at a moment drawn evenly from the time that the whole run takes when nobody harms it,
start-up included; the same command is then given again, until it ends by itself before its moment comes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_suffix(".json")
NETWORK = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8}
SETTINGS = {
    "data": {"phantom_count": 10, "phantom_px": 64},
    "labels": {**NETWORK, "seen_images": 480, "batch_size": 8},
    "translator": {**NETWORK, "seen_images": 96, "batch_size": 4},
    "unet": {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2, "seen_images": 160, "batch_size": 4},
}
PAIRS = 32
_PARTIAL = re.compile(r"\..+\.retina\.tmp|.+\.partial")


def main() -> None:
    """Run the campaign and write its results; exit status 1 where anything was lost."""
    asked = _arguments()
    campaign = Campaign(asked.out.resolve(), asked.threads, random.Random(asked.seed))
    campaign.reference()
    while campaign.kills < asked.kills:
        campaign.harmed_run(asked.kills)
        print(f"{campaign.kills} kills, {campaign.completed} runs completed", file=sys.stderr, flush=True)
    results = {"seed": asked.seed, **campaign.results()}
    asked.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
    sys.exit(1 if results["mismatches"] or results["unreadable_files"] or results["refused"] else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how often to kill (default 100)")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder for the runs")
    parser.add_argument("--seed", type=int, default=0, help="what the moments are drawn from")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default 1)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file to write")
    return parser.parse_args()


@dataclass
class Campaign:
    """The runs so far, and what was found in them."""

    folder: Path
    threads: int
    random: random.Random
    kills: int = 0
    completed: int = 0
    seconds: float = 0.0
    """What the run takes that nobody harms."""
    expected: dict[str, str] = field(default_factory=dict)
    by_step: Counter[str] = field(default_factory=Counter)
    partial: Counter[str] = field(default_factory=Counter)
    """Kills that left a half-written file or folder, by what it was."""
    torn_rows: int = 0
    mismatches: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def reference(self) -> None:
        """The run that nobody harms."""
        run, begun = self.folder / "reference", time.monotonic()
        _, error = self._process(run, None)
        self.seconds = time.monotonic() - begun
        if error:
            sys.exit(f"the reference run failed: {error}")
        self.expected = digests(run)

    def harmed_run(self, most: int) -> None:
        """One run from its beginning to its end, killed on the way as often as its moments fall within it."""
        run = self.folder / "harmed"
        for left in (run, _cache_of(run)):
            shutil.rmtree(left, ignore_errors=True)
        while True:
            moment = self.random.uniform(0, self.seconds) if self.kills < most else None
            killed_in, error = self._process(run, moment)
            if error:
                self.refused.append(error)
                return
            if not killed_in:
                break
            self.kills += 1
            self.by_step[killed_in] += 1
            self._look(run)
        self.completed += 1
        found = digests(run)
        self.mismatches += sorted(
            name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)
        )

    def _process(self, run: Path, moment: float | None) -> tuple[str, str]:
        """Give the command once: the step that it was killed in, empty if it ended, and its error, if any."""
        environment = {
            **os.environ,
            "RETINA_CACHE": str(_cache_of(run)),
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads)),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "retina_cli", *words(run)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            _, said = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
            if process.returncode < 0:
                return step_of(said), ""
        return "", said if process.returncode else ""

    def _look(self, run: Path) -> None:
        """What a kill left behind: half-written files beside their places, and none in its place."""
        for path in run.rglob("*") if run.exists() else ():
            name = path.relative_to(run).as_posix()
            if _PARTIAL.fullmatch(path.name):
                self.partial["checkpoint" if "checkpoints/" in name else name.split("/")[0].lstrip(".")] += 1
            elif path.is_file() and not any(_PARTIAL.fullmatch(part) for part in path.relative_to(run).parts):
                try:
                    self.torn_rows += read(path)
                except (ValueError, OSError) as error:
                    self.unreadable.append(f"{name}: {error}")

    def results(self) -> dict[str, Any]:
        """What is written down."""
        import torch

        return {
            "kills": self.kills,
            "kills_by_step": dict(self.by_step.most_common()),
            "runs_completed": self.completed,
            "mismatches": self.mismatches,
            "unreadable_files": self.unreadable,
            "refused": self.refused,
            "left_half_written_beside_their_place": dict(self.partial.most_common()),
            "torn_last_rows_of_logs": self.torn_rows,
            "files_compared": len(self.expected),
            "reference_seconds": round(self.seconds, 1),
            "threads": self.threads,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }


def _cache_of(run: Path) -> Path:
    return run.with_name(run.name + "-cache")


def words(run: Path) -> list[str]:
    """The command's arguments."""
    stages = ["--labels", "dcgan", "--translator", "pix2pix", "--evaluator", "unet", "--preset", "quick"]
    settings = [f"--set={p}.{k}={v}" for p, values in SETTINGS.items() for k, v in values.items()]
    return ["pipeline", *stages, "--count", str(PAIRS), "--device", "cpu", "--out", str(run), *settings]


def step_of(said: str) -> str:
    """The step that a process was in, from what it said."""
    begun = re.findall(r"^step [^,]*, (\S+): begins \(", said, flags=re.MULTILINE)
    done = re.findall(r"^step [^,]*, (\S+): done in ", said, flags=re.MULTILINE)
    if not begun:
        return "start-up"
    if begun[-1] not in done:
        tested = begun[-1] == "evaluation/unet" and re.findall(r"(testing|training) on", said)[-1:] == [
            "testing"
        ]
        return f"{begun[-1]} (testing)" if tested else begun[-1]
    return "report" if begun[-1] == "evaluation/likeness" else "between steps"


def digests(run: Path) -> dict[str, str]:
    """Name -> SHA-256 of what each file holds; left out is what tells of time, and the report, made of the rest."""
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock"):
        name = path.relative_to(run).as_posix()
        content = path.read_bytes()
        if path.name == "log.jsonl":
            content = json.dumps([_timeless(row) for row in _rows(content)]).encode()
        elif name == "run.json":
            content = json.dumps(_timeless(json.loads(content))).encode()
        elif path.name == "state.safetensors":
            content = b"".join(_parts(content))
        elif name == "report.html":
            content = content.rstrip()[-7:]
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in {"wall_seconds", "images_per_second"}}
    return value


def _rows(content: bytes) -> Iterator[Any]:
    return (json.loads(line) for line in content.splitlines())


def _parts(content: bytes) -> Sequence[bytes]:
    """Header, its keys in order (the library writes metadata in any), and data of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 + length:
        raise ValueError("is shorter than its header")
    header = json.loads(content[8 : 8 + length])
    end = max(
        (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0
    )
    if len(content) != 8 + length + end:
        raise ValueError("has another length than its header says")
    return json.dumps(header, sort_keys=True).encode(), content[8 + length :]


def read(path: Path) -> int:
    """Raise ``ValueError`` or ``OSError`` for a file that cannot be read; the number of torn rows, 0 or 1."""
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".safetensors":
        _parts(path.read_bytes())
    elif path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            picture.load()
    elif path.suffix == ".jsonl":
        *whole, last = path.read_bytes().split(b"\n")
        for line in whole:
            json.loads(line)
        return int(last != b"")
    return 0


if __name__ == "__main__":
    main()
