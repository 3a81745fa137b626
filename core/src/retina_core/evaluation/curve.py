"""What a learning curve found, number of training eyes by number: ``curve.json`` and ``curve.csv``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from retina_core.evaluation.reading import read_checked
from retina_core.evaluation.shares import ChannelRow, SweepTable, SweptShare, rows_csv
from retina_core.formats.atomic import write_json, write_text

SCHEMA: Final = 1
JSON_NAME: Final = "curve.json"
CSV_NAME: Final = "curve.csv"


@dataclass(frozen=True)
class CurvePoint:
    """One number of training eyes, and what segmenters found that were trained on them, without and with pairs."""

    eyes: int
    """Training eyes; those of a smaller number are among them."""
    patients: int
    """Patients whose eyes they are."""
    ids: tuple[str, ...]
    """Their ids."""
    run: str
    """The run's folder, in that of the curve."""
    table: SweepTable
    """As in its ``sweep.json``; the differences are to share 0 at the same number of eyes."""


@dataclass(frozen=True)
class LearningCurve:
    """All that a learning curve found."""

    data: str
    """Name of the data set."""
    phantom: bool
    """Whether nothing here shows a real eye."""
    seed: int
    """What chose the eyes."""
    test_eyes: int
    """Eyes of the test part, the same for all."""
    points: tuple[CurvePoint, ...]

    @property
    def evaluator(self) -> str:
        """The segmenter that was trained."""
        return self.points[0].table.evaluator

    def rows(self, channel: str | None) -> Iterator[tuple[CurvePoint, SweptShare, ChannelRow]]:
        """Each point's shares, with the scores of one channel."""
        for point in self.points:
            for share in point.table.shares:
                for row in share.scores:
                    if row.channel == channel:
                        yield point, share, row

    @property
    def channels(self) -> tuple[str | None, ...]:
        """Those of the rows of any point, over all channels first."""
        return tuple(dict.fromkeys(channel for point in self.points for channel in point.table.channels))

    def write(self, folder: Path) -> None:
        """Write ``curve.json`` and ``curve.csv`` into a folder, each whole or not at all."""
        write_json(folder / JSON_NAME, self.to_json())
        rows = [((point.eyes, point.patients), point.table) for point in self.points]
        write_text(folder / CSV_NAME, rows_csv(rows, ("eyes", "patients")))

    def to_json(self) -> dict[str, Any]:
        """What ``curve.json`` holds."""
        return {"schema": SCHEMA, **_CURVE.dump_python(self, mode="json")}

    @classmethod
    def read(cls, folder: Path) -> LearningCurve:
        """The curve that a folder holds.

        Raises:
            RunFolderError: ``curve.json`` is missing, damaged or of another schema.
        """
        return read_checked(folder / JSON_NAME, _parsed)


def _parsed(value: Any) -> LearningCurve:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"not a learning curve of schema {SCHEMA}")
    curve = _CURVE.validate_python({key: part for key, part in value.items() if key != "schema"})
    if not curve.points or not all(point.table.shares for point in curve.points):
        raise ValueError("it holds no number of eyes, or one without scores")
    return curve


_CURVE: TypeAdapter[LearningCurve] = TypeAdapter(LearningCurve)
