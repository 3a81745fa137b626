"""``make bench``: how fast our steps are beside the usual code and public networks, measured in turns.

    python benchmarks/bench.py --out benchmarks/results.json [--only WORD,WORD] [--reps 5] [--seconds 60]

The machine should have nothing else to do; turns in which it had are dropped, and counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import contests
import torch
from contest import CPU, Contest, Measured, NotHere
from differences import SHORTER, fast_mode_difference
from turns import Disturbed, Timing, in_turns

from retina_core.devices import resolve_precision

SCHEMA = 2


def row(contest: Contest, times: Mapping[str, Timing], found: Mapping[str, Any]) -> dict[str, Any]:
    """One row of ``results.json``; every ratio says how many times ours is faster."""
    ours, plain = times["ours"], times["plain"]
    peer, fp32 = times.get("peer"), ours if contest.precision == "fp32" else times.get("ours_fp32")
    peak = found.get(f"peak_gigaflops_{contest.precision}")
    measured = {
        "name": contest.name,
        "machine": found["processor"],
        "precision": contest.precision,
        "ours_ms": round(ours.ms, 2),
        "plain_ms": round(plain.ms, 2),
        "ratio": round(plain.ms / ours.ms, 2),
        "ratio_fp32": round(plain.ms / fp32.ms, 2) if fp32 else None,
        "peer": contest.peer,
        "peer_ms": round(peer.ms, 2) if peer else None,
        "peer_ratio": round(peer.ms / ours.ms, 2) if peer else None,
        "peak_share": round(contest.gigaflop / ours.ms * 1000 / peak, 2) if peak else None,
        "reps": min(timing.reps for timing in times.values()),
        "dropped": sum(timing.dropped for timing in times.values()),
        "goal": contest.goal and round(contest.goal, 2),
        "goal_ms": contest.goal_ms,
        "peer_goal": contest.peer_goal,
        "plain": contest.plain,
    }
    return {**measured, "reached": reached(measured)}


def reached(measured: Mapping[str, Any]) -> bool | None:
    """Whether a row reaches all of its goals; None where it has none."""
    found = [measured[name] >= goal for name, goal in _goals(measured) if name != "ours_ms"]
    found += [measured[name] <= goal for name, goal in _goals(measured) if name == "ours_ms"]
    return all(found) if found else None


def _goals(measured: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Figure -> goal."""
    found = [("ratio", "goal"), ("peer_ratio", "peer_goal"), ("ours_ms", "goal_ms")]
    return [(figure, measured[goal]) for figure, goal in found if measured[goal] is not None]


def machine(precision: Measured) -> dict[str, Any]:
    """What the figures are measured on."""
    has = torch.cpu.get_capabilities()
    peaks = {"fp32": contests.peak_gigaflops(torch.float32)}
    if precision == "bf16":
        peaks["bf16"] = contests.peak_gigaflops(torch.bfloat16)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "avx512_bf16": bool(has.get("avx512_bf16")),
        "amx_bf16": bool(has.get("amx_bf16")),
        "torch": torch.__version__,
        "python": platform.python_version(),
        **{f"peak_gigaflops_{name}": round(peak) for name, peak in peaks.items()},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def line(measured: Mapping[str, Any]) -> str:
    """A row for a person."""
    goals = dict(_goals(measured))

    def ratio(figure: str) -> str:
        times = f"{measured[figure]}x"
        if figure not in goals:
            return times
        return f"{times} ({_verdict(measured[figure] >= goals[figure])} the goal of {goals[figure]})"

    words = [f"{measured['ours_ms']} ms", f"plain {measured['plain_ms']} ms", ratio("ratio")]
    if "ours_ms" in goals:
        verdict = _verdict(measured["ours_ms"] <= goals["ours_ms"])
        words.append(f"{verdict} the goal of {goals['ours_ms']:g} ms")
    if measured["precision"] == "bf16" and measured["ratio_fp32"]:
        words.append(f"without bf16 {measured['ratio_fp32']}x")
    if measured["peer_ratio"]:
        words.append(f"peer {ratio('peer_ratio')}")
    if measured["peak_share"]:
        words.append(f"{measured['peak_share']} of peak")
    return f"{measured['name']}: {', '.join(words)}; {measured['reps']} turns, {measured['dropped']} dropped"


def _verdict(good: bool) -> str:
    return "reaches" if good else "misses"


def summary(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many goals were reached, and which were not."""
    judged = [measured for measured in rows if measured["reached"] is not None]
    missed = [measured for measured in judged if not measured["reached"]]
    told = [f"{len(judged) - len(missed)} of {len(judged)} rows with goals reach them"]
    for measured in missed:
        figures = [f"{measured[name]:g} of {goal:g}" for name, goal in _goals(measured)]
        how = ", in fp32, where the goal supposes bf16" if measured["precision"] == "fp32" else ""
        told.append(f"  missed: {measured['name']}: {', '.join(figures)}{how}")
    return "\n".join(told)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    parser.add_argument(
        "--only", default="", help="contests whose short names hold one of these; other rows stay"
    )
    parser.add_argument("--reps", type=int, default=5, help="quiet turns of each contestant")
    parser.add_argument(
        "--seconds", type=float, default=60, help="about how long a row may take, once it has a turn"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="what ours multiplies in; auto: bf16 where the processor has it",
    )
    chosen = parser.parse_args()
    torch.manual_seed(0)
    measure(chosen, resolve_precision(chosen.precision, CPU))


def measure(chosen: argparse.Namespace, precision: Measured) -> None:
    """Every contest that is chosen, and how far the fast mode's pictures are from float32's."""
    found = machine(precision)
    print(json.dumps(found, indent=1), file=sys.stderr)
    result: dict[str, Any] = {"machines": {}, "rows": [], "fast_mode_difference": {}}
    if chosen.only and chosen.out.exists():
        result |= json.loads(chosen.out.read_text())
    result |= {"schema": SCHEMA, "machines": {**result["machines"], found["processor"]: found}}
    rows, fresh = {known["name"]: known for known in result["rows"]}, []
    for name, build in contests.contests(precision):
        if not asked_for(name, chosen.only):
            continue
        try:
            contest = build()
            times = in_turns(contest.contestants, chosen.reps, contest.cycle, chosen.seconds)
        except (NotHere, Disturbed) as reason:
            print(f"{name}: not measured: {reason}", flush=True)
            continue
        fresh.append(row(contest, times, found))
        rows[contest.name] = fresh[-1]
        print(line(fresh[-1]), flush=True)
        write(chosen.out, {**result, "rows": list(rows.values())})
    print(summary(fresh), flush=True)
    result["rows"] = list(rows.values())
    for name in SHORTER:
        if asked_for(f"difference, {name}", chosen.only):
            difference = {**fast_mode_difference(name), "machine": found["processor"]}
            print(f"{name}, fast mode against fp32 on trained weights: {difference}", flush=True)
            result["fast_mode_difference"][name] = difference
            write(chosen.out, result)


def asked_for(name: str, only: str) -> bool:
    """Whether ``--only`` chooses a contest."""
    return any(word.strip() in name for word in only.split(","))


def write(path: Path, result: Mapping[str, Any]) -> None:
    """After each row, so that a bench that is stopped leaves what it has."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
