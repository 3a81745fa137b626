"""Timing in turns, on a machine that others use too."""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

STAT = Path("/proc/stat")
FOREIGN_CORES = 0.1
"""A turn in which others took more of a core than this is dropped: a second busy program slows torch manifold."""
TURN_SECONDS = 0.6
"""A turn repeats a step until it lasts as long; the kernel counts processor time in hundredths of a second."""
TRIES = 4
"""Turns tried for each that is wanted."""
WARM_UPS = 3


@dataclass(frozen=True)
class Timing:
    """One contestant's quiet turns."""

    ms: float
    """Median milliseconds of one step."""
    reps: int
    """Turns that it is the median of."""
    dropped: int
    """Turns that others disturbed."""


class Disturbed(RuntimeError):  # noqa: N818
    """Other programs were busy in every turn."""


def in_turns(
    contestants: Mapping[str, Callable[[], object]], reps: int, cycle: int = 1, seconds: float = math.inf
) -> dict[str, Timing]:
    """Each contestant in turn, over and over, so that a slow minute slows all of them alike.

    Args:
        contestants: name -> step.
        reps: quiet turns wanted of each.
        cycle: a turn has a multiple of so many steps, because not all steps of some stages cost the same.
        seconds: a round that would end later is not begun, as soon as each contestant has had a quiet turn; without
            any, three times as long is waited for one.

    Raises:
        Disturbed: the machine was never quiet.
    """
    began = time.perf_counter()
    steps = {name: _steps_of_a_turn(step, cycle) for name, step in contestants.items()}
    kept: dict[str, list[float]] = {name: [] for name in contestants}
    dropped = dict.fromkeys(contestants, 0)
    for _ in range(reps * TRIES):
        round_began = time.perf_counter()
        for name, step in contestants.items():
            ms, foreign = _turn(step, steps[name])
            if foreign > FOREIGN_CORES:
                dropped[name] += 1
            else:
                kept[name].append(ms)
        fewest, now = min(len(times) for times in kept.values()), time.perf_counter()
        allowed = seconds if fewest else 3 * seconds
        if fewest >= reps or now + (now - round_began) > began + allowed:
            break
    if not all(kept.values()):
        raise Disturbed("other programs were busy in every turn; wait until the machine is quiet")
    return {name: Timing(median(times), len(times), dropped[name]) for name, times in kept.items()}


def _steps_of_a_turn(step: Callable[[], object], cycle: int) -> int:
    """So many that a turn is long enough; also the warm-up, since first calls allocate and choose algorithms."""
    for _ in range(WARM_UPS):
        began = time.perf_counter()
        step()
        took = time.perf_counter() - began
        if took > 4 * TURN_SECONDS:  # the next would tell nothing new, and last as long
            break
    return cycle * max(1, round(TURN_SECONDS / took / cycle))


def _turn(step: Callable[[], object], steps: int) -> tuple[float, float]:
    """Milliseconds of one step, and how many cores other programs took meanwhile."""
    busy, own, began = busy_seconds(), own_seconds(), time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - began
    foreign = (busy_seconds() - busy) - (own_seconds() - own)
    return 1000 * seconds / steps, foreign / seconds


def busy_seconds() -> float:
    """Processor time that the whole machine has spent, stolen time included; 0 where no kernel says."""
    if not STAT.exists():
        return 0.0
    ticks = [int(word) for word in STAT.read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle, waiting for a disk
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor time that this process has spent."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime
