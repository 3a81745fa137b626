"""A training part of fewer eyes (``data.train_eyes``), nested: those of a smaller number are among those of a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retina_core.config import DataConfig
from retina_core.data.sample import Dataset, Sample, Split
from retina_core.data.split import families, in_turn
from retina_core.errors import DatasetError, InvalidValueError


def split_of(dataset: Dataset, seed: int, config: DataConfig) -> Split:
    """The two parts of a data set as its settings have them: ``test_share`` held out, ``train_eyes`` of the rest learnt from.

    The test part is the same whatever ``train_eyes`` says.

    Raises:
        InvalidValueError: there are not so many annotated training eyes.
        DatasetError: as ``Dataset.split``; or a channel is marked nowhere in the eyes that are left.
    """
    split = dataset.split(seed, config.test_share)
    return replace(split, train=fewer(split.train, config.train_eyes, seed)) if config.train_eyes else split


def fewer(train: Dataset, count: int, seed: int) -> Dataset:
    """The first ``count`` annotated eyes of a training part, in an order that seed and names alone decide.

    Patients follow each other whole, those of each group and data set evenly spread, so that only the last one's eyes
    may be parted; patients who share a picture are one. Eyes without a map of any channel in use are not counted, and
    left out too.

    Raises:
        InvalidValueError: there are fewer.
        DatasetError: a channel is marked nowhere in those eyes.
    """
    annotated = [one for one in train.samples if any(channel in one.labels for channel in train.channels)]
    if count > len(annotated):
        reason = (
            f"the training part of {train.name} has {len(annotated)} annotated eyes; ask for so many at most"
        )
        raise InvalidValueError("data", "train_eyes", count, reason)
    chosen = {sample.id for sample in _ordered(annotated, train.twins, seed)[:count]}
    kept = [sample for sample in train.samples if sample.id in chosen]
    few = train.with_samples(kept)
    if lost := list(few.lost_channels()):
        raise DatasetError(train.root or train.name, [f"of {count} training eyes, {line}" for line in lost])
    note = (
        f"{count} of {len(annotated)} annotated training eyes are learnt from (data.train_eyes, seed {seed})"
    )
    return replace(few, notes=(*few.notes, note))


def _ordered(samples: Sequence[Sample], twins: Sequence[tuple[str, str]], seed: int) -> list[Sample]:
    """The samples, patient after patient."""
    owners = {sample.id: sample.patient for sample in samples}
    shared = families((owners[a], owners[b]) for a, b in twins if a in owners and b in owners)
    people: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda one: one.id):
        people.setdefault(shared.get(sample.patient, sample.patient), []).append(sample)
    groups = {person: min(one.group or "" for one in eyes) for person, eyes in people.items()}
    return [eye for person in in_turn(groups, seed) for eye in people[person]]
