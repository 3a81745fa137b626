"""The report's sections as the template wants them: text, tables, charts and addresses of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from retina_cli.report import charts
from retina_cli.report.galleries import NearestShown, Shown, gallery, nearest_maps
from retina_cli.report.run_folder import Evaluation, Facts, LogRows, RunContents, entries, made_by, section
from retina_cli.report.score_tables import ScoreTable, ceilings, measures, score_tables
from retina_cli.report.words import (
    NONE,
    by_protocol,
    counted,
    duration,
    findings,
    listed,
    number,
    people,
    regime_meanings,
    spoken,
)
from retina_core.evaluation.figures import (
    Bar,
    Bars,
    Confusion,
    Curves,
    Figure,
    Gallery,
    Groups,
    Histogram,
    NearestMaps,
    Note,
    Series,
    Table,
)
from retina_core.evaluation.scores import Scores

MAKERS = {
    "labels": "Label generator",
    "translator": "Image translator",
    "pairs": "Pair generator",
}
"""What the stage of each prefix is called."""
_NOT_LOSSES = ("seen_images", "images_per_second", "wall_seconds", "resolution")


@dataclass(frozen=True)
class Drawn:
    """One figure, ready to be shown."""

    kind: str
    title: str = ""
    caption: str = ""
    svg: Markup = field(default_factory=Markup)
    pictures: Sequence[Shown] = ()
    maps: Sequence[NearestShown] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class EvaluationSection:
    """One evaluator's part."""

    name: str
    findings: Sequence[str]
    tables: Sequence[ScoreTable]
    measures: ScoreTable | None
    limits: Sequence[str]
    regimes: Sequence[tuple[str, str]]
    """Regime and what it means."""
    figures: Sequence[Drawn]
    protocol: str
    """What is said of the protocol; empty where it is the core's own."""


@dataclass(frozen=True)
class Step:
    """One step of the pipeline."""

    name: str
    status: str
    time: str
    share: float
    """Of the longest step's time, in per cent."""


def evaluation_sections(contents: RunContents, *, with_real: bool) -> list[EvaluationSection]:
    """What each evaluator found; those that trained on regimes come first."""
    parts = [_evaluation(evaluation, contents, with_real=with_real) for evaluation in contents.evaluations]
    return sorted(parts, key=lambda part: not part.tables)


def _evaluation(evaluation: Evaluation, contents: RunContents, *, with_real: bool) -> EvaluationSection:
    phantom = bool(contents.facts.get("phantom"))
    scores = evaluation.scores or Scores(evaluation.name, ())
    return EvaluationSection(
        evaluation.name,
        findings(scores, phantom=phantom),
        score_tables(scores),
        measures(scores),
        ceilings(scores),
        regime_meanings(scores, phantom=phantom),
        [
            *_dice_charts(scores),
            *_own_figures(evaluation.figures, contents.folder, with_real=with_real, phantom=phantom),
            *_training_charts(evaluation.logs),
        ],
        by_protocol(scores),
    )


def training_charts(contents: RunContents) -> list[tuple[str, list[Drawn]]]:
    """The curves of each stage, a chart for each loss."""
    request = section(contents.run, "request")
    return [
        (f"{spoken(stage)}: {request.get(stage, stage)}", list(_loss_charts(rows)))
        for stage, rows in contents.logs.items()
    ]


def steps(contents: RunContents) -> list[Step]:
    """What was done when, with the time that each step took."""
    found = section(contents.run, "steps")
    seconds = {name: _seconds(section(found, name)) for name in found}
    longest = max(seconds.values(), default=0.0) or 1.0
    return [
        Step(
            name.replace("evaluation/", "evaluation: "),
            str(section(found, name).get("status", NONE)),
            duration(seconds[name]),
            100 * seconds[name] / longest,
        )
        for name in found
    ]


def data_rows(contents: RunContents) -> list[tuple[str, str]]:
    """The data and its split."""
    facts = contents.facts
    rows = [
        ("Name", str(facts.get("name", NONE))),
        ("Layout", str(facts.get("reader", NONE))),
        ("Channels", listed(spoken(str(channel)) for channel in entries(facts, "channels")) or NONE),
    ]
    for title, part in (("Training part", "train"), ("Test part", "test")):
        samples = entries(facts, part)
        rows.append(
            (title, f"{counted(len(samples), 'photograph')} of {counted(people(samples), 'patient')}")
        )
    ids = [str(sample.get("id")) for sample in entries(facts, "test") if isinstance(sample, dict)]
    rows.append(("Test photographs", ", ".join(ids[:40]) + (" …" if len(ids) > 40 else "") or NONE))
    rows += [
        (title, str(facts[key]))
        for title, key in (("Citation", "citation"), ("Licence", "licence"))
        if facts.get(key)
    ]
    return rows + [("Note", str(note)) for note in entries(facts, "notes")]


