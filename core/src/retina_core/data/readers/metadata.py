"""The table ``metadata.jsonl`` or ``.csv`` of our own layout, which Hugging Face's ImageFolder reads too."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, NamedTuple, TextIO, cast

from retina_core.data.sample import Part
from retina_core.formats.strict_json import parse_json
from retina_core.names import composed, is_visible, shown

TABLES: Final = ("metadata.jsonl", "metadata.csv")

LONGEST_PATH: Final = 1_000
"""Letters; systems allow 4,096 bytes with the folder's own path, and 255 for each part."""
LONGEST_LINE: Final = 1_000_000
MOST_BYTES: Final = 2**30
"""What is read of a table: lines of so many letters, and a GiB, which holds a million rows."""

_PHOTO: Final = "file_name"
_FOV: Final = "fov_file_name"
_ENDING: Final = "_file_name"


class Row(NamedTuple):
    """What the table says of one photograph; paths are relative to the table's folder and stay in it."""

    where: str
    """The table and line, for messages."""
    photo: str
    """Composed (NFC), however the table has it."""
    labels: Mapping[str, str]
    """Channel -> its map, from columns ``<channel>_file_name``."""
    fov: str | None
    grade: int | None
    """0 to 4."""
    patient: str | None
    group: str | None
    official: Part | None
    """From a column ``split`` of ``train`` and ``test``."""
    phantom: bool = False
    """From a column ``phantom``: drawn by an algorithm, or by stages that learnt from such; no real eye."""
    weak: tuple[str, ...] = ()
    """From a column ``weak``: channels, and ``grade``, that a trained stage filled in."""
    weak_from: tuple[str, ...] = ()
    """Which stage that was, for each of ``weak``, from a column ``weak_from``."""


def read_metadata(folder: Path, problems: list[str]) -> list[Row] | None:
    """The rows of the folder's table, None if it has none; a row of no use is a line in ``problems``."""
    tables = [folder / name for name in TABLES if (folder / name).is_file()]
    if not tables:
        return None
    table, *others = tables
    problems.extend(f"{other.name}: lies beside {table.name}; leave one of them out" for other in others)
    rows: list[Row] = []
    seen: dict[str, str] = {}
    try:
        for where, values in _lines(table, problems):
            try:
                row = _row(where, values)
            except ValueError as error:
                problems.append(f"{where}: {error}")
                continue
            first = seen.setdefault(row.photo, where)
            if first == where:
                rows.append(row)
            else:
                problems.append(f"{where}: names {shown(row.photo)} again, after {first}; leave one out")
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"{table.name}: cannot be read ({error}); save it as UTF-8 text")
    return rows


