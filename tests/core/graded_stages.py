"""Tiny stages that learn nothing: a generator that takes grades, one that does not, a copyist, one that draws pairs, and a
finder of vessels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from retina_core.api import FilterSpec, StageSpec, hookimpl
from retina_core.config import PRESETS, StageConfig, setting
from retina_core.formats.stage_folder import save_stage
from retina_core.registry import Registry, Row
from retina_core.roles import ImageTranslator, LabelGenerator, PairGenerator, Segmenter
from retina_core.stages import Priors, Stage

CHANNELS = ("optic_disc", "haemorrhage")


class Config(StageConfig):
    resolution: int = setting(16, "side", unit="px", ge=1)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {} for name in PRESETS}


class Plain(LabelGenerator):
    """Draws a disc, or by chance two, and a haemorrhage in a row that each sample's generator chooses."""

    name, sharp = "plain", True

    def sample(self, rngs: Sequence[torch.Generator], *, grades: Tensor | None = None) -> Tensor:
        asked = [0] * len(rngs) if grades is None else grades.tolist()
        maps = torch.zeros(len(rngs), 2, 16, 16)
        for one, rng, grade in zip(maps, rngs, asked, strict=True):
            one[0, 2:5, 2:5] = 1
            if torch.rand((), generator=rng) < 0.4:
                one[0, 10:12, 2:5] = 1
            one[1, int(torch.randint(16, (), generator=rng)), : grade + 1] = 1
        return maps


class Graded(Plain):
    """The haemorrhage is one pixel longer than the grade."""

    name, takes_grades = "graded", True


class Copyist(ImageTranslator):
    """Paints what is marked."""

    name = "copyist"

    def translate(
        self, labels: Tensor, fov: Tensor, *, rngs: Sequence[torch.Generator], style: Tensor | None = None
    ) -> Tensor:
        return labels.amax(1, keepdim=True).expand(-1, 3, -1, -1) * fov


class Stamps(PairGenerator):
    """Draws a row of each channel where its generator puts it, white on a photograph that is red everywhere."""

    name, sharp = "stamps", True

    def sample_pairs(self, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        labels = torch.zeros(len(rngs), len(self.channels), 16, 16)
        for one, rng in zip(labels, rngs, strict=True):
            for plane in one:
                plane[int(torch.randint(16, (), generator=rng))] = 1
        photos = labels.amax(1, keepdim=True).repeat(1, 3, 1, 1)
        photos[:, 0] = 1
        return labels, photos


class Finder(Segmenter):
    """Takes the right half of a photograph for vessels, or what is bright: ``thresholds`` says of which."""

    name = "finder"

    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        found = torch.zeros(len(photos), 1, *photos.shape[-2:])
        found[..., photos.shape[-1] // 2 :] = 0.6
        return found * fov

    def features(self, photos: Tensor) -> list[Tensor]:
        return [photos]


def registry(*filters: FilterSpec) -> Registry:
    """These stages as a plugin, with filters of a test."""

    def spec(kind: type[Stage]) -> StageSpec:
        return StageSpec(
            kind.name, kind.role, f"graded_stages:{kind.__name__}", "graded_stages:Config", "Tiny."
        )

    class Hooks(SimpleNamespace):
        @staticmethod
        @hookimpl
        def retina_label_generators() -> list[StageSpec]:
            return [spec(Plain), spec(Graded)]

        @staticmethod
        @hookimpl
        def retina_image_translators() -> list[StageSpec]:
            return [spec(Copyist)]

        @staticmethod
        @hookimpl
        def retina_pair_generators() -> list[StageSpec]:
            return [spec(Stamps)]

        @staticmethod
        @hookimpl
        def retina_segmenters() -> list[StageSpec]:
            return [spec(Finder)]

        @staticmethod
        @hookimpl
        def retina_filters() -> list[FilterSpec]:
            return list(filters)

    return Registry.of(tiny=Hooks())


def saved(
    folder: Path,
    kind: type[Stage],
    channels: Sequence[str] = CHANNELS,
    *,
    shares: Mapping[int, float] | None = None,
    thresholds: Mapping[str, float] | None = None,
    seen: Sequence[str] = (),
) -> Path:
    """A folder with the stage, as a training leaves it."""
    stage = kind(Config(), channels)
    fovs = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    stage.priors = Priors(fovs=fovs, grade_shares=dict(shares or {}), thresholds=dict(thresholds or {}))
    row = Row(kind.role, kind.name, "tiny", "retina-tiny", "0.1", "", "", "ok", "")
    provenance = {"data": ["tiny"], "phantom": True, "request": "0" * 64}
    save_stage(stage, folder, plugin=row, seen=seen, provenance=provenance)
    return folder
