"""All that can be wrong with a data set, found at once over all of its files before anything is trained."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple, TypeVar

from retina_core.data.facts import LabelFacts, SampleFacts
from retina_core.data.fov import fov_box
from retina_core.data.looks import look_of
from retina_core.data.masks import Mask
from retina_core.data.pictures import PictureSource, decoded
from retina_core.data.pixels import TURNED
from retina_core.data.sample import (
    Dataset,
    Sample,
    as_rgb,
    mask_digest,
    photo_digest,
    read_mask_told,
)
from retina_core.data.threads import in_order
from retina_core.data.twins import among, graded_by_twins
from retina_core.errors import PathError
from retina_core.formats.stage_card import SEEN
from retina_core.names import MOST_CHANNELS, channel_name, is_visible, shown

Read = TypeVar("Read")

THINNEST: Final = 16
"""Photographs are cropped to a square; a thinner strip of it would be lost when that is made small."""


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
    # Pairs of one generator are no photographs.
    drawn = bool(dataset.roots) and all((root / SEEN).is_file() for root in dataset.roots)
    for done, found in enumerate(in_order(partial(examine, look=not drawn), dataset.samples)):
        problems.extend(found.problems)
        if found.facts is not None:
            sound.append(replace(dataset.samples[done], facts=found.facts))
        if progress is not None:
            progress(done + 1, len(dataset))
    twins = _same_photos(sound)
    if not dataset.repeats:
        problems.extend(
            f"{b.photo.name}: the same photograph as {a.photo.name}; leave one out"
            for a, b in twins
            if a.origin == b.origin
        )
    problems.extend(_shared_ids(dataset.samples))
    problems.extend(_bad_names(dataset))
    if len(sound) == len(dataset):  # else a channel may look empty because of what could not be read
        problems.extend(_empty_channels(dataset, sound))
    repeated = (f"{len(twins)} photographs are there twice",) if twins and dataset.repeats else ()
    alike = among(sound) if not drawn else ()
    shared = tuple(sorted({*alike, *((a.id, b.id) for a, b in twins)}))
    graded, told = graded_by_twins(sound, shared)
    notes = (*dataset.notes, *repeated, *_seen_again(alike), *told, *_notes(dataset.channels, sound))
    noted = replace(dataset, samples=tuple(graded), notes=notes, twins=shared)
    return Checked(noted, tuple(problems), tuple((a.id, b.id) for a, b in twins))


def examine(sample: Sample, *, look: bool = False) -> Examination:
    """Read all of a sample's pictures once; with ``look``, keep what its photograph shows, small."""
    reading = _Reading(sample, look)
    facts = reading.facts()
    problems = tuple(dict.fromkeys(reading.problems))  # several channels may lie in one file
    return Examination(None if problems else facts, problems)


