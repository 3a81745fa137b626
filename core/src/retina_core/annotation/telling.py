"""Counts as progress: how many photographs of how many, how fast, and for how long still."""

from __future__ import annotations

import time
from collections.abc import Callable

from retina_core.training.options import Listener, Progress


def counted(task: str, listener: Listener, before: int = 0) -> Callable[[int, int], None]:
    """What is called with how many of how many are done; ``before`` of them were done by an earlier call."""
    begun = time.monotonic()

    def reached(done: int, total: int) -> None:
        rate = (done - before) / max(time.monotonic() - begun, 1e-9)
        left = (total - done) / max(rate, 1e-9)
        listener.progress(Progress(task, done, total, "photographs", rate, left, {}))

    return reached
