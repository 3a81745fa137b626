"""Tables of grades as owners of data sets write them: spaces in the header, empty columns, no header at all."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from retina_core.data.readers.base import picture_stem
from retina_core.data.readers.metadata import MOST_BYTES, bounded_lines
from retina_core.grades import GRADES
from retina_core.names import shown

MOST_GRADE: Final = GRADES[-1]
"""Grades of diabetic retinopathy run from 0 to 4 (ICDR)."""


class TableRow(NamedTuple):
    """One line of a table."""

    where: str
    """The table and line, for messages."""
    cells: tuple[str, ...]
    """Without spaces around them, and without empty ones at the end."""


class GradeRow(NamedTuple):
    """What a table says of one photograph."""

    where: str
    photo: str
    """Its name without ending, composed (NFC)."""
    grades: tuple[int, ...]
    """One for each rater who gave one."""


def table_rows(table: Path, root: Path, problems: list[str]) -> Iterator[TableRow]:
    """The lines of a CSV file that hold something; one that cannot be read is a line in ``problems``."""
    name = shown(table.relative_to(root).as_posix())
    try:
        if table.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 2**30} GiB")
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(bounded_lines(file), skipinitialspace=True, strict=True)
            for line in reader:
                cells = [cell.strip() for cell in line]
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    yield TableRow(f"{name} line {reader.line_num}", tuple(cells))
    except (OSError, ValueError, csv.Error) as error:
        problems.append(
            f"{name}: cannot be read ({error}); save it as UTF-8 text, with commas between columns"
        )


def named_grades(
    table: Path, root: Path, problems: list[str], photo: Collection[str], grade: str, most: int = MOST_GRADE
) -> list[GradeRow]:
    """One grade for each photograph from a table with a header.

    ``photo`` and ``grade`` are the columns' names in lower case, of photographs any that is there. A row of no
    use, and a table without the columns, is a line in ``problems``. An empty grade is none.
    """
    rows = table_rows(table, root, problems)
    header = next(rows, None)
    if header is None:
        return []
    names = [cell.lower() for cell in header.cells]
    where = next((names.index(name) for name in photo if name in names), None)
    if where is None or grade not in names:
        wanted = f"{' or '.join(map(repr, photo))} and {grade!r}"
        found = ", ".join(header.cells)
        problems.append(f"{header.where}: has no columns {wanted}, but {found!r:.200}; restore the table")
        return []
    column = names.index(grade)
    cells = (TableRow(row.where, (*row.cells, *[""] * len(names))) for row in rows)
    found_rows = [_row(row.where, row.cells[where], [row.cells[column]], most, problems) for row in cells]
    return _once([row for row in found_rows if row], problems)


def rater_grades(table: Path, root: Path, problems: list[str]) -> list[GradeRow]:
    """The grades of one or more raters: a photograph, then a column for each of them; a header may be there.

    Rows of the same photograph are joined: each is another rater's.
    """
    joined: dict[str, GradeRow] = {}
    for number, row in enumerate(table_rows(table, root, problems)):
        is_header = number == 0 and not any(cell.isdigit() for cell in row.cells[1:])
        if is_header or not (read := _row(row.where, row.cells[0], row.cells[1:], MOST_GRADE, problems)):
            continue
        first = joined.setdefault(read.photo, read)
        if first is not read:
            joined[read.photo] = first._replace(grades=(*first.grades, *read.grades))
    return list(joined.values())


def median_grade(grades: Collection[int]) -> int | None:
    """The middle one of several raters' grades, the lower of two in the middle; None of none.

    Where more than half of the raters agree, it is their grade.
    """
    return sorted(grades)[(len(grades) - 1) // 2] if grades else None


def _row(where: str, photo: str, cells: Collection[str], most: int, problems: list[str]) -> GradeRow | None:
    if not photo:
        problems.append(f"{where}: names no photograph; fill its first column")
        return None
    given = [cell.removesuffix(".0") for cell in cells if cell]
    if bad := [grade for grade in given if grade not in {str(known) for known in range(most + 1)}]:
        problems.append(f"{where}: the grade is {bad[0]!r:.80}; write 0 to {most}, or leave it empty")
        return None
    return GradeRow(where, picture_stem(photo), tuple(int(grade) for grade in given))


def _once(rows: list[GradeRow], problems: list[str]) -> list[GradeRow]:
    """The first row of each photograph; another one is a problem."""
    first: dict[str, GradeRow] = {}
    for row in rows:
        known = first.setdefault(row.photo, row)
        if known is not row:
            problems.append(
                f"{row.where}: names {shown(row.photo)} again, after {known.where}; leave one out"
            )
    return list(first.values())
