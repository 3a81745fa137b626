"""``log.jsonl``: one line of scalars now and then, cut back to the checkpoint when a training goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from retina_core.errors import StorageError
from retina_core.formats.atomic import write_text

LOG = "log.jsonl"


class TrainingLog:
    """The log of one stage's training."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG

    def cut(self, seen_images: int) -> None:
        """Forget what came after the checkpoint that the training goes on from."""
        kept = [row for row in read_log(self.path) if row["seen_images"] <= seen_images]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def append(self, row: Mapping[str, float]) -> None:
        """Add one line."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(row)) + "\n")
        except OSError as error:
            raise StorageError(self.path, error.strerror or str(error)) from error


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log; a last line that a kill cut short is left out."""
    rows = []
    if not path.exists():
        return []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "seen_images" in row:
            rows.append(row)
    return rows
