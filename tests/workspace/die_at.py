"""Runs ``retina`` in processes that die (SIGKILL, from within), each at one exact moment.

Each line of standard input is a request ``{"moment": MOMENT, "count": N, "words": [ARGUMENT, ...]}``, answered by the
exit status. The N-th time that MOMENT comes is the last thing that the process does; it is one of these:

    call:module:Class.name    before the function is called
    half:GLOB                 when a file or folder of such a path is half written, beside its place
    before:GLOB               when it is written and not yet renamed into its place
    after:GLOB                when it was renamed into its place
"""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Countdown:
    """Kills this process when it is called the N-th time."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, last_act: Callable[[], None] = lambda: None) -> None:
        self.left -= 1
        if self.left == 0:
            last_act()
            os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(target: str, countdown: Countdown) -> None:
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    function = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        countdown()
        return function(*args, **kwargs)

    setattr(owner, name, counted)


def die_at_rename(moment: str, pattern: str, countdown: Countdown) -> None:
    replace = os.replace

    def counted(source: Path, target: Path) -> None:
        hit = fnmatch.fnmatch(str(target), pattern)
        if hit and moment == "before":
            countdown()
        if hit and moment == "half":
            countdown(lambda: os.truncate(source, os.stat(source).st_size // 2))
        replace(source, target)
        if hit and moment == "after":
            countdown()

    os.replace = counted  # type: ignore[assignment]


def carry_out(moment: str, count: int, words: list[str]) -> None:
    kind, _, where = moment.partition(":")
    if kind == "call":
        die_at_call(where, Countdown(count))
    else:
        die_at_rename(kind, where, Countdown(count))
    from retina_cli.main import main

    main(words, prog_name="retina")


def serve() -> None:
    """A new process for each request, forked from this one, which has imported everything and computed nothing."""
    for module in ("retina_cli.main", "retina_cli.report", "retina_core.pipeline", "retina_core.generation"):
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            carry_out(**json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
