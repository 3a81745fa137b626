"""``make bench``: how fast our steps are beside the usual code and public networks, measured in turns.

    python benchmarks/bench.py --out benchmarks/results.json [--only WORD] [--reps 5]

The machine should have nothing else to do; turns in which it had are dropped, and counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import contests
import torch
from turns import Timing, in_turns

SCHEMA = 1
DIFFERENCE = "fast mode against fp32 on trained weights"


def row(contest: contests.Contest, times: dict[str, Timing], peak: float) -> dict[str, Any]:
    """One row of ``results.json``; every ratio says how many times ours is faster."""
    ours, plain = times["ours"], times["plain"]
    peer, fp32 = times.get("peer"), times.get("ours_fp32")
    return {
        "name": contest.name,
        "ours_ms": round(ours.ms, 2),
        "plain_ms": round(plain.ms, 2),
        "ratio": round(plain.ms / ours.ms, 2),
        "ratio_fp32": round(plain.ms / fp32.ms, 2) if fp32 else None,
        "peer": contest.peer,
        "peer_ms": round(peer.ms, 2) if peer else None,
        "peer_ratio": round(peer.ms / ours.ms, 2) if peer else None,
        "peak_share": round(contest.gigaflop / ours.ms * 1000 / peak, 2) if contest.gigaflop else None,
        "reps": min(timing.reps for timing in times.values()),
        "dropped": sum(timing.dropped for timing in times.values()),
        "goal": contest.goal and round(contest.goal, 2),
        "peer_goal": contest.peer_goal,
        "plain": contest.plain,
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    has = torch.cpu.get_capabilities()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "avx512_bf16": bool(has.get("avx512_bf16")),
        "amx_bf16": bool(has.get("amx_bf16")),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "peak_gigaflops_fp32": round(contests.peak_gigaflops(torch.float32)),
        "peak_gigaflops_bf16": round(contests.peak_gigaflops(torch.bfloat16)),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def line(measured: dict[str, Any]) -> str:
    """A row for a person."""
    goal = f" (goal {measured['goal']})" if measured["goal"] else ""
    peer = f", peer {measured['peer_ratio']}x" if measured["peer_ratio"] else ""
    share = f", {measured['peak_share']} of peak" if measured["peak_share"] else ""
    return (
        f"{measured['name']}: {measured['ours_ms']} ms, plain {measured['plain_ms']} ms, "
        f"{measured['ratio']}x{goal}{peer}{share}; {measured['reps']} turns, {measured['dropped']} dropped"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    parser.add_argument("--only", default="", help="contests whose short name holds this; other rows stay")
    parser.add_argument("--reps", type=int, default=5, help="quiet turns of each contestant")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    found = machine()
    print(json.dumps(found, indent=1), file=sys.stderr)
    before = json.loads(chosen.out.read_text()) if chosen.only and chosen.out.exists() else {}
    rows = {known["name"]: known for known in before.get("rows", [])}
    for name, build in contests.contests():
        if chosen.only in name:
            contest = build()
            times = in_turns(contest.contestants, chosen.reps, contest.cycle)
            rows[contest.name] = row(contest, times, found["peak_gigaflops_bf16"])
            print(line(rows[contest.name]), flush=True)
            write(chosen.out, {**before, "schema": SCHEMA, "machine": found, "rows": list(rows.values())})
    if chosen.only in DIFFERENCE:
        difference = contests.fast_mode_difference()
        print(f"{DIFFERENCE}: {difference}")
        write(chosen.out, {**json.loads(chosen.out.read_text()), "fast_mode_difference": difference})


def write(path: Path, result: dict[str, Any]) -> None:
    """After each row, so that a bench that is stopped leaves what it has."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
