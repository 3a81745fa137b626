"""What is to be filled in: everything that can be wrong with it is said before any work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from retina_core.data.sample import WEAK_GRADE, Dataset, Sample, Split
from retina_core.errors import ChannelError, DatasetError, InvalidValueError, RequestError
from retina_core.formats.stage_card import StageCard, read_card
from retina_core.formats.stage_folder import load_stage
from retina_core.grading.settings import GraderSettings
from retina_core.registry import Registry
from retina_core.roles import Segmenter


@dataclass(frozen=True)
class Annotators:
    """Who fills in what."""

    segmenter: Segmenter | None
    card: StageCard | None
    """The segmenter's."""
    channels: tuple[str, ...]
    """Of the segmenter, those that are wanted."""
    threshold: float | None
    """Above which a pixel is marked; None: chosen for each channel."""
    grader: GraderSettings | None
    """None: grades are left as they are."""
    named: bool = False
    """Whether the channels were asked for by name, and are filled in however little the segmenter finds of them."""

    @classmethod
    def of(
        cls,
        segmenter: Path | None,
        channels: Sequence[str],
        threshold: float | None,
        grader: GraderSettings | None,
        device: str,
        registry: Registry,
    ) -> Annotators:
        """Load the segmenter.

        Raises:
            RequestError: there is nothing to annotate with.
            InvalidValueError: the threshold is none, or nothing asks for it.
            ChannelError: the segmenter lacks a channel.
            StageFolderError, WrongRoleError, PluginError: the folder holds no segmenter that can be used.
        """
        if segmenter is None and grader is None:
            said = "annotate: nothing is to be filled in; give --segmenter DIR, --grades, or both"
            raise RequestError(f"{said}; see: retina annotate --help")
        if threshold is not None and not 0 < threshold < 1:
            raise InvalidValueError("annotate", "threshold", threshold, "write a number between 0 and 1")
        if segmenter is None:
            for key, value in (("channels", ",".join(channels)), ("threshold", threshold)):
                if value:
                    raise InvalidValueError("annotate", key, value, "it needs --segmenter DIR")
            return cls(None, None, (), None, grader)
        stage = cast(Segmenter, load_stage(segmenter, role="segmenter", registry=registry, device=device))
        if unknown := [name for name in channels if name not in stage.channels]:
            raise ChannelError("--channels", unknown, str(segmenter), stage.channels)
        chosen = tuple(dict.fromkeys(channels)) or stage.channels
        return cls(stage, read_card(segmenter), chosen, threshold, grader, named=bool(channels))

    def missing_in(self, sample: Sample) -> tuple[str, ...]:
        """The channels to fill in: those that the sample was not annotated for."""
        return tuple(channel for channel in self.channels if channel not in sample.labels)

    def grades(self, sample: Sample) -> bool:
        """Whether the sample's grade is to be filled in."""
        return self.grader is not None and sample.grade is None

    def facts(self) -> dict[str, Any]:
        """What the result depends on."""
        return {
            "segmenter": self.card and [self.card.name, self.card.version, self.card.files],
            "channels": list(self.channels),
            "named": self.named,
            "threshold": self.threshold,
            "grader": self.grader and self.grader.model_dump(mode="json"),
        }


def refuse_nothing(dataset: Dataset, annotators: Annotators) -> None:
    """Refuse a request that would fill in nothing, or that cannot be written down.

    Raises:
        RequestError: every sample has all of it.
        DatasetError: names that the result's layout would mistake for one another.
    """
    asked = {channel: [s for s in dataset if channel not in s.labels] for channel in annotators.channels}
    if annotators.grader is not None:
        asked[WEAK_GRADE] = [s for s in dataset if annotators.grades(s)]
    if not any(asked.values()):
        said = f"every one of its {len(dataset)} samples has {' and '.join(asked)} already"
        raise RequestError(f"{dataset.root or dataset.name}: {said}; there is nothing to annotate")
    channels = {channel for sample in dataset for channel in sample.labels} | set(annotators.channels)
    if problems := _mistaken(dataset, channels):
        raise DatasetError(dataset.root or dataset.name, problems)


def _mistaken(dataset: Dataset, channels: set[str]) -> list[str]:
    """A line for each name that cannot be a file's, or that would be read as another's map."""
    ids = {sample.id for sample in dataset}
    problems = []
    for sample in dataset:
        if sample.id.startswith(".") or set(sample.id) & set('/\\:*?"<>|'):
            problems.append(f"{sample.id}: cannot be a file's name; rename the photograph")
        for ending in sorted({"mask", "fov", *channels}):
            if f"{sample.id}_{ending}" in ids:
                reason = f"{sample.id}_{ending} would be taken for a map of {sample.id}"
                problems.append(f"{sample.photo.name}: {reason}; rename one of them")
    return problems


def learners(split: Split, dataset: Dataset) -> list[Sample]:
    """The samples that a grader may learn from: of the training part, with a grade of their own.

    Raises:
        DatasetError: there is none.
    """
    found = _own_grades(split.train.samples)
    if not found:
        reason = "no sample of the training part has a grade to learn from"
        advice = "add grades, or leave --grades away"
        raise DatasetError(dataset.root or dataset.name, [f"{reason}; {advice}"])
    return found


def held_out(split: Split) -> list[Sample]:
    """Samples of the test part with a grade of their own: what a grader is compared with, and never learns from."""
    return _own_grades(split.test.samples)


def _own_grades(samples: Sequence[Sample]) -> list[Sample]:
    return [s for s in samples if s.grade is not None and s.grade_from is None and WEAK_GRADE not in s.weak]


def digest_of(
    dataset: Dataset, annotators: Annotators, seed: int, precision: str, part: Mapping[str, str]
) -> str:
    """Hash of all that the result follows from."""
    content = [[s.id, s.identity, _content(s), part.get(s.id, "")] for s in dataset]
    parts = [annotators.facts(), seed, precision, content]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _content(sample: Sample) -> list[object]:
    """What is written of a sample, as far as checking has told of it."""
    facts = sample.facts
    maps = {channel: found.digest for channel, found in facts.labels.items()} if facts else {}
    told = [sample.patient, sample.group, sample.official, sample.grade, sample.grade_from, list(sample.weak)]
    return [maps, sorted(sample.labels), facts.fov_digest if facts else "", told]
