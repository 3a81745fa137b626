"""Lesions by grade: from measured eyes to rows of ``scores.json``, a table, charts and a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from retina_core.evaluation.figures import Bar, BarSeries, Groups, Table
from retina_core.evaluation.intervals import mean_interval
from retina_core.evaluation.lesion_counts import LesionCount, MeasuredEye, Source
from retina_core.evaluation.scores import Score
from retina_core.formats.atomic import write_text

REAL: Final = "real training eyes"
"""The yardstick of a generated map's lesions."""

_MEASURES: Final[dict[str, tuple[Callable[[LesionCount], float], float]]] = {
    "lesions": (lambda count: count.pieces, float("inf")),
    "lesion_area": (lambda count: count.area_percent, 100.0),
}
"""Score -> what it is of one eye, and the most that it can be."""
_REFERENCES: Final[dict[Source, str | None]] = {"generated": None, "real": REAL}


def lesion_rows(eyes: Sequence[MeasuredEye], lesions: Sequence[str]) -> list[Score]:
    """``lesions`` and ``lesion_area`` of each lesion and grade, generated and real, and of how many ``eyes`` each is."""
    rows: list[Score] = []
    for lesion in lesions:
        for grade in grades_of(eyes):
            for source, reference in _REFERENCES.items():
                rows += _rows(_of(eyes, lesion, grade, source), lesion, grade, reference)
    return rows


def grades_of(eyes: Sequence[MeasuredEye]) -> list[int]:
    """The grades that some eye has, in order."""
    return sorted({eye.grade for eye in eyes})


def _of(eyes: Sequence[MeasuredEye], lesion: str, grade: int, source: Source) -> list[MeasuredEye]:
    return [eye for eye in eyes if (eye.source, eye.grade) == (source, grade) and lesion in eye.lesions]


def _rows(eyes: Sequence[MeasuredEye], lesion: str, grade: int, reference: str | None) -> Iterator[Score]:
    if not eyes:
        return
    for name, (measured, most) in _MEASURES.items():
        values = [float(measured(eye.lesions[lesion])) for eye in eyes]
        low, high = mean_interval(values, [eye.patient for eye in eyes], within=(0, most))
        mean = sum(values) / len(values)
        yield Score(name, None, lesion, mean, low, high, seeds=0, reference=reference, grade=grade)
    count = float(len(eyes))
    yield Score("eyes", None, lesion, count, seeds=0, reference=reference, grade=grade)


def lesion_charts(rows: Sequence[Score], lesions: Sequence[str]) -> Iterator[Groups]:
    """For each lesion its number and its area by grade, generated beside real."""
    for lesion in lesions:
        spoken = lesion.replace("_", " ")
        yield _chart(rows, "lesions", lesion, f"Number: {spoken}", "pieces per eye")
        yield _chart(rows, "lesion_area", lesion, f"Area: {spoken}", "% of the field of view")


def _chart(rows: Sequence[Score], name: str, lesion: str, title: str, y_label: str) -> Groups:
    mine = [row for row in rows if (row.name, row.channel) == (name, lesion)]
    grades = sorted({row.grade for row in mine if row.grade is not None})
    series = []
    for source, reference in _REFERENCES.items():
        found = {row.grade: row for row in mine if row.reference == reference}
        bars = [
            Bar(str(grade), row.value, row.low, row.high)
            if (row := found.get(grade))
            else Bar(str(grade), None)
            for grade in grades
        ]
        series.append(BarSeries(source, tuple(bars)))
    return Groups(title, "grade", y_label, tuple(series))


def lesion_table(rows: Sequence[Score], size_px: int) -> Table:
    """A row for each lesion and grade: mean with interval, and of how many eyes."""
    found = {(row.name, row.channel, row.grade, row.reference): row for row in rows}
    keys = dict.fromkeys((row.channel, row.grade) for row in rows)
    lines = []
    for lesion, grade in keys:
        cells: list[str | int | float | None] = [str(lesion).replace("_", " "), grade]
        for name, digits in (("lesions", 1), ("lesion_area", 3)):
            cells += [_cell(found.get((name, lesion, grade, side)), digits) for side in _REFERENCES.values()]
        counts = [found.get(("eyes", lesion, grade, side)) for side in _REFERENCES.values()]
        cells.append(" / ".join(f"{row.value:.0f}" if row and row.value else "0" for row in counts))
        lines.append(tuple(cells))
    return Table(
        "Lesions by grade, generated beside real training eyes",
        (
            "lesion",
            "grade",
            "pieces, generated",
            "pieces, real",
            "area %, generated",
            "area %, real",
            "eyes",
        ),
        tuple(lines),
        f"Means per eye with their 95 % intervals, of maps at {size_px} px; areas as a share of the field of view; eyes, generated / real.",
    )


def _cell(row: Score | None, digits: int) -> str | None:
    if row is None or row.value is None:
        return None
    said = f"{row.value:.{digits}f}" if row.value else "0"
    if row.low is None or row.high is None or row.low == row.high:
        return said
    return f"{said} ({row.low:.{digits}f} to {row.high:.{digits}f})"


def write_lesions(path: Path, eyes: Sequence[MeasuredEye]) -> None:
    """Write ``lesions.csv``: a row per eye and lesion that it is annotated for."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    whose = ["source", "eye", "patient", "grade", "grade_from"]
    writer.writerow([*whose, "channel", "weak", "pieces", "area_percent"])
    for eye in eyes:
        for channel, count in eye.lesions.items():
            weak = int(channel in eye.weak)
            measured = [channel, weak, count.pieces, f"{count.area_percent:.6f}"]
            writer.writerow([eye.source, eye.id, eye.patient, eye.grade, eye.grade_from, *measured])
    write_text(path, text.getvalue())