def _lines(table: Path, problems: list[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    if table.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 2**30} GiB")
    with table.open(encoding="utf-8-sig", newline="") as file:
        read = _csv_rows if table.suffix == ".csv" else _json_rows
        yield from read(table.name, bounded_lines(file), problems)


def bounded_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, none of them longer than ``LONGEST_LINE``."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise ValueError(f"line {number} has more than {LONGEST_LINE:,} letters: write one row per line")
        yield line


def _csv_rows(
    table: str, lines: Iterator[str], problems: list[str]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    reader = csv.reader(lines, skipinitialspace=True, strict=True)  # strict: an open quote would swallow rows
    header = [cell.strip() for cell in next(reader, [])]
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise ValueError(f"it has two columns {twice[0]!r:.80}: leave one out")
    if _PHOTO not in header:
        reason = f"it has no column {_PHOTO}, but {', '.join(header) or 'none'!r:.200}"
        raise ValueError(f"{reason}: name the column, and separate columns by commas")
    for cells in reader:
        where = f"{table} line {reader.line_num}"
        if any(cells[len(header) :]):
            problems.append(
                f"{where}: has {len(cells)} cells under {len(header)} columns; quote cells with commas"
            )
        elif any(cells):
            yield where, dict(zip(header, cells, strict=False))


def _json_rows(
    table: str, lines: Iterator[str], problems: list[str]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, line in enumerate(lines, start=1):
        where = f"{table} line {number}"
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as error:
            problems.append(f"{where}: is no JSON that can be used ({error}); write one object per line")
            continue
        if isinstance(values, dict):
            yield where, values
        else:
            problems.append(f"{where}: is not a JSON object; write one object per line")


def _row(where: str, values: Mapping[str, object]) -> Row:
    photo = _path(values, _PHOTO)
    if photo is None:
        raise ValueError(f"names no photograph; fill its column {_PHOTO}")
    paths = {
        column: _path(values, column) for column in values if column.endswith(_ENDING) and column != _FOV
    }
    labels = {
        composed(column.removesuffix(_ENDING)): path for column, path in paths.items() if path is not None
    }
    grade = _grade(values.get("grade"))
    known = {*labels, "grade"} if grade is not None else {*labels}
    weak = _weak(values.get("weak"), known)
    return Row(
        where,
        composed(photo),
        labels,
        _path(values, _FOV),
        grade,
        _text(values, "patient"),
        _text(values, "group"),
        _part(values),
        values.get("phantom") in (True, "true", "True"),
        weak,
        tuple(_stage(values.get("weak_from"), name) for name in weak),
    )


def _weak(value: object, known: Collection[str]) -> tuple[str, ...]:
    """What is weak, from a list or from text with commas between; all of it must be in the row."""
    if value is None or value == "":
        return ()
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"weak is {value!r:.80}; write a list of channels, and grade where that is meant")
    weak = tuple(dict.fromkeys(composed(name) for name in names if name))
    if unknown := [name for name in weak if name not in known]:
        reason = f"weak names {unknown[0]!r:.80}, which this row does not have"
        raise ValueError(f"{reason}; name columns of the row, without _file_name")
    return weak


def _stage(told: object, name: str) -> str:
    """The stage that filled something in, as it is called: name, version, the beginning of its weights' hash."""
    facts = told.get(name) if isinstance(told, dict) else None
    if not isinstance(facts, dict):
        return "a stage that is not named"
    words = [
        str(facts.get(key) or "")[:most] for key, most in (("name", 64), ("version", 32), ("weights", 12))
    ]
    text = f"{words[0] or 'a stage'} {words[1]}".strip()
    return shown(f"{text} (weights {words[2]})" if words[2] else text)


def _part(values: Mapping[str, object]) -> Part | None:
    split = _text(values, "split")
    if split not in {None, "train", "test"}:
        raise ValueError(f"split is {split!r:.80}; write train or test, or leave it empty")
    return cast(Part | None, split)


def _text(values: Mapping[str, object], column: str) -> str | None:
    value = values.get(column)
    if value is None or value == "":
        return None
    text = str(value)
    if isinstance(value, (dict, list, bool)) or not is_visible(text):
        raise ValueError(f"{column} is {value!r:.80}; write one line of text")
    return composed(text)


def _path(values: Mapping[str, object], column: str) -> str | None:
    """A relative path that stays in its folder, on any system. Raises ValueError for another."""
    value = values.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_visible(value):
        raise ValueError(f"{column} is {value!r:.80}, which is no path; write the file's path in this folder")
    if len(value) > LONGEST_PATH or any(len(part.encode()) > 255 for part in value.split("/")):
        raise ValueError(f"{column} is {value!r:.80}..., longer than a path can be; shorten the file's name")
    windows, parts = PureWindowsPath(value), PurePosixPath(value).parts
    if windows.drive or windows.root or ".." in windows.parts or not parts:
        raise ValueError(f"{column} is {value!r:.80}, which points outside the folder; move the file into it")
    return PurePosixPath(*windows.parts).as_posix() if "\\" in value else PurePosixPath(value).as_posix()


def _grade(value: object) -> int | None:
    if value is None or value == "":
        return None
    text = str(value).strip().removesuffix(".0")
    if isinstance(value, bool) or text not in {"0", "1", "2", "3", "4"}:
        raise ValueError(f"grade is {value!r:.80}; write 0 to 4, or leave it empty")
    return int(text)
