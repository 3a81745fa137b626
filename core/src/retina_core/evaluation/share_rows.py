"""From a run whose evaluator is done to the table of its shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retina_core.data.sample import Sample
from retina_core.evaluation.protocol import training_folder
from retina_core.evaluation.regimes import percent_of
from retina_core.evaluation.scores import Scores
from retina_core.evaluation.shares import MEASURES, ChannelRow, Measured, SweepTable, SweptShare
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import read_card


def table_of(
    run: Path,
    evaluator: str,
    regimes: Sequence[str],
    test: Sequence[Sample],
    *,
    seeds: int,
    epochs: int | None,
) -> SweepTable:
    """The table of a run.

    Args:
        regimes: REAL and mixes, in the order of their shares.
        test: the test part.
        epochs: rounds of each training; None with a budget of steps.

    Raises:
        RunFolderError, StageFolderError, SampleSetError: something in the run is missing or damaged.
    """
    folder = run / "evaluation" / evaluator
    scores, pairs = Scores.read(folder / "scores.json"), read_rows(run / "synthetic")
    real = _learnt_from(folder, "REAL")
    shares = tuple(_share(folder, regime, real, scores, pairs, test) for regime in regimes)
    return SweepTable(evaluator, "steps" if epochs is None else "epochs", epochs, seeds, shares)


def _share(
    folder: Path,
    regime: str,
    real: int,
    scores: Scores,
    pairs: Sequence[Mapping[str, Any]],
    test: Sequence[Sample],
) -> SweptShare:
    config = read_card(training_folder(folder, regime, 0)).config
    count = _learnt_from(folder, regime) - real
    grades = Counter(str(pair["grade"]) for pair in pairs[:count] if pair.get("grade") is not None)
    channels = dict.fromkeys(s.channel for s in scores.scores if s.regime == regime and s.name == "dice")
    named = [channel for channel in channels if channel is not None]
    seen_images, batch_size = int(config["seen_images"]), int(config["batch_size"])
    return SweptShare(
        percent_of(regime),
        count,
        real,
        seen_images,
        -(-seen_images // batch_size),
        dict(sorted(grades.items())),
        tuple(
            _row(scores, regime, channel, _annotated(test, [channel] if channel else named))
            for channel in channels
        ),
    )


def _learnt_from(folder: Path, regime: str) -> int:
    """Samples that a regime's segmenters were trained on, as the first of them says itself."""
    return int(read_card(training_folder(folder, regime, 0)).provenance["samples"])


def _annotated(test: Iterable[Sample], channels: Sequence[str]) -> int:
    return sum(any(channel in sample.labels for channel in channels) for sample in test)


def _row(scores: Scores, regime: str, channel: str | None, eyes: int) -> ChannelRow:
    found = [measured_of(scores, name, regime, channel) for name in MEASURES.values()]
    less = [measured_of(scores, f"{name}_difference", regime, channel) for name in MEASURES.values()]
    nothing = Measured(None)
    return ChannelRow(channel, eyes, *(one or nothing for one in found), *less)


def measured_of(scores: Scores, name: str, regime: str, channel: str | None) -> Measured | None:
    """A score of this name, regime and channel, be it a difference or not; None where there is none."""
    wanted = (name, regime, channel)
    for score in scores.scores:
        if (score.name, score.regime, score.channel) == wanted:
            return Measured(score.value, score.low, score.high)
    return None
