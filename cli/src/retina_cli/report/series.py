"""Reports of several runs together: a learning curve's, and a matrix of data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retina_cli.report import charts
from retina_cli.report.score_tables import Cell, ScoreTable
from retina_cli.report.sections import Drawn
from retina_cli.report.sweep import ALL, SPOKEN, cells, interval
from retina_cli.report.words import counted, listed, number, signed, spoken
from retina_core.evaluation import curve as curves
from retina_core.evaluation import matrix
from retina_core.evaluation.curve import LearningCurve
from retina_core.evaluation.figures import Bar, BarSeries, Groups
from retina_core.evaluation.matrix import Transfer, TransferCell


@dataclass(frozen=True)
class SeriesPage:
    """What several runs found together, ready to be shown."""

    title: str
    data_name: str
    account: str
    phantom: bool
    findings: Sequence[str]
    heading: str
    tables: Sequence[ScoreTable]
    told: str
    """How segmenters were trained, and what the numbers are."""
    figures: Sequence[Drawn]
    runs: Sequence[tuple[str, str]]
    """What each run is called, and its folder in this one."""


def series_page(folder: Path) -> SeriesPage | None:
    """The page of a folder that holds several runs; None for any other.

    Raises:
        RunFolderError: its table is damaged.
    """
    made = next((make for name, make in _PAGES.items() if (folder / name).is_file()), None)
    return made(folder) if made else None


def _curve_page(folder: Path) -> SeriesPage:
    curve = LearningCurve.read(folder)
    kind = "phantoms" if curve.phantom else "photographs"
    numbers = listed(point.eyes for point in curve.points)
    return SeriesPage(
        "Learning curve",
        curve.data,
        f"At {numbers} training {kind} each, both generative stages and {curve.evaluator} saw those alone, and all were tested on "
        f"the same {counted(curve.test_eyes, 'eye')}.",
        curve.phantom,
        list(_curve_findings(curve)),
        "How much synthetic data helps, by number of training eyes",
        [_curve_table(curve, channel) for channel in curve.channels],
        _curve_told(curve),
        [_curve_chart(curve, channel) for channel in curve.channels],
        [(f"{point.eyes} training eyes", point.run) for point in curve.points],
    )


def _curve_findings(curve: LearningCurve) -> Iterator[str]:
    """A sentence for each number of eyes and share, over all channels, good or bad."""
    for point, share, row in curve.rows(curve.channels[0]):
        gain = row.f1_difference
        if gain is None or gain.value is None or gain.low is None:
            continue
        verdict = "these eyes do not decide whether that helps"
        if gain.decided:
            verdict = "they help here" if gain.value > 0 else "they do harm here"
        yield (
            f"With {counted(point.eyes, 'training eye')} and {share.share} % synthetic pairs, {curve.evaluator}'s F1 for "
            f"{spoken(row.channel or ALL)} changes by {signed(gain.value)} (95 % interval {interval(gain, sign=True)}): {verdict}."
        )


def _curve_told(curve: LearningCurve) -> str:
    table = curve.points[0].table
    steps = f"{table.shares[0].steps:,} optimizer steps each"
    trainings = f"{table.seeds} training{'' if table.seeds == 1 else 's'} of each number and share"
    return (
        f"The eyes of a smaller number are among those of a larger one; seed {curve.seed} chose them, patient by patient: another "
        f"choice may turn a small difference round, which no interval here shows. {trainings}, {steps}. Scores are over all "
        "test pixels, and the mean of the trainings; small figures are 95 % intervals over patients and trainings. "
        "Differences are to no synthetic pair at the same number of eyes, paired by patient and training; a bold one has an "
        "interval that leaves out 0."
    )


def _curve_table(curve: LearningCurve, channel: str | None) -> ScoreTable:
    columns = ("pairs", *SPOKEN.values(), *(f"{name} − 0 %" for name in SPOKEN.values()))
    rows = tuple(
        (f"{counted(point.eyes, 'eye')}, {share.share} %", (Cell(str(share.synthetic)), *cells(row)))
        for point, share, row in curve.rows(channel)
    )
    title = f"{spoken(channel or ALL)}, {counted(curve.test_eyes, 'test eye')}"
    return ScoreTable(title, columns, rows, curve.points[0].table.seeds)


def _curve_chart(curve: LearningCurve, channel: str | None) -> Drawn:
    """F1 by number of training eyes, a series for each share."""
    series: dict[int, list[Bar]] = {}
    for point, share, row in curve.rows(channel):
        bar = Bar(f"{point.eyes}", row.f1.value, row.f1.low, row.f1.high)
        series.setdefault(share.share, []).append(bar)
    told = tuple(BarSeries(_share_told(share), tuple(bars)) for share, bars in series.items())
    title = f"F1 by number of training eyes: {spoken(channel or ALL)}"
    caption = "Dots: over all test pixels. Bars: 95 % interval over patients and trainings."
    figure = Groups(title, "annotated training eyes", "F1", told, caption)
    return Drawn("chart", title, caption, charts.groups(figure))


def _share_told(share: int) -> str:
    return f"{share} % synthetic" if share else "photographs alone"


def _transfer_page(folder: Path) -> SeriesPage:
    found = Transfer.read(folder)
    names = listed(one.name for one in found.sets)
    return SeriesPage(
        "Transfer",
        names,
        f"Both generative stages and {found.evaluator} were trained on each of {names}, and tested on the test part of every one.",
        found.phantom,
        list(_transfer_findings(found)),
        "Dice by what was trained on and what was tested on",
        [_transfer_table(found, regime, channel) for regime, channel in found.tables],
        _transfer_told(found),
        [_transfer_chart(found, channel) for channel in dict.fromkeys(cell.channel for cell in found.cells)],
        [(f"trained on {one.name}", one.run) for one in found.sets],
    )


def _transfer_findings(found: Transfer) -> Iterator[str]:
    """A sentence for each pair of data sets: what the pairs of one are worth on the other."""
    for cell in found.cells:
        gain = cell.dice_difference
        if cell.regime != "SYNTH" or cell.train == cell.test or gain is None or gain.value is None:
            continue
        real = found.cell(cell.train, cell.test, "REAL", cell.channel)
        verdict = "these eyes do not decide which serves better"
        if gain.decided:
            verdict = f"the {'pairs' if gain.value > 0 else 'photographs'} serve better here"
        yield (
            f"Pairs of {cell.train} give Dice {number(cell.dice.value)} for {spoken(cell.channel)} on {cell.test}, its photographs "
            f"{number(real.dice.value if real else None)}, a difference of {signed(gain.value)} (95 % interval "
            f"{interval(gain, sign=True)}): {verdict}."
        )


def _transfer_told(found: Transfer) -> str:
    trainings = f"{found.seeds} training{'' if found.seeds == 1 else 's'} of each"
    return (
        f"Rows: what was trained on; columns: whose test part was tested on; the same eyes in a column. {trainings}. REAL: trained "
        "on the photographs; SYNTH: on pairs of stages that learnt from these alone. Scores are over all test pixels, and the "
        "mean of the trainings; small figures are 95 % intervals over patients and trainings. Data sets differ in camera, "
        "in what was annotated how finely, and in size."
    )


def _transfer_table(found: Transfer, regime: str, channel: str) -> ScoreTable:
    rows = tuple(
        (
            f"{one.name}, {counted(one.train_eyes, 'eye')}",
            tuple(_dice(found.cell(one.name, other.name, regime, channel)) for other in found.sets),
        )
        for one in found.sets
    )
    columns = tuple(f"{one.name}, {counted(one.test_eyes, 'eye')}" for one in found.sets)
    return ScoreTable(f"{regime}, {spoken(channel)}", columns, rows, found.seeds)


def _dice(cell: TransferCell | None) -> Cell:
    return Cell(number(cell.dice.value), interval(cell.dice)) if cell else Cell("")


def _transfer_chart(found: Transfer, channel: str) -> Drawn:
    """Dice by what was trained and tested on, a series for each regime."""
    series: dict[str, list[Bar]] = {}
    for cell in (one for one in found.cells if one.channel == channel):
        bar = Bar(f"{cell.train} → {cell.test}", cell.dice.value, cell.dice.low, cell.dice.high)
        series.setdefault(cell.regime, []).append(bar)
    told = tuple(BarSeries(regime, tuple(bars)) for regime, bars in series.items())
    title = f"Dice: {spoken(channel)}"
    caption = (
        "Trained on → tested on. Dots: over all test pixels. Bars: 95 % interval over patients and trainings."
    )
    return Drawn("chart", title, caption, charts.groups(Groups(title, "", "Dice", told, caption)))


_PAGES: Final[Mapping[str, Callable[[Path], SeriesPage]]] = {
    curves.JSON_NAME: _curve_page,
    matrix.JSON_NAME: _transfer_page,
}
"""The table that a folder of several runs holds -> what makes its page."""