class _Reading:
    """One sample being read: what cannot be used becomes a line, and the rest is still looked at."""

    def __init__(self, sample: Sample, look: bool) -> None:
        self.sample, self.look = sample, look
        self.problems: list[str] = []
        self.changes: tuple[str, ...] = ()
        self.map_changes: list[str] = []

    def facts(self) -> SampleFacts | None:
        sample = self.sample
        found = self.attempt(lambda: decoded(sample.photo), sample.photo.name)
        self.changes = found.changes if found else ()
        rgb = None if found is None else as_rgb(found.picture)
        size = None if rgb is None else (rgb.shape[1], rgb.shape[0])
        fov = self.mask(sample.fov, size) if sample.fov else None
        if fov is None and rgb is not None and sample.fov is None:
            fov = sample.fov_array(rgb)
        if fov is not None and (said := _useless_fov(fov, sample)):
            self.problems.append(f"{(sample.fov or sample.photo).name}: {said}")
        labels = {channel: self.label(source, size, fov) for channel, source in sample.labels.items()}
        for maps in sample.observers.values():
            for source in maps.values():
                self.mask(source, size)
        if found is None or rgb is None or fov is None or self.problems:
            return None
        return SampleFacts(
            fingerprint=photo_digest(rgb),
            size=(rgb.shape[1], rgb.shape[0]),
            grey=found.picture.ndim == 2,
            fov_digest=mask_digest(fov),
            fov_share=float(fov.mean()),
            labels={channel: facts for channel, facts in labels.items() if facts is not None},
            changes=self.changes,
            map_changes=tuple(self.map_changes),
            look=look_of(rgb) if self.look else None,
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
        found = self.attempt(lambda: read_mask_told(source), source.name)
        if found is None:
            return None
        mask, changes = found
        self.map_changes.extend(changes)
        if size is None:
            return mask
        height, width = mask.shape
        if (width, height) == size:
            return mask
        expected = f"{size[0]}x{size[1]} px like {self.sample.photo.name}"
        advice = "scale it to that"
        if TURNED in self.changes and (height, width) == size:
            advice = "the photograph is turned upright as its EXIF tag says: turn this one too"
        self.problems.append(f"{source.name}: is {width}x{height}, not {expected}; {advice}")
        return None

    def attempt(self, read: Callable[[], Read], name: str) -> Read | None:
        try:
            return read()
        except PathError as error:
            self.problems.append(f"{name}: {error.reason}; {error.advice}")
            return None


def _useless_fov(fov: Mask, sample: Sample) -> str:
    """Why nothing can be learnt inside of a field of view; empty where something can."""
    if fov.any():
        thin = int(fov.sum()) * THINNEST < fov_box(fov).side ** 2
        said = f"the field of view fills less than 1/{THINNEST} of the square around it; crop the photograph"
        return said if thin else ""
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


def _seen_again(alike: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line for photographs that show one picture, saved another way."""
    if alike:
        count = len({second for _, second in alike})
        said = "photographs show" if count > 1 else "photograph shows"
        yield f"{count} {said} a picture that is there already, saved another way; a split keeps them on one side"


def _shared_ids(samples: Sequence[Sample]) -> Iterator[str]:
    photos: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        photos[sample.id].append(sample.photo.name)
    for shared, names in photos.items():
        if len(names) > 1:
            yield f"{', '.join(names)}: share the name {shared!r}; rename all but one"


def _bad_names(dataset: Dataset) -> Iterator[str]:
    """Names become those of files and folders, and stand in tables."""
    for sample in dataset.samples:
        if not is_visible(sample.id):
            yield f"{sample.photo.name}: its name holds characters that cannot be printed; rename it"
    if len(dataset.channels) > MOST_CHANNELS:
        advice = "choose some with --set data.channels=NAME,..."
        yield f"labels: {len(dataset.channels)} channels are more than the {MOST_CHANNELS} that a stage learns; {advice}"
    for channel in sorted({channel for sample in dataset.samples for channel in sample.labels}):
        try:
            channel_name(channel)
        except ValueError as error:
            yield f"{shown(channel)}: cannot be a channel's name: {error}; rename it"


def _empty_channels(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[str]:
    drawn = dataset.root is not None and (dataset.root / SEEN).is_file()
    for channel in dataset.channels:
        found = [sample.facts.labels.get(channel) for sample in samples if sample.facts]
        if not any(facts and facts.fov_share for facts in found):
            advice = "choose others with --set data.channels=NAME,..."
            if drawn:  # a synthetic set: its maps came out of a label generator
                advice = "train the label generator longer, or on other channels"
            yield f"{channel}: nothing is marked in this channel in any sample; {advice}"


def _notes(channels: Sequence[str], samples: Sequence[Sample]) -> Iterator[str]:
    grey = sum(1 for sample in samples if sample.facts and sample.facts.grey)
    if grey:
        yield f"{grey} grey photograph{'s are' if grey > 1 else ' is'} repeated to three channels"
    yield from _changes("photograph", (sample.facts.changes for sample in samples if sample.facts))
    yield from _changes("map", (sample.facts.map_changes for sample in samples if sample.facts))
    annotated = Counter(channel for sample in samples for channel in sample.labels)
    for channel, count in sorted(annotated.items()):
        if channel not in channels:
            yield f"{channel}: not in use; {count} of {len(samples)} have it (--set data.channels=...)"
        elif count < len(samples):
            yield f"{channel}: {count} of {len(samples)} have it; it is not trained on in the others"


def _changes(kind: str, changes: Iterable[tuple[str, ...]]) -> Iterator[str]:
    counts = Counter(change for each in changes for change in each)
    for change, count in sorted(counts.items()):
        yield f"{count} {kind}{'s' if count > 1 else ''}: {change}"
