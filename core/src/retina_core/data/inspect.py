"""What a data set holds and what is wrong with it, without training anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from retina_core.config import DataConfig
from retina_core.data.checking import Checked, examine
from retina_core.data.facts import LabelFacts
from retina_core.data.few_eyes import split_of
from retina_core.data.opening import Readers, check_source, told_source
from retina_core.data.sample import Dataset, Sample
from retina_core.data.threads import in_order
from retina_core.errors import DatasetError


@dataclass(frozen=True)
class ChannelCount:
    """How one label channel stands over all samples."""

    name: str
    in_use: bool
    marked: int
    """Samples in which something is marked."""
    empty: int
    """Samples that are annotated and have nothing there."""
    absent: int
    """Samples that are not annotated."""
    fov_share: float
    """Mean share of the field of view that is marked, over annotated samples, 0 to 1."""
    weak: int = 0
    """Samples of ``marked`` and ``empty`` whose map a segmenter filled in."""


@dataclass(frozen=True)
class Inspection:
    """What ``retina data inspect`` tells."""

    source: str
    dataset: Dataset = field(repr=False)
    """The sound samples."""
    sizes: Mapping[str, int]
    """``"999x960"`` (px) -> number of photographs."""
    channels: tuple[ChannelCount, ...]
    observers: Mapping[str, int]
    """Further observer -> number of samples with maps of theirs."""
    split: Mapping[str, tuple[str, ...]]
    """``train`` and ``test`` -> ids; empty where it cannot be split."""
    problems: tuple[str, ...]
    twins: tuple[tuple[str, str], ...]
    """Pairs of ids whose photographs show the same picture."""

    def to_json(self) -> dict[str, object]:
        """As ``retina data inspect --json`` prints it."""
        dataset = self.dataset
        return {
            "schema": 1,
            "source": self.source,
            "name": dataset.name,
            "sets": [
                {**asdict(one), "root": None if one.root is None else str(one.root)}
                for one in dataset.origins
            ],
            "reader": dataset.reader,
            "phantom": dataset.phantom,
            "counts": self._counts(),
            "sizes": dict(self.sizes),
            "fov": dataset.fov_rule,
            "channels": [asdict(channel) for channel in self.channels],
            "observers": dict(self.observers),
            "disagreements": {
                sample.id: list(sample.gradings) for sample in dataset if len(set(sample.gradings)) > 1
            },
            "excluded": list(dataset.excluded),
            "split": {part: list(ids) for part, ids in self.split.items()},
            "problems": list(self.problems),
            "twins": [list(pair) for pair in self.twins],
            "notes": list(dataset.notes),
            "citation": dataset.citation,
            "licence": dataset.licence,
        }

    def _counts(self) -> dict[str, object]:
        samples = self.dataset.samples
        return {
            "samples": len(samples),
            "patients": len({sample.patient for sample in samples}),
            "groups": dict(sorted(Counter(sample.group for sample in samples if sample.group).items())),
            "grades": {
                str(grade): count
                for grade, count in sorted(Counter(s.grade for s in samples if s.grade is not None).items())
            },
            "weak": self.weak(),
        }

    def weak(self) -> dict[str, dict[str, int]]:
        """Channel, or ``grade`` -> stage that filled it in -> in how many samples."""
        found: dict[str, dict[str, int]] = {}
        for sample in self.dataset.samples:
            for name, stage in zip(sample.weak, sample.weak_from, strict=True):
                found.setdefault(name, {}).setdefault(stage, 0)
                found[name][stage] += 1
        return dict(sorted(found.items()))


def inspect_dataset(
    source: str | Path | Sequence[str | Path],
    *,
    reader: str | Sequence[str] | None = None,
    registry: Readers | None = None,
    config: DataConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """All there is to tell of a data set; what is wrong with its files is in ``problems``, not raised.

    Raises:
        PathError, UnknownLayoutError, UnknownStageError, InvalidValueError: as ``open_dataset``.
    """
    settings = config or DataConfig()
    checked = check_source(source, reader=reader, registry=registry, config=settings, progress=progress)
    if checked.dataset.phantom:
        checked = replace(checked, dataset=_drawn(checked.dataset))
    dataset = checked.dataset
    split, problems = _split(checked, settings, seed)
    return Inspection(
        source=told_source(source),
        dataset=dataset,
        sizes=_sizes(dataset),
        channels=_channel_counts(dataset),
        observers=dict(Counter(name for sample in dataset.samples for name in sample.observers)),
        split=split,
        problems=problems,
        twins=dataset.twins,
    )


def _drawn(dataset: Dataset) -> Dataset:
    """Phantoms with their facts, which drawing them gives."""
    found = in_order(examine, dataset.samples)
    return dataset.with_samples(
        [replace(s, facts=e.facts) for s, e in zip(dataset.samples, found, strict=True)]
    )


def _split(
    checked: Checked, config: DataConfig, seed: int
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    if not checked.dataset.samples:
        return {}, checked.problems
    try:
        split = split_of(checked.dataset, seed, config)
    except DatasetError as error:
        return {}, (*checked.problems, *error.problems)
    parts = {"train": split.train, "test": split.test}
    return {part: tuple(sample.id for sample in half) for part, half in parts.items()}, checked.problems


def _sizes(dataset: Dataset) -> dict[str, int]:
    sizes = Counter(sample.facts.size for sample in dataset.samples if sample.facts)
    return {f"{width}x{height}": count for (width, height), count in sorted(sizes.items())}


def _channel_counts(dataset: Dataset) -> tuple[ChannelCount, ...]:
    found = {channel for sample in dataset.samples for channel in sample.labels}
    others = sorted(found - set(dataset.channels))
    return tuple(_channel_count(name, dataset) for name in (*dataset.channels, *others))


def _channel_count(name: str, dataset: Dataset) -> ChannelCount:
    facts = [found for sample in dataset.samples if (found := _facts(sample, name))]
    marked = sum(1 for found in facts if found.marked_px)
    return ChannelCount(
        name=name,
        in_use=name in dataset.channels,
        marked=marked,
        empty=len(facts) - marked,
        absent=len(dataset) - len(facts),
        fov_share=round(sum(found.fov_share for found in facts) / len(facts), 6) if facts else 0.0,
        weak=sum(1 for sample in dataset.samples if name in sample.weak),
    )


def _facts(sample: Sample, channel: str) -> LabelFacts | None:
    return sample.facts.labels.get(channel) if sample.facts else None
