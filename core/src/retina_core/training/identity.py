"""What makes two trainings the same one: the later then goes on with, or loads, what the earlier has made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retina_core.config import StageConfig
from retina_core.data.framing import USUAL
from retina_core.data.sample import Sample
from retina_core.formats.stage_card import read_card
from retina_core.specs import StageSpec
from retina_core.training.lessons import Lesson
from retina_core.training.options import FitOptions

WHERE = {"perceptual_path", "perceptual_download", "style_photos"}
"""Settings that say where something lies, and nothing of what it is."""


def request_digest(
    spec: StageSpec,
    config: StageConfig,
    channels: Sequence[str],
    lessons: Sequence[Lesson],
    options: FitOptions,
    *,
    init: Path | None,
    more: Mapping[str, Any],
) -> str:
    """Hash of all that shapes the result, but for the samples' maps: another one is another training."""
    parts = {
        "stage": f"{spec.role}:{spec.name}",
        # Where weights lie says nothing of what they are.
        "config": config.model_dump(mode="json", exclude=WHERE),
        "channels": channels,
        "lessons": [[lesson.start, [_content_of(s) for s in lesson.dataset.samples]] for lesson in lessons],
        "seed": options.seed,
        "precision": options.precision,
        "init": read_card(init).files if init else None,
        **more,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _content_of(sample: Sample) -> str | list[object]:
    """What stands for a sample where it is asked whether a training is the same."""
    return sample.identity if sample.framing == USUAL else [sample.identity, list(sample.framing)]


def maps_digest(samples: Iterable[Sample], channels: Sequence[str], *, grades: bool) -> str:
    """Hash of the label maps of some channels, the fields of view and, where they count, the grades of samples."""
    parts = [[_maps_of(sample, channels), sample.grade if grades else None] for sample in samples]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _maps_of(sample: Sample, channels: Sequence[str]) -> list[object]:
    known, there = sample.facts, [channel for channel in channels if channel in sample.labels]
    told = {name: known.labels[name].digest for name in there if name in known.labels} if known else {}
    return [known.fov_digest if known else "", there, told]
