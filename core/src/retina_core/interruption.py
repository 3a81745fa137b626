"""Stopping when asked: the first Ctrl-C or SIGTERM ends the work at its next clean place, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What a keyboard sends, and what a scheduler sends before it kills."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, for whoever tells it from Ctrl-C (exit status 143 instead of 130); others see a KeyboardInterrupt."""


class StopRequest:
    """Whether the work at hand was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def made(self) -> bool:
        """Whether there was a signal."""
        return self.signal is not None

    def receive(self, number: int, _: FrameType | None = None) -> None:
        """Note the first signal; raise at once on the second."""
        if self.signal is not None:
            raise _interrupt(number)
        self.signal = number

    def obey(self) -> None:
        """Called at a clean place: raises where a signal came.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            Terminated: SIGTERM was sent.
        """
        if self.signal is not None:
            raise _interrupt(self.signal)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Inside, a first signal is noted for ``obey``; the handlers of before are back afterwards.

    Python delivers signals to the main thread only: elsewhere, and for a signal that the caller ignores (``nohup``),
    nothing changes.
    """
    request, previous = StopRequest(), {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler not in {None, signal.SIG_IGN}:
                previous[number] = signal.signal(number, request.receive)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    request.obey()


@contextmanager
def termination_raises() -> Iterator[None]:
    """Inside, SIGTERM raises ``Terminated`` as Ctrl-C raises KeyboardInterrupt, so that half-made files are removed."""

    def receive(number: int, _: FrameType | None) -> None:
        raise _interrupt(number)

    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
