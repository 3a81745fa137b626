"""How a pipeline ends: what the pairs are worth in a few lines, and where everything lies; the report has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retina_cli.console import print_line, print_table

if TYPE_CHECKING:
    from retina_cli.report.run_folder import RunContents
    from retina_core.evaluation.scores import Scores

NONE = "–"


def print_ending(run: Path, report: Path) -> None:
    """Print a finished run: Dice of each evaluator's regimes, the pairs, what filters refused, the report, whose eyes."""
    from retina_cli.report.run_folder import entries, read_run
    from retina_cli.report.words import counted

    contents = read_run(run)
    eyes = counted(len(entries(contents.facts, "test")), _kind(contents))
    for evaluation in contents.evaluations:
        if evaluation.scores and (rows := dice_rows(evaluation.scores, contents)):
            channels = [(channel or "all").replace("_", " ") for channel in _channels(evaluation.scores)]
            head = f"{evaluation.name} trained on"
            print_line(f"Dice on {eyes} {_origin(contents)}:")
            print_table([head, *channels], rows)
            print_line()
    print_line(f"pairs   {run / 'synthetic'} ({len(contents.pairs)})")
    if refused := refused_words(contents):
        print_line(f"        {refused}")
    print_report(report, phantom=bool(contents.facts.get("phantom")))


def print_report(report: Path, *, phantom: bool) -> None:
    """The last lines of every command that ends with a report: where it lies, and whose eyes it is about."""
    print_line(f"report  {report}")
    if phantom:
        print_line("These are phantoms, which an algorithm draws: no real eye was used.")


def dice_rows(scores: Scores, contents: RunContents) -> list[list[str]]:
    """A row for each regime, then SYNTH as a share of REAL: what it is, and a number for each channel."""
    from retina_cli.report.run_folder import entries

    train, pairs = len(entries(contents.facts, "train")), len(contents.pairs)
    meanings = {"REAL": f" ({train} {_kind(contents)}s)", "SYNTH": f" ({pairs} synthetic pairs)"}
    channels = _channels(scores)
    regimes = dict.fromkeys(
        s.regime for s in scores.scores if s.regime and s.name == "dice" and not s.reference
    )
    rows = [
        [f"{regime}{meanings.get(regime, '')}", *(_dice(scores, regime, channel) for channel in channels)]
        for regime in regimes
    ]
    if {"REAL", "SYNTH"} <= set(regimes):
        rows.append(["SYNTH as share of REAL", *(_share(scores, channel) for channel in channels)])
    return rows


def refused_words(contents: RunContents) -> str:
    """What the filters refused, before drawing again and after; empty where none looked."""
    from retina_core.evaluation.refusals import Refusals

    if (found := Refusals.of(contents.pairs)) is None:
        return ""
    first, kept = (counts.total() / found.pairs for counts in (found.first, found.kept))
    return (
        f"filters refused {100 * first:.1f} % of first draws, and {100 * kept:.1f} % of those that are kept"
    )


def _kind(contents: RunContents) -> str:
    return "phantom" if contents.facts.get("phantom") else "photograph"


def _origin(contents: RunContents) -> str:
    """Where test eyes come from."""
    elsewhere = contents.facts.get("tested_on")
    return f"of {elsewhere}" if elsewhere else "kept back"


def _channels(scores: Scores) -> list[str | None]:
    return list(dict.fromkeys(s.channel for s in scores.scores if s.regime and s.name == "dice"))


def _value(scores: Scores, regime: str, channel: str | None) -> float | None:
    found = scores.find("dice", regime, channel)
    return found.value if found else None


def _dice(scores: Scores, regime: str, channel: str | None) -> str:
    value = _value(scores, regime, channel)
    return NONE if value is None else f"{value:.3f}"


def _share(scores: Scores, channel: str | None) -> str:
    real, synth = _value(scores, "REAL", channel), _value(scores, "SYNTH", channel)
    return NONE if not real or synth is None else f"{100 * synth / real:.0f} %"
