"""Ctrl-C once ends a training at its next step with a checkpoint, twice at once; real signals to this very process."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from retina_core.data.prepare import prepare
from retina_core.interruption import Terminated, stop_requests, termination_raises
from retina_core.registry import Registry
from retina_core.testing import tiny_eyes
from retina_core.training.feed import Course
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.priors import priors_of

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


class Sender:
    """A listener that sends this process signals, once so many images were seen."""

    def __init__(self, seen_images: int, *signals: int) -> None:
        self.seen_images, self.signals = seen_images, signals
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, progress: Any) -> None:
        if progress.done == self.seen_images:
            for number in self.signals:
                os.kill(os.getpid(), number)


def loop(folder: Path, listener: Any = None, **settings: Any) -> Loop:
    eyes = tiny_eyes(5, image_px=24)
    config = toy.ToyConfig.resolve("toy", "quick", {"checkpoint_every": 20, **settings})
    torch.manual_seed(0)
    stage = toy.ToyLabels(config, eyes.channels)
    samples = prepare(eyes.samples, eyes.channels, config.resolution, folder / "cache")
    stage.priors = priors_of(samples, eyes.channels)
    options = FitOptions(device="cpu", precision="fp32", listener=listener or Sender(0))
    return Loop(
        stage, [Course(samples)], folder / "stage", options, registry=Registry.discover(), request="r"
    )


def weights(one: Loop) -> list[torch.Tensor]:
    live = [value for network in one.stage.networks().values() for value in network.state_dict().values()]
    return [*live, *one.learner.averages["generator"].weights.values()]


def checkpoint(folder: Path) -> str:
    latest = loop(folder).checkpoints.latest
    return latest.name if latest else ""


@pytest.fixture
def straight(tmp_path: Path) -> list[torch.Tensor]:
    """The weights of a training that nobody stopped."""
    one = loop(tmp_path / "straight")
    one.run()
    return weights(one)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_one_signal_finishes_the_step_and_writes_a_checkpoint(
    number: int, error: type[BaseException], tmp_path: Path, straight: list[torch.Tensor]
) -> None:
    sender = Sender(12, number)
    with pytest.raises(KeyboardInterrupt) as caught:
        loop(tmp_path, sender).run()
    assert caught.type is error
    assert checkpoint(tmp_path) == "0000000012"
    assert sender.lines == ["toy: stopped after 12 of 40 seen images; a checkpoint holds them"]
    resumed = loop(tmp_path)
    resumed.run()
    assert all(torch.equal(a, b) for a, b in zip(straight, weights(resumed), strict=True))


def test_a_second_signal_stops_at_once(tmp_path: Path, straight: list[torch.Tensor]) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path, Sender(32, signal.SIGINT, signal.SIGINT)).run()
    assert checkpoint(tmp_path) == "0000000020"  # none was written on the way out; the last one stands
    resumed = loop(tmp_path)
    resumed.run()
    assert all(torch.equal(a, b) for a, b in zip(straight, weights(resumed), strict=True))


def test_a_signal_in_the_last_step_loses_nothing(tmp_path: Path, straight: list[torch.Tensor]) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path, Sender(40, signal.SIGINT)).run()
    resumed = loop(tmp_path)
    resumed.run()
    assert resumed.seen == 40
    assert all(torch.equal(a, b) for a, b in zip(straight, weights(resumed), strict=True))


def test_stopping_where_a_checkpoint_was_just_written_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path, Sender(20, signal.SIGINT)).run()
    state = tmp_path / "stage" / "checkpoints" / "0000000020" / "state.safetensors"
    written = state.stat().st_mtime_ns, state.stat().st_ino
    stopped = loop(tmp_path)
    stopped._resume()
    stopped.checkpoints.save(stopped.learner, stopped.seen)
    assert (state.stat().st_mtime_ns, state.stat().st_ino) == written


def test_trainings_in_other_threads_leave_signals_alone(tmp_path: Path) -> None:
    found: list[Any] = []

    class Looker(Sender):
        def progress(self, progress: Any) -> None:
            found.append(signal.getsignal(signal.SIGINT))

    one = loop(tmp_path, Looker(0))
    thread = threading.Thread(target=one.run)
    thread.start()
    thread.join()
    assert one.seen == 40
    assert set(found) == {signal.getsignal(signal.SIGINT)}


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        one = loop(tmp_path, Sender(12, signal.SIGINT))
        one.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert one.seen == 40


def test_an_error_inside_is_not_hidden_by_a_signal() -> None:
    def fail() -> None:
        with stop_requests():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        fail()


def test_outside_loops_a_termination_raises_at_once() -> None:
    came_here = []

    def wait() -> None:
        with termination_raises():
            os.kill(os.getpid(), signal.SIGTERM)
            came_here.append("and went on")

    with pytest.raises(Terminated):
        wait()
    assert came_here == []
