"""What one training, or one reference, found in the test eyes; and the CSV that holds all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from retina_core.data.sample import Sample
from retina_core.evaluation.metrics import METRICS, Confusion, EyeCounts
from retina_core.formats.atomic import write_text

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
    eyes: dict[str, list[EyeScores]] = {}
    together = _Together()
    for sample, channel, counts in counted:
        sums[channel] = sums[channel] + counts if channel in sums else counts
        eyes.setdefault(channel, []).append(EyeScores(sample.id, sample.patient, counts.scores()))
        together.add(sample, counts)
    found = [
        ChannelResult(
            trained_on, seed, channel, thresholds.get(channel), tuple(eyes[channel]), total.scores()
        )
        for channel, total in sums.items()
    ]
    return [together.result(trained_on, seed), *found] if over_all and len(sums) > 1 else found


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
        whole = sum((counts for _, counts in self.eyes.values()), Confusion())
        return ChannelResult(trained_on, seed, None, None, eyes, whole.scores())


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
