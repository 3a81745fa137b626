"""A sample: one eye with its photograph, label maps and field of view; and a data set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np

from retina_core.data.facts import SampleFacts
from retina_core.data.fov import derive_fov
from retina_core.data.framing import USUAL, Framing
from retina_core.data.looks import Look, look_of
from retina_core.data.masks import SMOOTHED, Mask, NotAMaskError, binarised
from retina_core.data.origin import Origin
from retina_core.data.pictures import PictureSource, decoded
from retina_core.data.pixels import FIRST_FRAME, Picture
from retina_core.data.split import families, held_out
from retina_core.errors import DatasetError, PathError

FovRule = Literal["given", "derive", "full"]
"""Where a field of view comes from: a mask of the data set, the photograph itself, or the whole frame."""

Part = Literal["train", "test"]

WEAK_GRADE: Final = "grade"
"""What stands for the grade among what is weak."""

_TWO_VALUES: Final = "save it with two values, 0 and 255"


@dataclass(frozen=True, eq=False)
class Sample:
    """One eye. Pictures are decoded when they are asked for."""

    id: str
    patient: str
    """Whose eye it is; both eyes of a patient stay on one side of a split."""
    photo: PictureSource
    labels: Mapping[str, PictureSource | None] = field(default_factory=dict)
    """Channel -> its map; None: annotated and empty; not in it: absent (not annotated)."""
    fov: PictureSource | None = None
    fov_rule: FovRule = "full"
    grade: int | None = None
    """Diabetic retinopathy, 0 to 4 (ICDR)."""
    gradings: tuple[int, ...] = ()
    """What each of several raters gave, where that is known; ``grade`` is their median."""
    group: str | None = None
    """What a split is stratified by, e.g. the diagnosis."""
    official: Part | None = None
    """The part of the data set's own split that it belongs to."""
    observers: Mapping[str, Mapping[str, PictureSource]] = field(default_factory=dict)
    """Further observer -> channel -> map."""
    recipe: str | None = None
    """What stands for the content in cache keys where it is drawn rather than read (phantoms)."""
    facts: SampleFacts | None = None
    grade_from: str | None = None
    """The twin whose grade this is, where it has none of its own."""
    origin: str = ""
    """The data set that it comes from, where several are combined."""
    weak: tuple[str, ...] = ()
    """Channels, and ``grade``, that a trained stage filled in: something to learn from, never what a test is held to."""
    weak_from: tuple[str, ...] = ()
    """Which stage that was, for each of ``weak``."""
    framing: Framing = USUAL
    """How it becomes the square that networks see."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the photograph's size and decoded RGB values: the same whatever the file's name."""
        return self.facts.fingerprint if self.facts else photo_digest(self.photo_array())

    @cached_property
    def look(self) -> Look:
        """What the photograph shows, small, to tell it from others however it was saved."""
        found = self.facts.look if self.facts else None
        return look_of(self.photo_array()) if found is None else found

    @property
    def identity(self) -> str:
        """What tells this photograph from others without drawing it: the recipe where there is one."""
        return self.recipe or self.fingerprint

    def without_weak(self) -> Sample:
        """The sample as its annotators left it: weak channels are absent, a weak grade is none."""
        if not self.weak:
            return self
        labels = {channel: source for channel, source in self.labels.items() if channel not in self.weak}
        facts = self.facts
        if facts:
            kept = {channel: found for channel, found in facts.labels.items() if channel in labels}
            facts = replace(facts, labels=kept)
        return replace(
            self, labels=labels, facts=facts, grade=None if WEAK_GRADE in self.weak else self.grade
        )

    def photo_array(self) -> Picture:
        """The photograph, uint8 (h w 3); a grey one repeated. Raises PathError if it cannot be read."""
        return as_rgb(self.photo.read())

    def label_array(self, channel: str) -> Mask:
        """The channel's map, bool (h w); all False where it is annotated and empty.

        Raises:
            KeyError: the channel is absent.
            PathError: it cannot be read, or is not a mask.
        """
        source = self.labels[channel]
        if source is None:
            width, height = self.photo.size()
            return np.zeros((height, width), dtype=np.bool_)
        return read_mask(source)

    def observer_array(self, observer: str, channel: str) -> Mask:
        """A further observer's map, bool (h w). Raises as ``label_array``."""
        return read_mask(self.observers[observer][channel])

    def fov_array(self, photo: Picture | None = None) -> Mask:
        """The field of view, bool (h w); ``photo`` (h w 3) spares reading that. Raises as ``label_array``."""
        if self.fov is not None:
            return read_mask(self.fov)
        if self.fov_rule == "derive":
            return derive_fov(self.photo_array() if photo is None else photo)
        width, height = self.photo.size()
        return np.ones((height, width), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples of one origin, in an order that does not depend on the file system."""

    name: str
    reader: str
    root: Path | None
    samples: tuple[Sample, ...]
    channels: tuple[str, ...]
    """The label channels in use; samples may hold more."""
    citation: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    """What was done to the files, or must be said of them."""
    phantom: bool = False
    """It shows no real eye."""
    repeats: bool = False
    """Its owner hands out some photographs twice: they are told of, not refused."""

    twins: tuple[tuple[str, str], ...] = ()
    """Pairs of ids whose photographs show the same picture."""
    origins: tuple[Origin, ...] = ()
    """The data sets that were combined; none where there is one only."""
    excluded: tuple[str, ...] = ()
    """Ids that ``data.exclude`` leaves out."""

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def fov_rule(self) -> FovRule | Literal["mixed"]:
        """Where the samples' fields of view come from."""
        rules = {sample.fov_rule for sample in self.samples}
        return rules.pop() if len(rules) == 1 else "mixed"

    def seen(self) -> list[str]:
        """The fingerprints of all photographs, sorted: what training on it has seen."""
        return sorted({sample.fingerprint for sample in self.samples})

    def with_samples(self, samples: Sequence[Sample]) -> Dataset:
        """The same data set with other samples."""
        ids = {sample.id for sample in samples}
        twins = tuple(pair for pair in self.twins if ids.issuperset(pair))
        return replace(self, samples=tuple(samples), twins=twins)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders that it was read from."""
        found = [origin.root for origin in self.origins] or [self.root]
        return tuple(root for root in found if root is not None)

    def split(
        self, seed: int = 0, test_share: float = 0.2, *, folds: int | None = None, fold: int = 0
    ) -> Split:
        """The training and the test part.

        The official split where every sample has a part and not all are for training; else ``test_share`` of
        the patients, seeded, each group alike; of combined data sets each by itself. With ``folds``, part ``fold``
        (from 0) of so many is the test part, of all patients together. Twins count as one patient; what shows the
        same picture as a photograph of the test part leaves the training part. What is weak in the test part is
        absent there.

        Raises:
            DatasetError: nothing is left to train on, or to test on.
        """
        if folds is None:
            origins = dict.fromkeys(sample.origin for sample in self.samples)
            tested = {name for one in origins for name in self._tested_of(one, seed, test_share)}
        else:
            tested = self._held_out(self.samples, seed, 1 / folds, fold)
        family = families(self.twins)
        test = [sample for sample in self.samples if sample.id in tested]
        kept_apart = {sample.identity for sample in test} | {family.get(s.id, s.id) for s in test}
        rest = [sample for sample in self.samples if sample.id not in tested]
        train = [s for s in rest if not kept_apart & {s.identity, family.get(s.id, s.id)}]
        if not train or not test:
            reason = f"the split leaves {len(train)} samples to train on and {len(test)} to test on"
            advice = "add photographs, of at least two patients, or mark some as train and some as test"
            raise DatasetError(self.root or self.name, [f"{reason}; {advice}"])
        learnt_from = self.with_samples(train)
        if lost := list(learnt_from.lost_channels()):
            raise DatasetError(self.root or self.name, lost)
        left_out = {sample.id for sample in rest} - {sample.id for sample in train}
        told = [sample.without_weak() for sample in test]
        return Split(learnt_from, self.with_samples(told), tuple(sorted(left_out)))

    def lost_channels(self) -> Iterator[str]:
        """Of a training part: a line for each channel in use that is annotated in it, and marked nowhere."""
        for channel in self.channels:
            annotated = [sample for sample in self.samples if channel in sample.labels]
            known = [sample.facts.labels.get(channel) for sample in annotated if sample.facts]
            if annotated and len(known) == len(annotated) and not any(one and one.fov_share for one in known):
                advice = "choose other channels with --set data.channels=NAME,... or another --seed"
                yield f"{channel}: nothing is marked in this channel in the training part of the split; {advice}"

    def _tested_of(self, origin: str, seed: int, test_share: float) -> set[str]:
        """The samples of one data set that are tested on: by its official split, or held out."""
        samples = [sample for sample in self.samples if sample.origin == origin]
        parts = {sample.official for sample in samples}
        if None in parts or parts == {"train"}:
            return self._held_out(samples, seed, test_share, 0)
        return {sample.id for sample in samples if sample.official == "test"}

    def _held_out(self, samples: Sequence[Sample], seed: int, share: float, fold: int) -> set[str]:
        """The samples of patients that are held out; patients who share a picture are one."""
        # A combined data set keeps, by itself, the split that it has alone: names without what was put before them.
        single = len({sample.origin for sample in samples}) == 1
        put = {s.id: f"{s.origin}-" if single and s.origin else "" for s in samples}
        own = {s.id: s.patient.removeprefix(put[s.id]) for s in samples}
        shared = [(own[a], own[b]) for a, b in self.twins if a in own and b in own]
        person = families(shared)
        groups: dict[
            str, str
        ] = {}  # patient -> group; the first by name where a patient's eyes are in several
        for sample in samples:
            patient, group = person.get(own[sample.id], own[sample.id]), sample.group or ""
            groups[patient] = min(groups.get(patient, group), group)
        chosen = held_out(groups, seed, share, fold)
        return {name for name, patient in own.items() if person.get(patient, patient) in chosen}


@dataclass(frozen=True)
class Split:
    """The two parts of a data set; generative models see ``train`` only."""

    train: Dataset
    test: Dataset
    left_out: tuple[str, ...] = ()
    """Ids of neither: they show the same picture as a photograph of the test part."""


def as_rgb(picture: Picture) -> Picture:
    """A picture (h w) or (h w 3) as (h w 3)."""
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def photo_digest(photo: Picture) -> str:
    """SHA-256 of a photograph's size and RGB values (h w 3), in hexadecimal."""
    height, width = photo.shape[:2]
    digest = hashlib.sha256(f"{width}x{height} RGB\n".encode())
    digest.update(np.ascontiguousarray(photo).data)
    return digest.hexdigest()


def mask_digest(mask: Mask) -> str:
    """SHA-256 of a mask's size and bits (h w), in hexadecimal."""
    height, width = mask.shape
    digest = hashlib.sha256(f"{width}x{height} mask\n".encode())
    digest.update(np.packbits(mask).data)
    return digest.hexdigest()


def read_mask(source: PictureSource) -> Mask:
    """A mask, bool (h w). Raises PathError if it cannot be read or is not a mask."""
    return read_mask_told(source)[0]


def read_mask_told(source: PictureSource) -> tuple[Mask, tuple[str, ...]]:
    """As ``read_mask``, with what was done to the file's pixels."""
    found = decoded(source)
    if FIRST_FRAME in found.changes:
        raise PathError(
            source.name, "is not a mask: it holds several frames", "save the one that is the mask alone"
        )
    try:
        mask, smoothed = binarised(found.picture)
    except NotAMaskError as error:
        raise PathError(source.name, f"is not a mask: {error}", _TWO_VALUES) from None
    if found.alpha is not None and mask.all() == mask.any() and found.alpha.min() < 128 <= found.alpha.max():
        reason = "is not a mask: what it marks differs from the rest in transparency only"
        raise PathError(source.name, reason, _TWO_VALUES)
    return mask, (*found.changes, SMOOTHED) if smoothed else found.changes
