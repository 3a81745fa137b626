"""What an evaluator found: ``scores.json``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from retina_core.evaluation.reading import read_checked
from retina_core.formats.atomic import write_json

SCHEMA = 1
_REGIME = re.compile(r"REAL|SYNTH|BOTH|FINETUNE|MIX\([1-9][0-9]?\)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Score:
    """One number, with its interval and what it was measured on."""

    name: str
    """In lower case: ``dice``, ``auc_roc``, ``kl``, ..."""
    regime: str | None
    """What the segmenter was trained on: ``REAL``, ``SYNTH``, ``BOTH``, ``MIX(50)``, ``FINETUNE``; None: on nothing."""
    channel: str | None
    """The label channel; None: over all of them."""
    value: float | None
    """None where it is undefined, such as the recall of a structure that no test eye has."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    seeds: int = 1
    """Trainings that the value is the mean of; 0 where nothing was trained."""
    better: Literal["higher", "lower"] = "higher"
    reference: str | None = None
    """The yardstick that this row is, as ``second observer`` or ``ceiling at 256 px``; None: an own score."""
    grade: int | None = None
    """The grade of retinopathy that the row is of, 0 to 4; the key is left out where it is of none."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a score's name is in lower case, not {self.name!r}")
        if self.regime is not None and not _REGIME.fullmatch(self.regime):
            raise ValueError(f"a regime is REAL, SYNTH, BOTH, MIX(p) or FINETUNE, not {self.regime!r}")


@dataclass(frozen=True)
class Scores:
    """All that one evaluator found."""

    evaluator: str
    scores: tuple[Score, ...]
    protocol: str | None = None
    """The paper's protocol that was followed; the key is left out where it was the core's own."""

    def find(
        self, name: str, regime: str | None = None, channel: str | None = None, grade: int | None = None
    ) -> Score | None:
        """The stage's own score (no reference) of this name, regime, channel and grade, or None."""
        own = (s for s in self.scores if s.reference is None)
        wanted = (name, regime, channel, grade)
        return next((s for s in own if (s.name, s.regime, s.channel, s.grade) == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """What ``scores.json`` holds."""
        value = {"schema": SCHEMA, **_SCORES.dump_python(self, mode="json")}
        for score in value["scores"]:
            if score["grade"] is None:  # most evaluators know no grades
                del score["grade"]
        if value["protocol"] is None:
            del value["protocol"]
        return value

    @classmethod
    def from_json(cls, value: Any) -> Scores:
        """Scores from what ``to_json`` gave.

        Raises:
            ValueError: it is not of this form, or of a newer schema.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise ValueError(f"not scores of schema {SCHEMA}")
        return _SCORES.validate_python({key: part for key, part in value.items() if key != "schema"})

    def write(self, path: Path) -> None:
        """Write ``scores.json``, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Scores:
        """Read ``scores.json``.

        Raises:
            RunFolderError: the file is missing, damaged or of another schema.
        """
        return read_checked(path, cls.from_json)


_SCORES = TypeAdapter(Scores)
