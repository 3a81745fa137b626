"""How many draws the filters refused, from the rows of a synthetic set: of the first draws, and of the pairs kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from retina_core.anatomy_filter import kind_of, kinds_of, unchecked
from retina_core.errors import SampleSetError
from retina_core.evaluation.figures import Table
from retina_core.evaluation.scores import Score
from retina_core.formats.sample_set import read_rows

OWN = "anatomy"
"""The filter whose reasons are told apart by kind; those of any other are one kind."""

Reason = tuple[str, str | None]
"""Kind and channel: ``("several", "optic_disc")``; of another filter ``("by_<its name>", None)``."""

WORDS = {
    "missing": "none",
    "several": "several pieces",
    "outside": "outside the field of view",
    "unrooted": "no vessel reaches it",
}


@dataclass(frozen=True)
class Refusals:
    """What was refused in one set. Filters give the first reason that they find, so that a draw counts once."""

    pairs: int
    first: Counter[Reason]
    """Of the first draws: what a generator does by itself."""
    kept: Counter[Reason]
    """Of the pairs in the set: what drawing again left over."""
    looked_for: Sequence[Reason]
    """What could have been found, in order."""
    unchecked: str
    """What was not looked at for want of vessels."""

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Self | None:
        """The refusals of a set's rows; None where no filter looked at them, or they are no synthetic pairs."""
        told = [row for row in rows if _is_told(row)]
        if not told:
            return None
        first = Counter(_reason(row["refused"][0]) for row in told if row["refused"])
        kept = Counter(_reason(row["refused"][-1]) for row in told if len(row["refused"]) > row["attempt"])
        channels = [key.removesuffix("_file_name") for key in told[0] if key.endswith("_file_name")]
        finder, own = bool(told[0].get("vessels_stage")), OWN in told[0].get("filters", [OWN])
        missing = unchecked(channels, finder=finder) if own else ""
        looked: list[Reason] = [
            one for one in kinds_of(channels) if own and not (missing and "unrooted" in one)
        ]
        found = sorted({*first, *kept} - set(looked), key=str)
        return cls(len(told), first, kept, [*looked, *found], missing)

    def scores(self) -> Iterator[Score]:
        """``refused_first`` and ``refused_kept``, shares in [0, 1], in all and by kind and channel.

        Without a value where it could not be looked at.
        """
        for when, counts in (("first", self.first), ("kept", self.kept)):
            yield _share(f"refused_{when}", None, counts.total() / self.pairs)
            for reason in self.looked_for:
                yield _share(f"refused_{when}_{reason[0]}", reason[1], counts[reason] / self.pairs)
            if self.unchecked:
                yield _share(f"refused_{when}_unrooted", "optic_disc", None)

    def table(self) -> Table:
        """The shares as the report shows them."""
        rows = [("in all", self._percent(self.first.total()), self._percent(self.kept.total()))]
        rows += [
            (_said(reason), self._percent(self.first[reason]), self._percent(self.kept[reason]))
            for reason in self.looked_for
        ]
        if self.unchecked:
            rows.append((_said(("unrooted", "optic_disc")), "not checked", "not checked"))
        caption = (
            "Share of pairs whose first draw a filter refused, and of those kept though the last draw was refused too. A "
            "draw counts once, for the first reason found."
        )
        if self.unchecked:
            caption += f" {self.unchecked[0].upper()}{self.unchecked[1:]}."
        return Table(
            title="What the filters refused",
            columns=("reason", "first draws", "pairs kept"),
            rows=tuple(rows),
            caption=caption,
        )

    def _percent(self, count: int) -> str:
        return f"{100 * count / self.pairs:.1f} %"


def read_refusals(folder: Path | None) -> Refusals | None:
    """The refusals of the synthetic set in a folder; None for any other data set.

    ``folder``: None where the data set lies in none.
    """
    try:
        return Refusals.of(read_rows(folder)) if folder is not None else None
    except SampleSetError:  # a table of another kind
        return None


def _is_told(row: Mapping[str, Any]) -> bool:
    """Whether a row says how often its pair was drawn, and filters looked at it."""
    refused, attempt = row.get("refused"), row.get("attempt")
    texts = isinstance(refused, list) and all(isinstance(reason, str) for reason in refused)
    return texts and isinstance(attempt, int) and row.get("filters", [OWN]) != []


def _reason(text: str) -> Reason:
    name, _, said = text.partition(": ")
    found = kind_of(said) if name == OWN else None
    return found or (f"by_{re.sub('[^a-z0-9]+', '_', name.lower())}", None)


def _said(reason: Reason) -> str:
    kind, channel = reason
    if channel is None:
        return f"refused {kind.replace('_', ' ')}"
    return f"{channel.replace('_', ' ')}: {WORDS.get(kind, kind)}"


def _share(name: str, channel: str | None, value: float | None) -> Score:
    return Score(name, None, channel, value, seeds=0, better="lower")
