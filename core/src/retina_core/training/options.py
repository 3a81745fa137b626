"""What a training is told besides the stage's own config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from retina_core.config import Precision


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is."""

    task: str
    done: int
    total: int
    unit: str
    rate: float
    """Units a second, over the recent past."""
    seconds_left: float
    scalars: Mapping[str, float]


class Listener(Protocol):
    """Told what is happening; the command prints it, a notebook may plot it."""

    def progress(self, progress: Progress) -> None:
        """Some work went on."""

    def say(self, line: str) -> None:
        """One line worth reading: what begins, what was made where, what was decided."""


class Silence:
    """The listener of a library call: says nothing."""

    def progress(self, progress: Progress) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class FitOptions:
    """Seed, device, precision, trackers and who is told."""

    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    track: tuple[str, ...] = ()
    """Trackers by accelerate's names, e.g. ``("tensorboard",)``."""
    listener: Listener = field(default_factory=Silence)
