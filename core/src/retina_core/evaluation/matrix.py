"""What was found in each data set by segmenters that were trained on each: ``transfer.json`` and ``transfer.csv``."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from retina_core.evaluation.reading import read_checked
from retina_core.evaluation.scores import Scores
from retina_core.evaluation.share_rows import measured_of
from retina_core.evaluation.shares import Measured, number_cells
from retina_core.formats.atomic import write_json, write_text

SCHEMA: Final = 1
JSON_NAME: Final = "transfer.json"
CSV_NAME: Final = "transfer.csv"
MEASURES: Final = ("dice", "auc_roc", "auc_pr", "cldice")


@dataclass(frozen=True)
class TransferSet:
    """One of the data sets."""

    name: str
    """Its folder's name; of several that share one, all but the first are numbered."""
    run: str
    """Folder of the run that was trained on it, in that of the matrix."""
    train_eyes: int
    """Eyes that stages and segmenters learnt from."""
    test_eyes: int
    """Eyes of its test part, on which all were tested."""


@dataclass(frozen=True)
class TransferCell:
    """What segmenters found in the test part of one data set that were trained on one."""

    train: str
    """Name of the data set that was trained on."""
    test: str
    """Name of the data set that was tested on."""
    regime: str
    """``REAL``: trained on its photographs; ``SYNTH``: on pairs of stages that learnt from these."""
    channel: str
    """The label channel."""
    dice: Measured
    """Over all pixels of the test eyes, the mean of the trainings."""
    auc_roc: Measured
    """The same of the area under the curve of sensitivity by specificity."""
    auc_pr: Measured
    """The same of that of precision by recall."""
    cldice: Measured | None
    """The same of clDice; null for a channel that is no tree."""
    dice_difference: Measured | None
    """Dice less that of REAL, trained on the same data set, paired by eye and training; null for REAL."""


@dataclass(frozen=True)
class Transfer:
    """All that was found."""

    evaluator: str
    seeds: int
    """Trainings of each, which scores are the means of."""
    phantom: bool
    """Whether nothing here shows a real eye."""
    sets: tuple[TransferSet, ...]
    """In the order in which they were named."""
    cells: tuple[TransferCell, ...]

    @property
    def tables(self) -> tuple[tuple[str, str], ...]:
        """Regime and channel of each matrix."""
        return tuple(dict.fromkeys((cell.regime, cell.channel) for cell in self.cells))

    def cell(self, train: str, test: str, regime: str, channel: str) -> TransferCell | None:
        """One cell; None where the data sets do not share the channel."""
        wanted = (train, test, regime, channel)
        return next(
            (one for one in self.cells if (one.train, one.test, one.regime, one.channel) == wanted), None
        )

    def write(self, folder: Path) -> None:
        """Write ``transfer.json`` and ``transfer.csv`` into a folder, each whole or not at all."""
        write_json(folder / JSON_NAME, self.to_json())
        write_text(folder / CSV_NAME, self._csv())

    def to_json(self) -> dict[str, Any]:
        """What ``transfer.json`` holds."""
        return {"schema": SCHEMA, **_TRANSFER.dump_python(self, mode="json")}

    @classmethod
    def read(cls, folder: Path) -> Transfer:
        """The matrix that a folder holds.

        Raises:
            RunFolderError: ``transfer.json`` is missing, damaged or of another schema.
        """
        return read_checked(folder / JSON_NAME, _parsed)

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [*MEASURES, "dice_difference"]
        ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
        writer.writerow(["train", "test", "regime", "channel", "train_eyes", "test_eyes", "seeds", *ends])
        eyes = {one.name: one for one in self.sets}
        for cell in self.cells:
            counts = [eyes[cell.train].train_eyes, eyes[cell.test].test_eyes, self.seeds]
            numbers = [text for name in names for text in number_cells(getattr(cell, name))]
            writer.writerow([cell.train, cell.test, cell.regime, cell.channel, *counts, *numbers])
        return text.getvalue()


def cells_of(train: str, test: str, scores: Scores) -> list[TransferCell]:
    """The cells that one evaluation gives."""
    found = dict.fromkeys(
        (score.regime, score.channel) for score in scores.scores if score.regime and score.channel
    )
    return [_cell(train, test, regime, channel, scores) for regime, channel in found if regime and channel]


def _cell(train: str, test: str, regime: str, channel: str, scores: Scores) -> TransferCell:
    nothing = Measured(None)
    return TransferCell(
        train,
        test,
        regime,
        channel,
        measured_of(scores, "dice", regime, channel) or nothing,
        measured_of(scores, "auc_roc", regime, channel) or nothing,
        measured_of(scores, "auc_pr", regime, channel) or nothing,
        measured_of(scores, "cldice", regime, channel),
        measured_of(scores, "dice_difference", regime, channel),
    )


def _parsed(value: Any) -> Transfer:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"not a matrix of schema {SCHEMA}")
    found = _TRANSFER.validate_python({key: part for key, part in value.items() if key != "schema"})
    if not found.sets or not found.cells:
        raise ValueError("it holds no scores")
    return found


_TRANSFER: TypeAdapter[Transfer] = TypeAdapter(Transfer)
