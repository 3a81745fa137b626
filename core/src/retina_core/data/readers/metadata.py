"""The table ``metadata.jsonl`` or ``.csv`` of our own layout, which Hugging Face's ImageFolder reads too."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, NamedTuple, TextIO

from retina_core.data.sample import Part

TABLES: Final = ("metadata.jsonl", "metadata.csv")

_PHOTO: Final = "file_name"
_FOV: Final = "fov_file_name"
_ENDING: Final = "_file_name"


class Row(NamedTuple):
    """What the table says of one photograph; paths are relative to the table's folder and stay in it."""

    where: str
    """The table and line, for messages."""
    photo: str
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


def read_metadata(folder: Path, problems: list[str]) -> list[Row] | None:
    """The rows of the folder's table, None if it has none; a row of no use is a line in ``problems``."""
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is None:
        return None
    rows: list[Row] = []
    seen: dict[str, str] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for where, values in _lines(table, file, problems):
                try:
                    row = _row(where, values)
                except ValueError as error:
                    problems.append(f"{where}: {error}")
                    continue
                first = seen.setdefault(row.photo, where)
                if first == where:
                    rows.append(row)
                else:
                    problems.append(f"{where}: names {row.photo} again, after {first}; leave one out")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{table.name}: cannot be read ({error}); save it as UTF-8 text")
    return rows


def _lines(table: Path, file: TextIO, problems: list[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    if table.suffix == ".csv":
        reader = csv.DictReader(file, skipinitialspace=True)
        for values in reader:
            yield f"{table.name} line {reader.line_num}", {str(k).strip(): v for k, v in values.items()}
        return
    for number, line in enumerate(file, start=1):
        where = f"{table.name} line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            problems.append(f"{where}: is not JSON; write one object per line")
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
    labels = {column.removesuffix(_ENDING): path for column, path in paths.items() if path is not None}
    split = _text(values, "split")
    return Row(
        where,
        photo,
        labels,
        _path(values, _FOV),
        _grade(values.get("grade")),
        _text(values, "patient"),
        _text(values, "group"),
        "train" if split == "train" else "test" if split == "test" else None,
        values.get("phantom") in (True, "true", "True"),
    )


def _text(values: Mapping[str, object], column: str) -> str | None:
    value = values.get(column)
    return None if value is None or value == "" else str(value)


def _path(values: Mapping[str, object], column: str) -> str | None:
    """A relative path that stays in its folder, on any system. Raises ValueError for another."""
    value = values.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{column} is {value!r:.80}, which is no path; write the file's path in this folder")
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
