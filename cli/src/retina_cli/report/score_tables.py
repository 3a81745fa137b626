"""Scores as tables: a row per measure, the regimes side by side, then differences and yardsticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retina_cli.report.words import NONE, number, signed, spoken
from retina_core.evaluation.scores import Score, Scores

LABELS = {
    "dice": "Dice (F1)",
    "cldice": "clDice",
    "auc_roc": "AUC-ROC",
    "auc_pr": "AUC-PR",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "kl": "KL divergence of grey intensities (nats)",
    "nearest_map_distance": "Distance to the nearest training map (Dice)",
    "grade_accuracy": "Taken for their grade (share)",
    "grade_accuracy_within_one": "Taken for it or one beside it (share)",
    "grade_mean_recall": "Taken for their grade, grades counting alike (share)",
    "grade_kappa": "Quadratic kappa of grades",
}
"""Measure -> what it is called, in the order of rows."""

REFUSED = "refused_"
"""How the names of shares begin that filters refused."""
_DIFFERENCE = "_difference"


@dataclass(frozen=True)
class Cell:
    """One number of a table."""

    text: str
    interval: str = ""
    decided: bool = False
    """A difference whose interval leaves out 0."""


@dataclass(frozen=True)
class ScoreTable:
    """One channel's scores."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    seeds: int


def score_tables(scores: Scores) -> list[ScoreTable]:
    """A table for each channel of an evaluator that trained on regimes."""
    channels = dict.fromkeys(score.channel for score in scores.scores if score.regime is not None)
    return [_table(channel, [s for s in scores.scores if s.channel == channel]) for channel in channels]


def measures(scores: Scores) -> ScoreTable | None:
    """The scores that no regime and no channel's table holds, beside their yardsticks.

    Not those of a single grade, which are too many for one table, nor what filters refused: their evaluators draw them.
    """
    shown = {score.channel for score in scores.scores if score.regime is not None}
    chosen = [s for s in scores.scores if s.regime is None and s.channel not in shown and s.grade is None]
    chosen = [s for s in chosen if not s.name.startswith(REFUSED)]
    return _table(None, chosen) if chosen else None


def ceilings(scores: Scores) -> list[str]:
    """What the working resolution allows at most, a sentence for each channel."""
    rows = [s for s in scores.scores if s.name == "dice" and (s.reference or "").startswith("ceiling at ")]
    return [
        f"At {str(row.reference).removeprefix('ceiling at ')} no segmenter can pass Dice {number(row.value)}"
        f"{f' for {spoken(row.channel)}' if row.channel else ''}: perfect labels, brought to that size and back, "
        "reach no more."
        for row in rows
    ]


def _table(channel: str | None, scores: Sequence[Score]) -> ScoreTable:
    columns = list(dict.fromkeys(_column(score) for score in sorted(scores, key=_order)))
    names = list(dict.fromkeys(score.name.removesuffix(_DIFFERENCE) for score in scores))
    if "recall" in names and "sensitivity" in names:
        names.remove("sensitivity")  # two words for one number
    known = list(LABELS)
    names.sort(key=lambda name: known.index(name) if name in known else len(known))
    cells = {(score.name.removesuffix(_DIFFERENCE), _column(score)): _cell(score) for score in scores}
    rows = tuple(
        (LABELS.get(name, spoken(name)), tuple(cells.get((name, column), Cell("")) for column in columns))
        for name in names
    )
    return ScoreTable(spoken(channel or ""), tuple(columns), rows, max((s.seeds for s in scores), default=0))


def _order(score: Score) -> int:
    """Regimes, then differences, then yardsticks."""
    if _is_difference(score):
        return 1
    return 2 if score.reference else 0


def _is_difference(score: Score) -> bool:
    return score.name.endswith(_DIFFERENCE) and score.reference is not None


def _column(score: Score) -> str:
    if _is_difference(score):
        return f"{score.regime or 'value'} − {score.reference}"
    return score.reference or score.regime or "value"


def _cell(score: Score) -> Cell:
    written = signed if _is_difference(score) else number
    if score.value is None:
        return Cell(NONE)
    bounds = (score.low, score.high)
    interval = f"{written(bounds[0])} to {written(bounds[1])}" if None not in bounds else ""
    decided = _is_difference(score) and None not in bounds and (bounds[0] or 0) * (bounds[1] or 0) > 0
    if not interval and score.regime is None:
        return Cell(
            number(float(score.value), 3 if abs(score.value) >= 0.1 else 4)
        )  # a divergence may be small
    return Cell(written(float(score.value)), interval, decided)
