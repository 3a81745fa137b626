"""What an evaluator gives the report to draw: ``figures.json``.

Each figure is of one of the kinds below, so that the report can draw those of any evaluator. Pictures are
named by their path relative to the run folder. A picture that shows a real photograph is marked so; the
report leaves it out unless it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from retina_core.evaluation.reading import read_checked
from retina_core.formats.atomic import write_json

SCHEMA = 1


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    values: tuple[float | None, ...]
    """None leaves a gap."""


@dataclass(frozen=True)
class Curves:
    """Lines over a common x."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    series: tuple[Series, ...]
    caption: str = ""
    kind: Literal["curves"] = "curves"


@dataclass(frozen=True)
class Histogram:
    """Shares of bins, one outline per series."""

    title: str
    x_label: str
    edges: tuple[float, ...]
    """One more than each series has values."""
    series: tuple[Series, ...]
    caption: str = ""
    kind: Literal["histogram"] = "histogram"


@dataclass(frozen=True)
class Bar:
    """One value with its interval."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bars:
    """Values side by side, each with its interval."""

    title: str
    x_label: str
    bars: tuple[Bar, ...]
    caption: str = ""
    kind: Literal["bars"] = "bars"


@dataclass(frozen=True)
class BarSeries:
    """The values of one series, one for each group."""

    name: str
    bars: tuple[Bar, ...]
    """Each labelled as its group."""


@dataclass(frozen=True)
class Groups:
    """Series beside each other in groups along x, each value with its interval."""

    title: str
    x_label: str
    y_label: str
    series: tuple[BarSeries, ...]
    caption: str = ""
    kind: Literal["groups"] = "groups"


@dataclass(frozen=True)
class Confusion:
    """How often which of some ordered names was found for which."""

    title: str
    row_label: str
    """What the rows are, as ``asked grade``."""
    column_label: str
    """What the columns are, as ``predicted grade``."""
    names: tuple[str, ...]
    """Of the rows, and of the columns."""
    counts: tuple[tuple[int, ...], ...]
    """A tuple for each row, a number for each column."""
    caption: str = ""
    kind: Literal["confusion"] = "confusion"


@dataclass(frozen=True)
class Picture:
    """A label map, a photograph, or both side by side."""

    caption: str
    label: str | None = None
    """Path of a label map, relative to the run folder."""
    photo: str | None = None
    """Path of a photograph, relative to the run folder."""
    real: bool = False
    """Whether the photograph is a real one."""


@dataclass(frozen=True)
class Gallery:
    """Pictures in rows."""

    title: str
    pictures: tuple[Picture, ...]
    caption: str = ""
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True)
class NearestPair:
    """A generated label map beside the training map that it is nearest to."""

    generated: str
    """Path relative to the run folder."""
    nearest: str
    """Path relative to the run folder; a label map, no photograph."""
    distance: float
    """Dice distance in [0, 1]."""


@dataclass(frozen=True)
class NearestMaps:
    """Is each map drawn, or remembered?"""

    title: str
    pairs: tuple[NearestPair, ...]
    real_distances: tuple[float, ...] = ()
    """From each training map to its nearest other, for comparison."""
    caption: str = ""
    kind: Literal["nearest"] = "nearest"


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    caption: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Note:
    """A sentence that a reader must not miss."""

    text: str
    kind: Literal["note"] = "note"


Figure = Curves | Histogram | Bars | Groups | Confusion | Gallery | NearestMaps | Table | Note
_FIGURES: TypeAdapter[tuple[Figure, ...]] = TypeAdapter(
    tuple[Annotated[Figure, Field(discriminator="kind")], ...]
)


def write_figures(figures: Iterable[Figure], path: Path) -> None:
    """Write ``figures.json``, whole or not at all."""
    write_json(path, {"schema": SCHEMA, "figures": _FIGURES.dump_python(tuple(figures), mode="json")})


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Read ``figures.json``.

    Raises:
        RunFolderError: the file is missing, damaged, of another schema, or has a figure of an unknown kind.
    """
    return read_checked(path, _parse)


def _parse(value: Any) -> tuple[Figure, ...]:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"not figures of schema {SCHEMA}")
    return _FIGURES.validate_python(value.get("figures"))
