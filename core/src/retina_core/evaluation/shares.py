"""What a sweep found, share by share: ``sweep.json`` and ``sweep.csv``, the table of Son et al. 2021 (figure 1c)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from retina_core.evaluation.reading import read_checked
from retina_core.formats.atomic import write_json, write_text

SCHEMA: Final = 1
JSON_NAME: Final = "sweep.json"
CSV_NAME: Final = "sweep.csv"
MEASURES: Final[Mapping[str, str]] = {"precision": "precision", "recall": "recall", "f1": "dice"}
"""What the table calls a measure -> its name in ``scores.json``; F1 is Dice."""

Budget = Literal["steps", "epochs"]


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval."""

    value: float | None
    """None where it is undefined."""
    low: float | None = None
    high: float | None = None

    @property
    def decided(self) -> bool:
        """Of a difference: whether the interval leaves out 0, so that it has a sign."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class ChannelRow:
    """One channel's scores at one share."""

    channel: str | None
    """None: over all channels, the pixels of all of them and of all test eyes pooled (micro-averaged)."""
    test_eyes: int
    """Test eyes that are annotated for it."""
    precision: Measured
    recall: Measured
    f1: Measured
    """Dice."""
    precision_difference: Measured | None = None
    """Less that of share 0, paired by eye and seed; None at share 0."""
    recall_difference: Measured | None = None
    """The same of recall."""
    f1_difference: Measured | None = None
    """The same of F1."""


@dataclass(frozen=True)
class SweptShare:
    """One share of synthetic pairs, and what segmenters that were trained on it found."""

    share: int
    """Synthetic pairs in what is trained on, in per cent."""
    synthetic: int
    """Synthetic pairs; those of a smaller share are among them."""
    real: int
    """Real photographs that are trained on."""
    seen_images: int
    """Length of each training."""
    steps: int
    """Optimizer steps of each training."""
    grades: dict[str, int]
    """Grade of retinopathy -> synthetic pairs that were asked to have it; empty where none was."""
    scores: tuple[ChannelRow, ...]
    """Over all channels first, where there are several."""


@dataclass(frozen=True)
class SweepTable:
    """All that a sweep found."""

    evaluator: str
    budget: Literal["steps", "epochs"]
    """``steps``: the same number for every share; ``epochs``: the same number of rounds, so that more pairs mean more."""
    epochs: int | None
    seeds: int
    """Trainings of each share, which scores are the means of."""
    shares: tuple[SweptShare, ...]

    @property
    def channels(self) -> tuple[str | None, ...]:
        """Those of the rows, over all of them first."""
        return tuple(row.channel for row in self.shares[0].scores)

    def column(self, channel: str | None, measure: str) -> list[Measured | None]:
        """One measure of a channel (``f1``, ``recall_difference``), share by share."""
        rows = [row for share in self.shares for row in share.scores if row.channel == channel]
        return [getattr(row, measure) for row in rows]

    def write(self, run: Path) -> None:
        """Write ``sweep.json`` and ``sweep.csv`` into the run folder, each whole or not at all."""
        write_json(run / JSON_NAME, self.to_json())
        write_text(run / CSV_NAME, rows_csv([((), self)]))

    def to_json(self) -> dict[str, Any]:
        """What ``sweep.json`` holds."""
        return {"schema": SCHEMA, **_TABLE.dump_python(self, mode="json")}

    @classmethod
    def read(cls, run: Path) -> SweepTable:
        """The table that a run folder holds.

        Raises:
            RunFolderError: ``sweep.json`` is missing, damaged or of another schema.
        """
        return read_checked(run / JSON_NAME, _parsed)


def rows_csv(tables: Iterable[tuple[Sequence[object], SweepTable]], before: Sequence[str] = ()) -> str:
    """Tables as rows, each after cells of its own, whose columns are called ``before``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    counts = ["share", "synthetic", "real", "seen_images", "steps"]
    names = [*MEASURES, *(f"{name}_difference" for name in MEASURES)]
    ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    writer.writerow([*before, *counts, "channel", "test_eyes", "seeds", *ends])
    for own, table in tables:
        for share in table.shares:
            for row in share.scores:
                numbers = [cell for name in names for cell in number_cells(getattr(row, name))]
                head = [getattr(share, name) for name in counts]
                writer.writerow([*own, *head, row.channel or "", row.test_eyes, table.seeds, *numbers])
    return text.getvalue()


def number_cells(measured: Measured | None) -> list[str]:
    """Value, low and high as cells of a table; empty where there is none."""
    ends = (measured.value, measured.low, measured.high) if measured else (None, None, None)
    return ["" if value is None else f"{value:.6f}" for value in ends]


def _parsed(value: Any) -> SweepTable:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"not a sweep of schema {SCHEMA}")
    table = _TABLE.validate_python({key: part for key, part in value.items() if key != "schema"})
    if not table.shares:
        raise ValueError("it holds no share")
    return table


_TABLE: TypeAdapter[SweepTable] = TypeAdapter(SweepTable)
