"""Who watches a training: trackers behind one option, and observers that are plugins."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from retina_core import FitOptions, fit
from retina_core.api import hookimpl
from retina_core.errors import InvalidValueError
from retina_core.registry import Registry
from retina_core.testing import tiny_eyes

TINY = {
    "resolution": 32,
    "width": 8,
    "max_width": 16,
    "discriminator_width": 8,
    "seen_images": 16,
    "batch_size": 4,
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def train(out: Path, registry: Registry | None = None, **options: Any) -> None:
    fit(
        "label-generator:dcgan",
        tiny_eyes(),
        out,
        preset="quick",
        settings=TINY,
        options=FitOptions(device="cpu", **options),
        registry=registry,
    )


def test_tensorboard_gets_every_scalar(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path / "stage", track=("tensorboard",))
    (events,) = (tmp_path / "stage" / "trackers").rglob("events.out.tfevents.*.0")
    found = EventAccumulator(str(events))
    found.Reload()
    assert {"d", "g", "images_per_second"} <= set(found.Tags()["scalars"])
    assert [event.step for event in found.Scalars("d")] == [4, 8, 12, 16]


def test_an_unknown_tracker_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="tensorboard"):
        train(tmp_path / "stage", track=("tensorbored",))
    assert not (tmp_path / "stage").exists()


class Watcher:
    """A plugin that listens."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.fitted: list[tuple[str, str]] = []

    @hookimpl
    def retina_step_logged(self, seen_images: int) -> None:
        self.steps.append(seen_images)

    @hookimpl
    def retina_stage_fitted(self, stage: str, role: str, folder: Path) -> None:
        assert (folder / "config.json").is_file()
        self.fitted.append((stage, role))


def test_an_observer_is_a_plugin(tmp_path: Path) -> None:
    import retina_dcgan.plugin

    watcher = Watcher()
    train(tmp_path / "stage", Registry.of(dcgan=retina_dcgan.plugin, watcher=watcher))  # type: ignore[arg-type]
    assert watcher.steps == [4, 8, 12, 16]
    assert watcher.fitted == [("dcgan", "label-generator")]


def test_an_observer_that_fails_stops_no_training(tmp_path: Path) -> None:
    import retina_dcgan.plugin

    broken = types.ModuleType("broken")

    @hookimpl
    def retina_stage_fitted(stage: str) -> None:
        raise RuntimeError("the observer is broken")

    broken.retina_stage_fitted = retina_stage_fitted  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match="the observer is broken"):
        train(tmp_path / "stage", Registry.of(dcgan=retina_dcgan.plugin, broken=broken))
    assert (tmp_path / "stage" / "config.json").is_file()
