"""From the results of single trainings to the rows of ``scores.json``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retina_core.evaluation.intervals import pooled_difference, pooled_interval
from retina_core.evaluation.metrics import METRICS, mean_scores
from retina_core.evaluation.results import ChannelResult
from retina_core.evaluation.scores import Score

COMPARED = ("dice", "auc_roc", "auc_pr")
"""Scores of which the difference to REAL is a row of its own."""
TRADED = ("precision", "recall")
"""Scores of which it is one too where shares of synthetic pairs are compared: one may rise as the other falls."""

Table = NDArray[np.float64]
"""One score: a row per seed, and a column per patient who is left out; NaN where it is undefined."""


def regime_rows(results: Sequence[ChannelResult]) -> list[Score]:
    """Each regime's and channel's scores.

    The value is over all pixels of all eyes, averaged over seeds; the interval is around it, over patients and seeds.
    """
    rows = []
    for seeds in _by_regime_and_channel(results):
        rows += _rows(seeds, regime=seeds[0].trained_on, reference=None)
    return rows


def reference_rows(references: Sequence[ChannelResult]) -> list[Score]:
    """The yardsticks' scores: further observers, and the ceiling that the working resolution sets."""
    rows = []
    for reference in references:
        rows += _rows([reference], regime=None, reference=reference.trained_on)
    return rows


def difference_rows(results: Sequence[ChannelResult], compared: Sequence[str] = COMPARED) -> list[Score]:
    """Each regime less REAL, paired by patient and seed: ``dice_difference`` and the like."""
    groups = _by_regime_and_channel(results)
    real = {group[0].channel: group for group in groups if group[0].trained_on == "REAL"}
    rows = []
    for group in groups:
        regime, channel = group[0].trained_on, group[0].channel
        if regime == "REAL" or channel not in real:
            continue
        for name in compared:
            if channel is None and name not in group[0].pooled:
                continue  # all channels together are counted, and not ranked
            theirs = real[channel]
            found = pooled_difference(
                _pooled(group, name), _pooled(theirs, name), _without(group, name), _without(theirs, name)
            )
            ends = (found.value, found.low, found.high)
            rows.append(Score(f"{name}_difference", regime, channel, *ends, len(group), "higher", "REAL"))
    return rows


def _rows(seeds: Sequence[ChannelResult], *, regime: str | None, reference: str | None) -> list[Score]:
    pooled = mean_scores([result.pooled for result in seeds])
    trainings = 0 if reference else len(seeds)
    rows = []
    for name in METRICS:
        if name in pooled:
            low, high = pooled_interval(_pooled(seeds, name), _without(seeds, name), within=(0, 1))
            channel = seeds[0].channel
            rows.append(Score(name, regime, channel, pooled[name], low, high, trainings, "higher", reference))
    return rows


def _by_regime_and_channel(results: Sequence[ChannelResult]) -> list[list[ChannelResult]]:
    """The seeds of each regime and channel, in the order in which they were trained."""
    groups: dict[tuple[str, str | None], list[ChannelResult]] = {}
    for result in results:
        groups.setdefault((result.trained_on, result.channel), []).append(result)
    return list(groups.values())


def _pooled(seeds: Sequence[ChannelResult], name: str) -> Table:
    return np.array([result.pooled.get(name) for result in seeds], dtype=np.float64)


def _without(seeds: Sequence[ChannelResult], name: str) -> Table:
    return np.array([[one.get(name) for one in result.without] for result in seeds], dtype=np.float64)
