"""What a stage is to learn from: samples in turn, without those that it cannot learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retina_core.data.sample import Dataset
from retina_core.errors import ChannelError
from retina_core.registry import Registry
from retina_core.specs import StageSpec


@dataclass(frozen=True)
class Lesson:
    """What a stage is to learn from, and from how many seen images on."""

    dataset: Dataset
    start: int = 0


def learnable_lessons(kind: type, lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons without the samples that a stage of this class cannot learn from."""
    masks = getattr(kind, "masks_absent", True)
    return [replace(lesson, dataset=learnable(lesson.dataset, masks)) for lesson in lessons]


def learnable(dataset: Dataset, masks: bool) -> Dataset:
    """The samples that a stage can learn from: annotated for all channels in use, or for any where it masks absent ones."""
    enough = any if masks else all
    kept = [s for s in dataset.samples if enough(channel in s.labels for channel in dataset.channels)]
    return dataset if len(kept) == len(dataset) else dataset.with_samples(kept)


def none_learnable(dataset: Dataset, channels: Sequence[str], stage: str) -> str:
    """Why a stage that masks no absent channel can learn from no sample of a data set."""
    counts = [f"{name} {sum(name in s.labels for s in dataset.samples)}" for name in channels]
    said = f"no sample is annotated for all channels together, which {stage} needs ({', '.join(counts)})"
    return f"{said}; choose channels with --set data.channels=NAME,..."


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
