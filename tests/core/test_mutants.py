"""A few hundred of the campaign's mutants (``benchmarks/mutation_campaign.py``): each works, or is refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MUTANTS = 400


@pytest.fixture
def mutators(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return __import__("mutators")


def test_no_mutant_is_a_defect(tmp_path: Path) -> None:
    """In a process of its own, whose memory the campaign limits, and whose audit hook nobody could take off again."""
    program = [sys.executable, str(BENCHMARKS / "mutation_campaign.py")]
    done = subprocess.run(
        [*program, "--mutants", str(MUTANTS), "--seed", "1", "--out", str(tmp_path / "found.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (tmp_path / "found.json").exists(), done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["defects"] == []
    assert done.returncode == 0
    assert found["works"] + found["refused"] == MUTANTS
    assert found["works"] > MUTANTS / 20  # else the campaign would only try what is refused at the door
    assert found["refused"] > MUTANTS / 4


CAUGHT = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mutation_campaign import Watch, guarded, judge

folder = Path(sys.argv[2])
def run(_): os.system("true")
def imports(_):
    try: import retina_planted
    except ImportError: pass
def writes(_): (folder.parent / "elsewhere").write_text("x")
def hangs(_):
    while True: pass
def eats(_): bytearray(10**11)
def raises(_): {}["x"]
def warns(_):
    import warnings
    warnings.warn("x")
def works(_): (folder / "inside").write_text("x")

import mutation_campaign
mutation_campaign.SECONDS = 0.2
watch = Watch(folder)
with guarded(watch):
    for load in (run, imports, writes, hangs, eats, raises, warns, works):
        print(load.__name__, judge(load, folder, watch).kind)
"""


def test_the_campaign_sees_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CAUGHT, str(BENCHMARKS), str(tmp_path / "work")],
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts = dict(line.split() for line in done.stdout.splitlines())
    assert verdicts.pop("works") == "works"
    assert set(verdicts.values()) == {"defect"}
    assert len(verdicts) == 7


@pytest.mark.parametrize(
    "name", ["a.json", "a.jsonl", "a.csv", "a.toml", "a.safetensors", "a.png", "a.jpg", "a.gif"]
)
def test_the_same_seed_makes_the_same_mutant(mutators: ModuleType, name: str) -> None:
    header = b'{"t": {"shape": [1], "dtype": 1}}'
    content = {
        "safetensors": len(header).to_bytes(8, "little") + header,
        "png": b"\x89PNG" + bytes(60),
        "jpg": b"\xff\xd8\xff\xc0" + bytes(60),
    }.get(name[2:], b'{"a": [1, 2], "b": "x"}\n')
    for mutator in dict.fromkeys(mutators.mutators_of(name)):
        first, again = (mutator(random.Random(7), content) for _ in range(2))
        assert first == again
    changed = {mutators.BYTES[0](random.Random(seed), content) for seed in range(20)}
    assert len(changed - {content}) > 10
