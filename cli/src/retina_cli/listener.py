"""How far the work is: one line drawn anew on a terminal, a line now and then elsewhere; all on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from retina_core.training.options import Progress

PLAIN_SECONDS = 10.0
"""Between two plain lines of one task: enough to see life in a log file, and not to fill it."""


class ConsoleListener:
    """The core's listener that prints; a context manager, so that a bar never outlives its work."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line worth reading."""
        if self._bars:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=True)

    def progress(self, progress: Progress) -> None:
        """Draw how far a task is, with rate and time left."""
        if self._bars:
            self._draw(self._bars, progress)
            return
        now, finished = time.monotonic(), progress.done >= progress.total
        if finished or now - self._last.get(progress.task, -PLAIN_SECONDS) >= PLAIN_SECONDS:
            self._last[progress.task] = now
            click.echo(plain_line(progress), err=True)

    def _draw(self, bars: Bars, progress: Progress) -> None:
        if progress.task not in self._tasks:
            self._tasks[progress.task] = bars.add_task(progress.task, total=progress.total, told="")
        if progress.done >= progress.total:  # what it made is said in a line that stays
            bars.remove_task(self._tasks.pop(progress.task))
        else:
            bars.update(self._tasks[progress.task], completed=progress.done, told=told(progress))


def told(progress: Progress) -> str:
    """Rate, time left and losses: ``52 images/s, 1:03 left, d 0.61, g 1.2``."""
    parts = [f"{progress.rate:.3g} {progress.unit}/s", f"{clock(progress.seconds_left)} left"]
    return ", ".join(parts + [f"{name} {value:.3g}" for name, value in progress.scalars.items()])


def plain_line(progress: Progress) -> str:
    """One line of a log: ``dcgan: 400 of 2000 images, 52 images/s, 0:31 left, d 0.61``."""
    return f"{progress.task}: {progress.done} of {progress.total} {progress.unit}, {told(progress)}"


def clock(seconds: float) -> str:
    """``1:03`` or ``2:05:09``; ``?`` where nobody knows."""
    if not 0 <= seconds < float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn())
    return Bars(*columns, TextColumn("{task.fields[told]}"), console=Console(stderr=True))


class Pace:
    """Turns a count into progress, with rate and time left."""

    def __init__(self, task: str, total: int, unit: str, listener: ConsoleListener) -> None:
        self.task, self.total, self.unit, self.listener = task, total, unit, listener
        self.began = time.monotonic()

    def reached(self, done: int, total: int | None = None) -> None:
        """Tell the listener that so many are done, of a total that may be known only now."""
        from retina_core.training.options import Progress

        self.total = self.total if total is None else total
        rate = done / max(time.monotonic() - self.began, 1e-9)
        left = (self.total - done) / rate
        self.listener.progress(Progress(self.task, done, self.total, self.unit, rate, left, {}))
