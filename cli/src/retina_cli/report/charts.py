"""Charts as inline SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from retina_core.evaluation.figures import Bar, Bars, Confusion, Curves, Groups, Histogram

Chart = Curves | Histogram | Bars | Groups | Confusion

_SERIES = ("#a10001", "#a10002", "#a10003", "#a10004", "#a10005", "#a10006")
_INK, _RULE, _TEXT = "#a10010", "#a10011", "#a10012"
_VARIABLES = {colour: f"var(--series-{place})" for place, colour in enumerate(_SERIES, start=1)}
_VARIABLES |= {_INK: "var(--soft)", _RULE: "var(--rule)", _TEXT: "var(--ink)"}
"""Colours that no chart shows: each stands for a variable of the page's style sheet."""

_STYLE: Any = {  # matplotlib's type for this is a list of all its 400 keys
    "axes.edgecolor": _RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": _INK,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": _RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "xtick.major.size": 0,
    "ytick.color": _INK,
    "ytick.major.size": 0,
}
POINTS = 300
"""Points of a line at most; longer logs are averaged in as many buckets."""
GROUP_WIDTH = 0.56
"""How far the series of a group are spread, where groups are 1 apart."""
MOST_LETTERS = 44
"""Of all groups' names together, in one line below a chart."""


def curves(figure: Curves) -> Markup:
    """Lines over a common x."""
    with rc_context(_STYLE):
        page, axes = _canvas(2.1)
        x = np.asarray(figure.x, float)
        for place, series in enumerate(figure.series):
            y = np.array([np.nan if value is None else value for value in series.values], float)
            length = min(len(x), len(y))
            axes.plot(*_thinned(x[:length], y[:length]), color=_colour(place), lw=1.6, label=series.name)
        _finish(axes, figure.x_label, figure.y_label, legend=len(figure.series) > 1)
        return _svg(page, figure)


def histogram(figure: Histogram) -> Markup:
    """Shares of bins, filled lightly under an outline."""
    with rc_context(_STYLE):
        page, axes = _canvas(2.2)
        for place, series in enumerate(figure.series):
            values = np.array([value or 0 for value in series.values], float)
            colour = _colour(place)
            if len(figure.edges) == len(values) + 1:
                axes.stairs(values, figure.edges, fill=True, color=colour, alpha=0.18, lw=0)
                axes.stairs(values, figure.edges, color=colour, lw=1.5, label=series.name)
        _finish(axes, figure.x_label, "share of pixels", legend=True)
        axes.set_ylim(bottom=0)
        return _svg(page, figure)


def bars(figure: Bars, yardsticks: Sequence[tuple[str, float]] = ()) -> Markup:
    """A dot with its interval for each value; yardsticks as dashed lines."""
    shown = [bar for bar in figure.bars if bar.value is not None]
    with rc_context({**_STYLE, "axes.grid.axis": "x"}):
        page, axes = _canvas(0.7 + 0.27 * (len(shown) + len(yardsticks)))
        for place, bar in enumerate(shown):
            _dot(axes, bar, place, _colour(place), lying=True, size=6)
        for place, (_, value) in enumerate(yardsticks):
            height = len(shown) + place
            axes.plot([value], [height], "|", color=_INK, ms=11, mew=1.6)
            axes.axvline(value, color=_INK, lw=0.8, ls=(0, (3, 3)), alpha=0.55)
        names = [bar.label for bar in shown] + [name for name, _ in yardsticks]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.margins(x=0.08)
        _finish(axes, figure.x_label, "", legend=False)
        return _svg(page, figure)


