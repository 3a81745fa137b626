"""All that can be wrong with a data set, found at once over all of its files before anything is trained."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from retina_core.data.masks import Mask
from retina_core.data.pictures import PictureSource
from retina_core.data.sample import (
    Dataset,
    LabelFacts,
    Sample,
    SampleFacts,
    as_rgb,
    mask_digest,
    photo_digest,
    read_mask,
)
from retina_core.data.threads import in_order
from retina_core.errors import PathError

Read = TypeVar("Read")


class Examination(NamedTuple):
    """What reading all of a sample's pictures found."""

    facts: SampleFacts | None
    """None where there are problems."""
    problems: tuple[str, ...]
    """One line each, beginning with the file's name."""


@dataclass(frozen=True)
class Checked:
    """A data set after checking."""

    dataset: Dataset
    """Its sound samples, with their facts."""
    problems: tuple[str, ...]
    """One line each, beginning with a file's name."""
    duplicates: tuple[tuple[str, str], ...]
    """Ids of samples whose photographs are the same."""


def check_dataset(dataset: Dataset, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Decode every picture of every sample; ``progress`` is called with how many of how many are done."""
    sound: list[Sample] = []
    problems: list[str] = []
    for done, found in enumerate(in_order(examine, dataset.samples)):
        problems.extend(found.problems)
        if found.facts is not None:
            sound.append(replace(dataset.samples[done], facts=found.facts))
        if progress is not None:
            progress(done + 1, len(dataset))
    twins = _same_photos(sound)
    problems.extend(f"{b.photo.name}: the same photograph as {a.photo.name}; leave one out" for a, b in twins)
    problems.extend(_shared_ids(dataset.samples))
    if len(sound) == len(dataset):  # else a channel may look empty because of what could not be read
        problems.extend(_empty_channels(dataset.channels, sound))
    noted = replace(dataset, samples=tuple(sound), notes=(*dataset.notes, *_notes(dataset.channels, sound)))
    return Checked(noted, tuple(problems), tuple((a.id, b.id) for a, b in twins))


def examine(sample: Sample) -> Examination:
    """Read all of a sample's pictures once."""
    reading = _Reading(sample)
    facts = reading.facts()
    return Examination(None if reading.problems else facts, tuple(reading.problems))


class _Reading:
    """One sample being read: what cannot be used becomes a line, and the rest is still looked at."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.problems: list[str] = []

    def facts(self) -> SampleFacts | None:
        sample = self.sample
        photo = self.attempt(sample.photo.read, sample.photo.name)
        rgb = None if photo is None else as_rgb(photo)
        size = None if rgb is None else (rgb.shape[1], rgb.shape[0])
        fov = self.mask(sample.fov, size) if sample.fov else None
        if fov is None and rgb is not None and sample.fov is None:
            fov = sample.fov_array(rgb)
        if fov is not None and not fov.any():
            self.problems.append(f"{(sample.fov or sample.photo).name}: {_no_fov(sample)}")
        labels = {channel: self.label(source, size, fov) for channel, source in sample.labels.items()}
        for maps in sample.observers.values():
            for source in maps.values():
                self.mask(source, size)
        if photo is None or rgb is None or fov is None or self.problems:
            return None
        return SampleFacts(
            fingerprint=photo_digest(rgb),
            size=(rgb.shape[1], rgb.shape[0]),
            grey=photo.ndim == 2,
            fov_digest=mask_digest(fov),
            fov_share=float(fov.mean()),
            labels={channel: facts for channel, facts in labels.items() if facts is not None},
        )

    def label(
        self, source: PictureSource | None, size: tuple[int, int] | None, fov: Mask | None
    ) -> LabelFacts | None:
        """What there is to know of a channel's map; None where it, or the photograph, cannot be used."""
        if source is None:
            return LabelFacts("empty", 0, 0.0)
        mask = self.mask(source, size)
        if mask is None or fov is None or not fov.any():
            return None
        return LabelFacts(mask_digest(mask), int(mask.sum()), float((mask & fov).sum() / fov.sum()))

    def mask(self, source: PictureSource, size: tuple[int, int] | None) -> Mask | None:
        """A mask of the photograph's size, or None and a line."""
        mask = self.attempt(lambda: read_mask(source), source.name)
        if mask is None or size is None:
            return mask
        height, width = mask.shape
        if (width, height) == size:
            return mask
        expected = f"{size[0]}x{size[1]} px like {self.sample.photo.name}"
        self.problems.append(f"{source.name}: is {width}x{height}, not {expected}; scale it to that")
        return None

    def attempt(self, read: Callable[[], Read], name: str) -> Read | None:
        try:
            return read()
        except PathError as error:
            self.problems.append(f"{name}: {error.reason}")
            return None


def _no_fov(sample: Sample) -> str:
    if sample.fov is not None:
        return "the field of view is empty; mark what the camera filled"
    return "no field of view can be found in it (nothing bright covers a tenth of it); leave it out"


def _same_photos(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Each sample whose photograph an earlier one has already, after that one."""
    first: dict[str, Sample] = {}
    twins = []
    for sample in samples:
        known = first.setdefault(sample.fingerprint, sample)
        if known is not sample:
            twins.append((known, sample))
    return twins


def _shared_ids(samples: Sequence[Sample]) -> Iterator[str]:
    photos: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        photos[sample.id].append(sample.photo.name)
    for shared, names in photos.items():
        if len(names) > 1:
            yield f"{', '.join(names)}: share the name {shared!r}; rename all but one"


def _empty_channels(channels: Sequence[str], samples: Sequence[Sample]) -> Iterator[str]:
    for channel in channels:
        found = [sample.facts.labels.get(channel) for sample in samples if sample.facts]
        if not any(facts and facts.marked_px for facts in found):
            advice = "choose others with --set data.channels=NAME,..."
            yield f"{channel}: nothing is marked in this channel in any sample; {advice}"


def _notes(channels: Sequence[str], samples: Sequence[Sample]) -> Iterator[str]:
    grey = sum(1 for sample in samples if sample.facts and sample.facts.grey)
    if grey:
        yield f"{grey} grey photograph{'s are' if grey > 1 else ' is'} repeated to three channels"
    annotated = Counter(channel for sample in samples for channel in sample.labels)
    for channel, count in sorted(annotated.items()):
        if channel not in channels:
            yield f"{channel}: not in use; {count} of {len(samples)} have it (--set data.channels=...)"
        elif count < len(samples):
            yield f"{channel}: {count} of {len(samples)} have it; it is not trained on in the others"
