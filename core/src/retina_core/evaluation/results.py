"""What one training, or one reference, found in the test eyes; and the CSV that holds all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add
from pathlib import Path
from typing import Final, NamedTuple

from retina_core.data.sample import Sample
from retina_core.evaluation.metrics import METRICS, Confusion, EyeCounts
from retina_core.formats.atomic import write_text

MOST_PEOPLE: Final = 256
"""Patients whose counts are kept apart until the intervals are known, at most: 4 MB a channel."""

ScoreTable = Mapping[str, float | None]
"""Name of a score -> its value, None where it is undefined."""


class EyeScores(NamedTuple):
    """One eye's scores in one channel."""

    eye: str
    patient: str
    scores: ScoreTable


@dataclass(frozen=True)
class ChannelResult:
    """One channel over all test eyes, or all channels together, by one training or one reference."""

    trained_on: str
    """A regime, or a reference: ``second observer``, ``ceiling at 256 px``."""
    seed: int
    channel: str | None
    """None: all channels together, the pixels of each that is annotated counted alike (micro-averaged)."""
    threshold: float | None
    """None for a finished segmentation, such as an observer's, and for all channels, which have one each."""
    eyes: tuple[EyeScores, ...]
    pooled: ScoreTable
    """Over the pixels of all eyes together."""
    without: tuple[ScoreTable, ...] = ()
    """The same without the eyes of each patient, in the order in which they came: what an interval is worked out from."""


def collect(
    trained_on: str,
    seed: int,
    thresholds: Mapping[str, float | None],
    counted: Iterable[tuple[Sample, str, EyeCounts]],
    *,
    over_all: bool = False,
) -> list[ChannelResult]:
    """The results of eyes that come one at a time: a channel's counts are added up, not kept (2 MB an eye).

    With ``over_all``, those of several channels together come first: of each eye the channels that it is annotated for.
    """
    sums: dict[str, EyeCounts] = {}
    people: dict[str, _People] = {}
    eyes: dict[str, list[EyeScores]] = {}
    together = _Together()
    for sample, channel, counts in counted:
        sums[channel] = sums[channel] + counts if channel in sums else counts
        people.setdefault(channel, _People()).add(sample.patient, counts.coarse())
        eyes.setdefault(channel, []).append(EyeScores(sample.id, sample.patient, counts.scores()))
        together.add(sample, counts)
    found = [
        ChannelResult(
            trained_on,
            seed,
            channel,
            thresholds.get(channel),
            tuple(eyes[channel]),
            pooled := total.scores(),
            people[channel].without(pooled),
        )
        for channel, total in sums.items()
    ]
    return [together.result(trained_on, seed), *found] if over_all and len(sums) > 1 else found


@dataclass(frozen=True)
class _People:
    """The counts of one channel, patient by patient; beyond ``MOST_PEOPLE`` some share a place, so that memory is bounded."""

    places: dict[str, int] = field(default_factory=dict)
    counts: list[EyeCounts] = field(default_factory=list)

    def add(self, patient: str, counts: EyeCounts) -> None:
        """Take up one eye."""
        place = self.places.setdefault(patient, len(self.places) % MOST_PEOPLE)
        if place < len(self.counts):
            self.counts[place] += counts
        else:
            self.counts.append(counts)

    def without(self, pooled: ScoreTable) -> tuple[ScoreTable, ...]:
        """``pooled`` as it is without each: moved by as much as the score of the coarse counts moves."""
        if len(self.counts) < 2:
            return ()
        before, after = list(accumulate(self.counts)), list(accumulate(reversed(self.counts)))[::-1]
        whole = before[-1].scores()
        rest = [after[1], *map(add, before[:-2], after[2:]), before[-2]]
        return tuple(
            {name: _moved(value, whole[name], one[name]) for name, value in pooled.items()}
            for one in (counts.scores() for counts in rest)
        )


def _moved(value: float | None, whole: float | None, rest: float | None) -> float | None:
    return None if value is None or whole is None or rest is None else value + rest - whole


@dataclass(frozen=True)
class _Together:
    """The channels of each eye added up: counts alone, since one channel's probabilities rank nothing of another's."""

    eyes: dict[str, tuple[str, Confusion]] = field(default_factory=dict)
    """Eye -> its patient, and its counts."""

    def add(self, sample: Sample, counts: EyeCounts) -> None:
        """Take up one channel of an eye."""
        before = self.eyes[sample.id][1] if sample.id in self.eyes else Confusion()
        self.eyes[sample.id] = (sample.patient, before + counts.confusion)

    def result(self, trained_on: str, seed: int) -> ChannelResult:
        """The scores of all channels together."""
        eyes = tuple(EyeScores(eye, patient, counts.scores()) for eye, (patient, counts) in self.eyes.items())
        people = _People()
        for patient, counts in self.eyes.values():
            people.add(patient, EyeCounts(counts))
        pooled = sum((counts for _, counts in self.eyes.values()), Confusion()).scores()
        return ChannelResult(trained_on, seed, None, None, eyes, pooled, people.without(pooled))


def write_csv(path: Path, results: Sequence[ChannelResult]) -> None:
    """Write ``eyes.csv``: a row per training, eye and channel; undefined scores, and all channels, are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trained_on", "seed", "eye", "patient", "channel", "threshold", *METRICS])
    for r in results:
        cut = "" if r.threshold is None else f"{r.threshold:.6f}"
        for eye in r.eyes:
            values = ["" if (value := eye.scores.get(name)) is None else f"{value:.6f}" for name in METRICS]
            writer.writerow([r.trained_on, r.seed, eye.eye, eye.patient, r.channel, cut, *values])
    write_text(path, text.getvalue())
