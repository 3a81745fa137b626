"""From the results of single eyes to the rows of ``scores.json``."""

from __future__ import annotations

from collections.abc import Sequence

from retina_core.evaluation.intervals import mean_interval, paired_difference
from retina_core.evaluation.metrics import METRICS, mean_scores, pool
from retina_core.evaluation.results import EyeResult
from retina_core.evaluation.scores import Score

COMPARED = ("dice", "auc_roc", "auc_pr")
"""Scores of which the difference to REAL is a row of its own."""

Table = list[list[float | None]]
"""One score: a row per seed, a column per eye."""


def regime_rows(results: Sequence[EyeResult]) -> list[Score]:
    """Each regime's and channel's scores.

    The value is over all pixels of all eyes, averaged over seeds; the interval is that of the mean over eyes and
    seeds, eyes of one patient counting as one.
    """
    rows = []
    for regime, channel in dict.fromkeys((r.trained_on, r.channel) for r in results):
        chosen = _chosen(results, regime, channel)
        rows += _rows(chosen, seeds=len({r.seed for r in chosen}), regime=regime, reference=None)
    return rows


def reference_rows(references: Sequence[EyeResult]) -> list[Score]:
    """The yardsticks' scores: further observers, and the ceiling that the working resolution sets."""
    rows = []
    for name, channel in dict.fromkeys((r.trained_on, r.channel) for r in references):
        rows += _rows(_chosen(references, name, channel), seeds=0, regime=None, reference=name)
    return rows


def difference_rows(results: Sequence[EyeResult]) -> list[Score]:
    """Each regime less REAL, paired by eye and seed: ``dice_difference`` and the like."""
    rows = []
    for regime, channel in dict.fromkeys((r.trained_on, r.channel) for r in results):
        real = _chosen(results, "REAL", channel)
        if regime == "REAL" or not real:
            continue
        chosen = _chosen(results, regime, channel)
        for name in COMPARED:
            value, low, high = paired_difference(_table(chosen, name), _table(real, name), _patients(chosen))
            seeds = len({r.seed for r in chosen})
            rows.append(Score(f"{name}_difference", regime, channel, value, low, high, seeds, "higher", "REAL"))
    return rows


def _rows(chosen: Sequence[EyeResult], *, seeds: int, regime: str | None, reference: str | None) -> list[Score]:
    by_seed = [[r for r in chosen if r.seed == seed] for seed in sorted({r.seed for r in chosen})]
    pooled = mean_scores([pool([r.counts for r in part]).scores() for part in by_seed])
    rows = []
    for name in METRICS:
        if name in pooled:
            ends = mean_interval(_table(chosen, name), _patients(chosen))
            rows.append(Score(name, regime, chosen[0].channel, pooled[name], *ends, seeds, "higher", reference))
    return rows


def _chosen(results: Sequence[EyeResult], trained_on: str, channel: str) -> list[EyeResult]:
    return [r for r in results if (r.trained_on, r.channel) == (trained_on, channel)]


def _table(chosen: Sequence[EyeResult], name: str) -> Table:
    eyes, seeds = dict.fromkeys(r.eye for r in chosen), sorted({r.seed for r in chosen})
    found = {(r.seed, r.eye): r.counts.scores().get(name) for r in chosen}
    return [[found.get((seed, eye)) for eye in eyes] for seed in seeds]


def _patients(chosen: Sequence[EyeResult]) -> list[str]:
    return [*{r.eye: r.patient for r in chosen}.values()]
