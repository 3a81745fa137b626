"""Where the samples of combined data sets come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """One of the data sets that were combined."""

    name: str
    reader: str
    root: Path | None
    samples: int
    citation: str
    licence: str
