"""A synthetic set on disk: pairs of photograph and label maps with a row each, itself a data set.

    metadata.jsonl  seen.json  README.md  images/000000.png  labels/<channel>/000000.png  fov/000000.png

Hugging Face's ImageFolder reads it as it is (``file_name``, and ``<channel>_file_name`` beside it). While it is being
written the rows lie in ``.rows.jsonl``; ``metadata.jsonl`` appears when the set is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.errors import SampleSetError, StorageError
from retina_core.formats.atomic import replacing, write_json, write_text
from retina_core.formats.stage_card import SEEN, seen_facts
from retina_core.formats.strict_json import load_json, parse_json

METADATA, ROWS = "metadata.jsonl", ".rows.jsonl"
MOST_BYTES = 2**30
"""What is read of either: a million rows."""


@dataclass(frozen=True)
class SyntheticSample:
    """One pair as it is written."""

    index: int
    photo: NDArray[np.uint8]
    """(h w c)"""
    labels: Mapping[str, NDArray[np.uint8]]
    """Channel -> (h w), 0 or 255."""
    fov: NDArray[np.uint8]
    """(h w), 0 or 255."""
    facts: Mapping[str, Any]
    """Further columns: seed, attempt, grade, style, stages."""


class SampleSetWriter:
    """Writes a synthetic set, and goes on with one that was begun by the same request."""

    def __init__(self, folder: Path, request: str) -> None:
        self.folder, self.request = folder, request
        self.rows: dict[int, dict[str, Any]] = {}
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether the set is finished."""
        return (self.folder / METADATA).exists()

    def _begin(self) -> None:
        begun = self.folder / ROWS
        if self.complete:
            if _request_of(self.folder) != self.request:
                raise SampleSetError(self.folder, "it holds pairs of another request; choose another --out")
            self.rows = {int(row["index"]): row for row in read_rows(self.folder)}
            begun.unlink(missing_ok=True)  # a kill may have come between the last two steps of finish
            return
        if begun.exists() and _request_of(self.folder) == self.request:
            self.rows = {int(row["index"]): row for row in _parse(begun)}
        elif self.folder.exists() and any(p for p in self.folder.iterdir() if p.name not in (".lock", SEEN)):
            raise SampleSetError(self.folder, "the folder is not empty; choose another --out")
        write_json(self.folder / SEEN, {"schema": 1, "fingerprints": [], "request": self.request})
        write_text(begun, "".join(json.dumps(row) + "\n" for row in self.rows.values()))

    def write(self, sample: SyntheticSample) -> dict[str, Any]:
        """Write one pair's pictures, then its row."""
        name = f"{sample.index:06d}.png"
        row: dict[str, Any] = {"file_name": f"images/{name}"}
        _write_png(sample.photo, self.folder / row["file_name"])
        for channel, label in sample.labels.items():
            row[f"{channel}_file_name"] = f"labels/{channel}/{name}"
            _write_png(label, self.folder / f"labels/{channel}/{name}")
        row["fov_file_name"] = f"fov/{name}"
        _write_png(sample.fov, self.folder / f"fov/{name}")
        row |= {"index": sample.index, **sample.facts}
        self._append(row)
        self.rows[sample.index] = row
        return row

    def _append(self, row: Mapping[str, Any]) -> None:
        path = self.folder / ROWS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise StorageError(path, error.strerror or str(error)) from error

    def finish(self, seen: Sequence[str], card: str, signatures: Mapping[str, str] | None = None) -> None:
        """Write what makes it a set: what was seen, the card, and last the metadata."""
        write_json(self.folder / SEEN, {**seen_facts(seen, signatures), "request": self.request})
        write_text(self.folder / "README.md", card)
        rows = [self.rows[index] for index in sorted(self.rows)]
        write_text(self.folder / METADATA, "".join(json.dumps(row) + "\n" for row in rows))
        (self.folder / ROWS).unlink(missing_ok=True)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a complete set, in order.

    Raises:
        SampleSetError: there is no such set, or its table is damaged.
    """
    if not os.path.isfile(folder / METADATA):
        raise SampleSetError(folder, f"there is no {METADATA}, so the set is not complete")
    return _parse(folder / METADATA, strict=True)


def _parse(path: Path, *, strict: bool = False) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines; one that a kill cut short is left out, and drawn again."""
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            rows.append(_row(line))
        except ValueError as error:
            if strict:
                raise SampleSetError(path.parent, f"{path.name} line {number} is damaged ({error})") from None
    return rows


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SampleSetError(path.parent, f"{path.name} is larger than {MOST_BYTES // 2**30} GiB")
        content = path.read_bytes()
    except OSError as error:
        raise SampleSetError(path.parent, f"{path.name} cannot be read ({error.strerror})") from None
    return content.decode("utf-8", "replace").splitlines()


def _row(line: str) -> dict[str, Any]:
    row = parse_json(line)
    index = row.get("index") if isinstance(row, dict) else None
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ValueError("it is no row with an index")
    return dict(row)


def _request_of(folder: Path) -> str:
    try:
        return str(load_json(folder / SEEN)["request"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    with replacing(path) as temporary:
        # Level 1: a third of the time of the default for a tenth more bytes.
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
