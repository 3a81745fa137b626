"""One test eye's result, and the CSV that holds all of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retina_core.evaluation.metrics import METRICS, EyeCounts
from retina_core.formats.atomic import write_text


@dataclass(frozen=True)
class EyeResult:
    """What one training, or one reference, found in one test eye."""

    trained_on: str
    """A regime, or a reference: ``second observer``, ``ceiling at 256 px``."""
    seed: int
    eye: str
    patient: str
    channel: str
    threshold: float | None
    """None for a finished segmentation, such as an observer's."""
    counts: EyeCounts


def write_csv(path: Path, results: Sequence[EyeResult]) -> None:
    """Write ``eyes.csv``: a row per training, eye and channel; undefined scores are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trained_on", "seed", "eye", "patient", "channel", "threshold", *METRICS])
    for r in results:
        scores = r.counts.scores()
        values = ["" if (value := scores.get(name)) is None else f"{value:.6f}" for name in METRICS]
        cut = "" if r.threshold is None else f"{r.threshold:.6f}"
        writer.writerow([r.trained_on, r.seed, r.eye, r.patient, r.channel, cut, *values])
    write_text(path, text.getvalue())