def run_rows(contents: RunContents) -> list[tuple[str, str]]:
    """The request and the machine."""
    run, request = contents.run, section(contents.run, "request")
    versions = section(run, "versions")
    return [
        *((MAKERS[stage], str(request.get(stage, NONE))) for stage in made_by(run)),
        ("Evaluators", listed(entries(request, "evaluators")) or "none"),
        ("Data", _data_names(request)),
        ("Preset", str(run.get("preset") or request.get("preset") or NONE)),
        ("Seed", str(run.get("seed", request.get("seed", NONE)))),
        ("Pairs made", f"{len(contents.pairs):,}"),
        ("Device", f"{run.get('device', NONE)}, {run.get('precision', NONE)}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or NONE),
    ]


def settings(contents: RunContents) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Each stage's settings: key, value, and whether the request set it."""
    asked = section(section(contents.run, "request"), "settings")
    configs = section(contents.run, "configs")
    return [
        (
            prefix,
            [
                (key, _written(value), key in section(asked, prefix))
                for key, value in section(configs, prefix).items()
            ],
        )
        for prefix in configs
    ]


def _seconds(step: Facts) -> float:
    value = step.get("wall_seconds")
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 1e9 else 0.0


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NONE
    return str(value)


def _dice_charts(scores: Scores) -> Iterator[Drawn]:
    """Dice of each regime with its interval, and the yardsticks as lines."""
    for channel in dict.fromkeys(s.channel for s in scores.scores if s.name == "dice" and s.regime):
        mine = [s for s in scores.scores if (s.name, s.channel) == ("dice", channel)]
        dots = tuple(Bar(str(s.regime), s.value, s.low, s.high) for s in mine if s.regime and not s.reference)
        lines = [(str(s.reference), s.value) for s in mine if s.reference and s.value is not None]
        title = f"Dice, {spoken(channel)}" if channel else "Dice"
        yield Drawn(
            "chart",
            title,
            "Dots: over all test pixels. Bars: 95 % interval over patients and trainings. Dashed: yardsticks.",
            charts.bars(Bars(title, "Dice", dots), lines),
        )


def _own_figures(
    figures: Sequence[Figure], folder: Path, *, with_real: bool, phantom: bool
) -> Iterator[Drawn]:
    for figure in figures:
        if isinstance(figure, Note):
            yield Drawn("note", caption=figure.text)
        elif isinstance(figure, charts.Chart):
            yield Drawn("chart", figure.title, figure.caption, _chart(figure))
        elif isinstance(figure, Gallery):
            shown, hidden = gallery(figure, folder, with_real=with_real)
            left_out = f" {counted(hidden, 'real photograph')} left out." if hidden else ""
            yield Drawn("gallery", figure.title, figure.caption + left_out, pictures=shown)
        elif isinstance(figure, NearestMaps):
            maps, compared = nearest_maps(figure, folder, with_training=with_real or phantom)
            yield Drawn("nearest", figure.title, f"{figure.caption} {compared}", maps=maps)
        elif isinstance(figure, Table):
            rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in figure.rows]
            yield Drawn("table", figure.title, figure.caption, columns=figure.columns, rows=rows)


def _chart(figure: charts.Chart) -> Markup:
    if isinstance(figure, Curves):
        return charts.curves(figure)
    if isinstance(figure, Histogram):
        return charts.histogram(figure)
    if isinstance(figure, Groups):
        return charts.groups(figure)
    return charts.confusion(figure) if isinstance(figure, Confusion) else charts.bars(figure)


def _loss_charts(rows: LogRows) -> Iterator[Drawn]:
    """The two players of a GAN in one chart, each other scalar in its own."""
    keys = dict.fromkeys(key for row in rows for key in row)
    losses = [key for key in keys if key not in _NOT_LOSSES and not key.startswith("learning_rate")]
    players = [key for key in ("d", "g") if key in losses]
    groups = ([players] if players else []) + [[key] for key in losses if key not in players]
    for group in groups:
        title = " and ".join({"d": "discriminator", "g": "generator"}.get(key, spoken(key)) for key in group)
        yield _curves(title, {{"d": "discriminator", "g": "generator"}.get(k, k): (rows, k) for k in group})


def _training_charts(logs: Mapping[str, LogRows]) -> Iterator[Drawn]:
    """The trainings of a segmenter together in one chart for each loss."""
    keys = dict.fromkeys(key for rows in logs.values() for row in rows for key in row)
    for key in keys:
        if key not in _NOT_LOSSES and not key.startswith("learning_rate"):
            yield _curves(f"Training: {spoken(key)}", {name: (rows, key) for name, rows in logs.items()})


def _curves(title: str, lines: Mapping[str, tuple[LogRows, str]]) -> Drawn:
    """A chart of scalars over seen images; trainings that logged at other points leave gaps there."""
    x = sorted({row["seen_images"] for rows, key in lines.values() for row in rows if key in row})
    series = []
    for name, (rows, key) in lines.items():
        found = {row["seen_images"]: row[key] for row in rows if key in row}
        series.append(Series(name, tuple(found.get(place) for place in x)))
    figure = Curves(title, "seen images", "", tuple(x), tuple(series))
    return Drawn("chart", title, svg=charts.curves(figure))


def _data_names(request: Facts) -> str:
    """What the data's folders are called; where they lie on this machine stays here."""
    found = request.get("data", NONE)
    return ", ".join(Path(str(one)).name for one in (found if isinstance(found, list) else [found]))
