"""A synthetic set on disk: pairs of photograph and label maps with a row each, itself a data set.

    metadata.jsonl  seen.json  README.md  images/000000.png  labels/<channel>/000000.png  fov/000000.png

Hugging Face's ImageFolder reads it as it is (``file_name``, and ``<channel>_file_name`` beside it). While it is being
written the rows lie in ``.rows.jsonl``; ``metadata.jsonl`` appears when the set is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.errors import SampleSetError, StorageError
from retina_core.formats.atomic import replacing, write_json, write_text
from retina_core.formats.stage_card import SEEN

METADATA, ROWS = "metadata.jsonl", ".rows.jsonl"


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

    def finish(self, seen: Sequence[str], card: str) -> None:
        """Write what makes it a set: what was seen, the card, and last the metadata."""
        write_json(
            self.folder / SEEN, {"schema": 1, "fingerprints": sorted(set(seen)), "request": self.request}
        )
        write_text(self.folder / "README.md", card)
        rows = [self.rows[index] for index in sorted(self.rows)]
        write_text(self.folder / METADATA, "".join(json.dumps(row) + "\n" for row in rows))
        (self.folder / ROWS).unlink(missing_ok=True)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a complete set, in order.

    Raises:
        SampleSetError: there is no such set.
    """
    if not (folder / METADATA).exists():
        raise SampleSetError(folder, f"there is no {METADATA}, so the set is not complete")
    return _parse(folder / METADATA)


def _parse(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines; a last line that a kill cut short is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row.get("index"), int):
            rows.append(row)
    return rows


def _request_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / SEEN).read_text(encoding="utf-8"))["request"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    with replacing(path) as temporary:
        # Level 1: a third of the time of the default for a tenth more bytes.
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
