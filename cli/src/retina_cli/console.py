"""What the user reads: results on standard output, everything else on standard error; rich only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from retina_core.evaluation.scores import Scores

GAP = "  "


def print_json(value: Any) -> None:
    """JSON for a program to read."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, default=str))


def print_line(line: str = "") -> None:
    """One line of the result."""
    click.echo(line)


def note(line: str) -> None:
    """One line that is not the result."""
    click.echo(line, err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """A table: drawn and wrapped on a terminal, elsewhere plain columns that nothing cuts off."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_drawn(columns, cells, title)
    else:
        _print_plain(columns, cells, title)


def print_scores(scores: Scores) -> None:
    """What one evaluator found, a line for each score; with a column of grades where a score is of one."""
    graded = any(s.grade is not None for s in scores.scores)
    rows = [
        [
            s.name,
            s.regime,
            s.channel,
            *([s.grade] if graded else []),
            _number(s.value),
            _interval(s.low, s.high),
            s.reference,
        ]
        for s in scores.scores
    ]
    grade = ["grade"] if graded else []
    columns = ["score", "trained on", "channel", *grade, "value", "95 %", "reference"]
    by = f", protocol {scores.protocol}" if scores.protocol else ""
    print_table(columns, rows, title=f"{scores.evaluator}{by}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        click.echo(title)
    table = [list(columns), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    for row in table:
        click.echo(GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_drawn(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
