"""What a stage is to learn from: samples in turn, without those that it cannot learn from."""

from __future__ import annotations

from collections.abc import Sequence
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


def learnable_lessons(kind: type, lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons without the samples that a stage of this class cannot learn from."""
    masks = getattr(kind, "masks_absent", True)
    return [replace(lesson, dataset=learnable(lesson.dataset, masks)) for lesson in lessons]


def learnable(dataset: Dataset, masks: bool) -> Dataset:
    """The samples that a stage can learn from: annotated for all channels in use, or for any where it masks absent ones."""
    enough = any if masks else all
    kept = [s for s in dataset.samples if enough(channel in s.labels for channel in dataset.channels)]
    return dataset if len(kept) == len(dataset) else dataset.with_samples(kept)


def refuse_channels(spec: StageSpec, registry: Registry, channels: Sequence[str], data: str) -> None:
    """Refuse data of which the stage does not know every channel, before anything is read or drawn.

    Raises:
        ChannelError: names those that it does not know.
    """
    known = getattr(registry.stage_class(spec), "known_channels", None)
    if known is not None and (missing := set(channels) - set(known)):
        raise ChannelError(f"the data set {data}", missing, spec.name, known)