def groups(figure: Groups) -> Markup:
    """Dots with their intervals, the series beside each other in each group; names that find no room below stand aside."""
    names = list(dict.fromkeys(bar.label for series in figure.series for bar in series.bars))
    lying = sum(map(len, names)) > MOST_LETTERS
    with rc_context({**_STYLE, "axes.grid.axis": "x" if lying else "y"}):
        page, axes = _canvas(0.8 + 0.4 * len(names) if lying else 2.1)
        for place, series in enumerate(figure.series):
            aside = GROUP_WIDTH * ((place + 0.5) / len(figure.series) - 0.5)
            for bar in series.bars:
                _dot(axes, bar, names.index(bar.label) + aside, _colour(place), lying=lying, size=5)
            axes.plot([], [], "o", color=_colour(place), ms=5, label=series.name)
        legend = len(figure.series) > 1
        if lying:
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlim(left=0)
            _finish(axes, figure.y_label, figure.x_label, legend=legend)
        else:
            axes.set_xticks(range(len(names)), names)
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.set_ylim(bottom=0)
            _finish(axes, figure.x_label, figure.y_label, legend=legend)
        return _svg(page, figure)


def confusion(figure: Confusion) -> Markup:
    """A square for each pair of names with its count, the stronger the larger its share of the row."""
    with rc_context({**_STYLE, "axes.grid": False, "axes.spines.bottom": False}):
        page, axes = _canvas(0.8 + 0.36 * len(figure.counts))
        for row, counts in enumerate(figure.counts):
            for column, count in enumerate(counts):
                share = count / max(sum(counts), 1)
                corner = (column - 0.46, row - 0.46)
                square = Rectangle(corner, 0.92, 0.92, color=_colour(1), alpha=0.06 + 0.6 * share, lw=0)
                axes.add_patch(square)
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=_TEXT)
        axes.set_xticks(range(len(figure.names)), figure.names)
        axes.set_yticks(range(len(figure.names)), figure.names)
        axes.set_xlim(-0.5, len(figure.names) - 0.5)
        axes.set_ylim(len(figure.counts) - 0.5, -0.5)
        axes.set_xlabel(figure.column_label)
        axes.set_ylabel(figure.row_label)
        return _svg(page, figure)


def _dot(axes: Axes, bar: Bar, along: float, colour: str, *, lying: bool, size: float) -> None:
    """A value and its interval, across the place ``along`` an axis."""
    if bar.value is None:
        return
    value, place = [bar.value], [along]
    axes.plot(*((value, place) if lying else (place, value)), "o", color=colour, ms=size, clip_on=False)
    if bar.low is not None and bar.high is not None:
        ends, places = [bar.low, bar.high], [along, along]
        drawn = (ends, places) if lying else (places, ends)
        axes.plot(*drawn, color=colour, lw=3, alpha=0.35, solid_capstyle="round")


def _canvas(height_inches: float) -> tuple[Figure, Axes]:
    page = Figure(figsize=(4.4, height_inches), layout="constrained")
    return page, page.add_subplot()


def _colour(place: int) -> str:
    return _SERIES[place % len(_SERIES)]


def _finish(axes: Axes, x_label: str, y_label: str, *, legend: bool) -> None:
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if isinstance(axes.xaxis.get_major_locator(), MaxNLocator):  # of names none is left out
        axes.locator_params(axis="x", nbins=6)
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter("{x:,.0f}")
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=4, handlelength=1.2, columnspacing=1.4
        )


def _thinned(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """The means of ``POINTS`` buckets of a longer line."""
    if len(x) <= POINTS:
        return x, y
    edges = np.linspace(0, len(x), POINTS + 1).astype(int)
    sizes = np.diff(edges)
    return np.add.reduceat(x, edges[:-1]) / sizes, np.add.reduceat(y, edges[:-1]) / sizes


def _svg(page: Figure, figure: Chart) -> Markup:
    """The chart without what only a file of its own needs: namespaces, metadata, fixed size, named fonts."""
    written = io.StringIO()
    # Salted with what it shows: charts in one page must not share the names of their clip paths.
    with rc_context({"svg.hashsalt": repr(figure)}):
        page.savefig(written, format="svg", metadata={"Date": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg, count=3).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"', r"\1", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    label = Markup.escape(figure.title)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))  # noqa: S704  # matplotlib escapes text
