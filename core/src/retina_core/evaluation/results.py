"""What one training, or one reference, found in the test eyes; and the CSV that holds all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retina_core.data.sample import Sample
from retina_core.evaluation.metrics import METRICS, EyeCounts
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
    """One channel over all test eyes, by one training or one reference."""

    trained_on: str
    """A regime, or a reference: ``second observer``, ``ceiling at 256 px``."""
    seed: int
    channel: str
    threshold: float | None
    """None for a finished segmentation, such as an observer's."""
    eyes: tuple[EyeScores, ...]
    pooled: ScoreTable
    """Over the pixels of all eyes together."""


def collect(
    trained_on: str,
    seed: int,
    thresholds: Mapping[str, float | None],
    counted: Iterable[tuple[Sample, str, EyeCounts]],
) -> list[ChannelResult]:
    """The results of eyes that come one at a time: a channel's counts are added up, not kept (2 MB an eye)."""
    sums: dict[str, EyeCounts] = {}
    eyes: dict[str, list[EyeScores]] = {}
    for sample, channel, counts in counted:
        sums[channel] = sums[channel] + counts if channel in sums else counts
        eyes.setdefault(channel, []).append(EyeScores(sample.id, sample.patient, counts.scores()))
    return [
        ChannelResult(
            trained_on, seed, channel, thresholds.get(channel), tuple(eyes[channel]), total.scores()
        )
        for channel, total in sums.items()
    ]


def write_csv(path: Path, results: Sequence[ChannelResult]) -> None:
    """Write ``eyes.csv``: a row per training, eye and channel; undefined scores are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trained_on", "seed", "eye", "patient", "channel", "threshold", *METRICS])
    for r in results:
        cut = "" if r.threshold is None else f"{r.threshold:.6f}"
        for eye in r.eyes:
            values = ["" if (value := eye.scores.get(name)) is None else f"{value:.6f}" for name in METRICS]
            writer.writerow([r.trained_on, r.seed, eye.eye, eye.patient, r.channel, cut, *values])
    write_text(path, text.getvalue())
