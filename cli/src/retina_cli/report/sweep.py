"""The report's section on a sweep: how much synthetic data helps, as sentences, tables and charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from retina_cli.report import charts
from retina_cli.report.run_folder import RunContents
from retina_cli.report.score_tables import Cell, ScoreTable
from retina_cli.report.sections import Drawn
from retina_cli.report.words import number, signed, spoken
from retina_core.errors import RunFolderError
from retina_core.evaluation.figures import Bar, Bars, BarSeries, Groups
from retina_core.evaluation.shares import JSON_NAME, ChannelRow, Measured, SweepTable, SweptShare

SPOKEN: Final = {"precision": "precision", "recall": "recall", "f1": "F1"}
ALL: Final = "all channels"


@dataclass(frozen=True)
class SweepSection:
    """What a sweep found, ready to be shown."""

    findings: Sequence[str]
    told: str
    """How segmenters were trained, and what the numbers are."""
    tables: Sequence[ScoreTable]
    figures: Sequence[Drawn]
    problem: str = ""


def sweep_section(contents: RunContents) -> SweepSection | None:
    """The section of a run that is a sweep; None for any other run."""
    if not (contents.folder / JSON_NAME).is_file():
        return None
    try:
        table = SweepTable.read(contents.folder)
    except RunFolderError:
        problem = f"{JSON_NAME} is damaged; give the command of the sweep again."
        return SweepSection((), "", (), (), problem)
    figures = [*(_scores(table, channel) for channel in table.channels), _gains(table)]
    tables = [_table(table, channel) for channel in table.channels]
    return SweepSection(list(_findings(table)), _told(table, _kind(contents)), tables, figures)


def _findings(table: SweepTable) -> Iterator[str]:
    """A sentence for each share, over all channels, good or bad."""
    for share in table.shares:
        row = share.scores[0]
        gain = row.f1_difference
        if gain is None or gain.value is None or gain.low is None or gain.high is None:
            continue
        where = spoken(row.channel or ALL)
        said = (
            f"With {share.share} % synthetic pairs, {table.evaluator}'s F1 for {where} changes by {signed(gain.value)} "
            f"(95 % interval {signed(gain.low)} to {signed(gain.high)})"
        )
        verdict = "these eyes do not decide whether that helps"
        if gain.decided:
            verdict = "they help here" if gain.value > 0 else "they do harm here"
        yield f"{said}: {verdict}."


def _kind(contents: RunContents) -> str:
    return "phantoms" if contents.facts.get("phantom") else "real photographs"


def _told(table: SweepTable, kind: str) -> str:
    steps = sorted({share.steps for share in table.shares})
    length = f"{steps[0]:,} optimizer steps each" if len(steps) == 1 else ""
    if not length:
        length = (
            f"{table.epochs} rounds each, so that more pairs mean more steps ({steps[0]:,} to {steps[-1]:,})"
        )
    trainings = f"{table.seeds} training{'' if table.seeds == 1 else 's'} of each share"
    return (
        f"{table.evaluator} was trained on {table.shares[0].real} {kind} and on synthetic pairs until they were "
        f"that share of the whole; {trainings}, {length}. A smaller share's pairs are among those of a larger one. Scores are "
        "over all test pixels, for all channels together over the pixels of every channel (micro-averaged), and the mean of "
        "the trainings; small figures are 95 % intervals over patients and trainings. Differences are "
        "paired by both; a bold one has an interval that leaves out 0."
    )


def _table(table: SweepTable, channel: str | None) -> ScoreTable:
    columns = ("pairs", *SPOKEN.values(), *(f"{name} − 0 %" for name in SPOKEN.values()))
    rows, eyes = [], 0
    for share in table.shares:
        row = next(one for one in share.scores if one.channel == channel)
        eyes = row.test_eyes
        rows.append((f"{share.share} %", (Cell(str(share.synthetic)), *cells(row))))
    title = f"{spoken(channel or ALL)}, {eyes} test eyes"
    return ScoreTable(title, columns, tuple(rows), table.seeds)


def cells(row: ChannelRow) -> Iterator[Cell]:
    """Precision, recall and F1, then what each gained on no synthetic pair."""
    for name in SPOKEN:
        found: Measured = getattr(row, name)
        yield Cell(number(found.value), interval(found))
    for name in SPOKEN:
        gain: Measured | None = getattr(row, f"{name}_difference")
        yield Cell(signed(gain.value), interval(gain, sign=True), gain.decided) if gain else Cell("")


def interval(found: Measured, *, sign: bool = False) -> str:
    """The 95 % interval in words, empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    written = signed if sign else number
    return f"{written(found.low)} to {written(found.high)}"


def _scores(table: SweepTable, channel: str | None) -> Drawn:
    """Precision, recall and F1 of one channel, share by share."""
    series = tuple(
        BarSeries(said, tuple(_bar(_label(share), one) for share, one in _points(table, channel, name)))
        for name, said in SPOKEN.items()
    )
    title = spoken(channel or ALL)
    caption = "Dots: over all test pixels. Bars: 95 % interval over patients and trainings."
    figure = Groups(title, "synthetic pairs in what is trained on", "", series, caption)
    return Drawn("chart", title, caption, charts.groups(figure))


def _gains(table: SweepTable) -> Drawn:
    """What F1 gained on no synthetic pair, share by share and channel by channel."""
    bars = tuple(
        _bar(f"{_label(share)}, {spoken(channel or ALL)}", one)
        for channel in table.channels
        for share, one in _points(table, channel, "f1_difference")
        if share.share
    )
    title = "F1, less that without synthetic pairs"
    caption = "Means of the trainings, with 95 % intervals over patients and trainings, paired by both."
    return Drawn(
        "chart", title, caption, charts.bars(Bars(title, "difference of F1", bars), [("no change", 0.0)])
    )


def _points(
    table: SweepTable, channel: str | None, name: str
) -> Iterator[tuple[SweptShare, Measured | None]]:
    return zip(table.shares, table.column(channel, name), strict=True)


def _label(share: SweptShare) -> str:
    return f"{share.share} %"


def _bar(label: str, found: Measured | None) -> Bar:
    return Bar(label, found.value, found.low, found.high) if found else Bar(label, None)
