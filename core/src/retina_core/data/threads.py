"""Pictures decoded by several threads, in order, few at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

WORKERS: Final = min(4, os.cpu_count() or 1)
"""Pictures decoded at once (Pillow releases the interpreter meanwhile); each may be ``MAX_PIXELS`` large."""


def in_order(work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """``work`` done on each, by threads; results in order, with at most twice ``WORKERS`` of them waiting."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="retina-data") as pool:
        try:
            for one in given:
                waiting.append(pool.submit(work, one))
                if len(waiting) >= 2 * WORKERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
