"""What a stage is to learn from: samples in turn, without those that it cannot learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from retina_core.data.framing import USUAL
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import ChannelError
from retina_core.registry import Registry
from retina_core.specs import StageSpec


@dataclass(frozen=True)
class Lesson:
    """What a stage is to learn from, and from how many seen images on."""

    dataset: Dataset
    start: int = 0


def content_of(sample: Sample) -> str | list[object]:
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


def learnable_lessons(kind: type, lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons without the samples that a stage of this class cannot learn from."""
    masks = getattr(kind, "masks_absent", True)
    return [replace(lesson, dataset=learnable(lesson.dataset, masks)) for lesson in lessons]


def learnable(dataset: Dataset, masks: bool) -> Dataset:
    """The samples that a stage can learn from: annotated for all channels in use, or for any where it masks absent ones."""
    enough = any if masks else all
    kept = [s for s in dataset.samples if enough(channel in s.labels for channel in dataset.channels)]
    return dataset if len(kept) == len(dataset) else dataset.with_samples(kept)


def annotated(dataset: Dataset) -> int:
    """How many eyes have a map of some channel in use: those that a segmenter is trained, or tested, on."""
    return len(learnable(dataset, masks=True))


def refuse_channels(spec: StageSpec, registry: Registry, channels: Sequence[str], data: str) -> None:
    """Refuse data of which the stage does not know every channel, before anything is read or drawn.

    Raises:
        ChannelError: names those that it does not know.
    """
    known = getattr(registry.stage_class(spec), "known_channels", None)
    if known is not None and (missing := set(channels) - set(known)):
        raise ChannelError(f"the data set {data}", missing, spec.name, known)
