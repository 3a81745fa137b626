"""Pairs that a filter refuses are drawn again, each on its own, and the last draw is kept and says why."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from retina_core.api import FilterSpec, hookimpl
from retina_core.config import StageConfig, setting
from retina_core.errors import BrokenPluginError
from retina_core.painter import CHUNK, Painter
from retina_core.registry import Registry
from retina_core.roles import ImageTranslator, LabelGenerator
from retina_core.screening import ATTEMPTS, Screen
from retina_core.stages import Priors


class Config(StageConfig):
    resolution: int = setting(16, "side", unit="px", ge=1)


class Stripes(LabelGenerator):
    """A stripe in a row that each sample's generator chooses."""

    name, sharp = "stripes", True

    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        maps = torch.zeros(len(rngs), 1, 16, 16)
        for one, rng in zip(maps, rngs, strict=True):
            one[0, int(torch.randint(16, (), generator=rng))] = 1
        return maps


class Copyist(ImageTranslator):
    """Paints the map itself."""

    name = "copyist"

    def translate(
        self, labels: Tensor, fov: Tensor, *, rngs: Sequence[torch.Generator], style: Tensor | None = None
    ) -> Tensor:
        return labels.expand(-1, 3, -1, -1) * fov


def painter() -> Painter:
    stages: list[Any] = [kind(Config(), ("cell",)) for kind in (Stripes, Copyist)]
    for stage in stages:
        stage.priors = Priors(fovs=torch.full((1, 1, 16, 16), 255, dtype=torch.uint8))
    return Painter(*stages, seed=4)


def screen(accept: Callable[..., object]) -> Screen:
    return Screen({"mine": accept}, {"mine": "its-plugin"})  # type: ignore[dict-item]  # some answer wrongly


def upper(labels: Any, photo: Any) -> str | None:
    """Refuses stripes in the lower half."""
    row = int(np.argmax(labels["cell"].any(1)))
    assert np.array_equal(photo[..., 0] > 0, labels["cell"])
    return None if row < 8 else f"row {row}"


def test_what_is_refused_is_drawn_again_and_what_passes_is_not() -> None:
    first = list(painter().paint(range(CHUNK)))
    kept = painter().accepted(range(CHUNK), screen(upper))
    for before, pair in zip(first, kept, strict=True):
        passed = upper({"cell": before.labels[0]}, before.photo) is None
        assert passed == (pair.attempt == 0)
        assert upper({"cell": pair.labels[0]}, pair.photo) is None
        assert len(pair.refused) == pair.attempt
        assert np.array_equal(before.labels, pair.labels) == passed
    assert 0 < sum(pair.attempt > 0 for pair in kept) < CHUNK


def test_a_pair_is_the_same_whichever_others_are_drawn_beside_it() -> None:
    together = painter().accepted(range(CHUNK), screen(upper))
    for index in range(CHUNK):
        (alone,) = painter().accepted([index], screen(upper))
        assert np.array_equal(alone.photo, together[index].photo)
        assert (alone.attempt, alone.refused) == (together[index].attempt, together[index].refused)


def test_the_last_draw_is_kept_and_says_why() -> None:
    (pair,) = painter().accepted([0], screen(lambda labels, photo: "never\n good"))
    assert pair.attempt == ATTEMPTS - 1
    assert list(pair.refused) == ["mine: never good"] * ATTEMPTS


def test_without_filters_everything_passes() -> None:
    assert all(pair.attempt == 0 for pair in painter().accepted(range(3), Screen({}, {})))


def fails(labels: Any, photo: Any) -> None:
    raise KeyError("cell")


@pytest.mark.parametrize(
    ("accept", "said"),
    [
        (fails, "its filter mine failed: KeyError: 'cell'"),
        (lambda labels, photo: True, "its filter mine answered True, not a reason or None"),
        (lambda labels, photo: " ", "answered ' '"),
    ],
)
def test_a_filter_that_fails_is_named_with_its_plugin(accept: Any, said: str) -> None:
    with pytest.raises(BrokenPluginError, match="its-plugin") as caught:
        painter().accepted([0], screen(accept))
    assert said in str(caught.value)


def offering(target: str) -> SimpleNamespace:
    @hookimpl
    def retina_filters() -> list[FilterSpec]:
        return [FilterSpec("mine", target, "Made up by a test.")]

    return SimpleNamespace(retina_filters=retina_filters)


def test_the_filters_of_plugins_come_beside_the_core_s() -> None:
    found = Screen.installed(Registry.of(it=offering("operator:is_not")))
    assert list(found.filters) == ["anatomy", "mine"]
    assert found.plugins == {"anatomy": "core", "mine": "it"}


@pytest.mark.parametrize("target", ["nowhere.at_all:accept", "math:pi"])
def test_a_filter_that_is_not_there_is_refused_before_any_work(target: str) -> None:
    with pytest.raises(BrokenPluginError, match="'it'"):
        Screen.installed(Registry.of(it=offering(target)))
