"""``retina compare-critics``: table 1 of Iqbal and Ali 2018, on any data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from retina_core.evaluation.comparing import ComparedRow, Comparison, Found
    from retina_core.registry import Registry
    from retina_core.training.options import Progress

CRITICS = ("none", "pixel", "patch10", "patch80", "image")
HEADS = {"auc_roc": "AUC-ROC", "auc_pr": "AUC-PR", "dice": "Dice"}


class Told:
    """A listener that writes plain lines to standard error: what is said, and each tenth of a training."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def progress(self, progress: Progress) -> None:
        """A line for each tenth."""
        tenth = (progress.task, progress.done * 10 // max(progress.total, 1))
        if tenth != self._last:
            self._last = tenth
            left = f"{progress.seconds_left / 60:.0f} min left"
            click.echo(
                f"{progress.task}: {progress.done} of {progress.total} {progress.unit}, {left}", err=True
            )

    def say(self, line: str) -> None:
        """The line."""
        click.echo(line, err=True)


def _critics(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    if wrong := [word for word in words if word not in CRITICS]:
        raise click.BadParameter(f"{wrong[0]!r} is no critic; choose from {', '.join(CRITICS)}")
    if twice := [word for word in CRITICS if words.count(word) > 1]:
        raise click.BadParameter(f"{twice[0]!r} is there twice; leave one out")
    return words


def _settings(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    """Settings by prefix, ``migan`` where there is none."""
    chosen: dict[str, dict[str, str]] = {"migan": {}, "data": {}}
    for text in given:
        name, equals, value = text.partition("=")
        prefix, _, key = name.rpartition(".")
        if not equals or not key or (prefix or "migan") not in chosen:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, migan.KEY=VALUE or data.KEY=VALUE")
        if key == "critic":
            raise click.BadParameter("the critics are what is compared; choose them with --critics")
        chosen[prefix or "migan"][key] = value
    return chosen


@click.command("compare-critics")
@click.option(
    "--data", multiple=True, default=("phantom",), metavar="PATH", help="A data set's folder; repeatable."
)
@click.option("--reader", multiple=True, metavar="NAME", help="Who reads the data; repeatable.")
@click.option(
    "--critics",
    default=",".join(CRITICS),
    show_default=True,
    callback=_critics,
    metavar="NAME,...",
    help="Who judges maps while training, one after the other.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Continues there.")
@click.option(
    "--protocol",
    type=click.Choice(("migan", "own")),
    default="migan",
    show_default=True,
    help="Train and test as the paper, or in retina's own way.",
)
@click.option("--seeds", type=click.IntRange(min=1), help="Trainings of each critic.  [default: 3; quick: 1]")
@click.option("--preset", default="standard", show_default=True, help="quick, standard or paper.")
@click.option("--set", "settings", multiple=True, callback=_settings, metavar="KEY=VALUE", help="Repeatable.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--device", type=click.Choice(("auto", "cpu", "cuda", "mps")), default="auto", show_default=True
)
@click.option("--precision", type=click.Choice(("auto", "bf16", "fp32")), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON, for a program to read.")
@click.pass_obj
def compare_critics(session: Any, /, out: Path, as_json: bool, **asked: Any) -> None:
    """Train the segmenter migan against each critic on the training part, and test all of them on the test part.

    The table is printed, and stands in comparison.csv and comparison.json. The same command goes on where it was stopped.
    """
    comparison = _compared(session.registry, out, asked)
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, allow_nan=False))
        return
    _print(comparison)
    click.echo(str(out))


def _compared(registry: Registry, out: Path, asked: dict[str, Any]) -> Comparison:
    from retina_core import open_dataset
    from retina_core.config import DataConfig
    from retina_core.evaluation.comparing import compare
    from retina_core.evaluation.paper_protocols import divided
    from retina_core.training.options import FitOptions

    settings, seed, preset = asked["settings"], asked["seed"], asked["preset"]
    protocol = None if asked["protocol"] == "own" else str(asked["protocol"])
    config = DataConfig.resolve("data", preset, settings["data"])
    dataset = open_dataset(
        _one(asked["data"]), reader=_one(asked["reader"]), registry=registry, config=config
    )
    return compare(
        "migan",
        "critic",
        asked["critics"],
        divided(dataset, seed, config, protocol),
        out,
        preset=preset,
        settings=settings["migan"],
        seeds=asked["seeds"],
        protocol=protocol,
        options=FitOptions(seed=seed, device=asked["device"], precision=asked["precision"], listener=Told()),
        registry=registry,
    )


def _one(given: Sequence[str]) -> Any:
    """What was given once as itself; nothing as None."""
    return tuple(given) if len(given) > 1 else given[0] if given else None


def _print(comparison: Comparison) -> None:
    """The table: each training, then the mean of them with its 95 % interval."""
    rows = [["critic", "channel", "training", *HEADS.values()]]
    rows += [
        [row.way, row.channel or "all channels", _training(row), *map(_cell, _scores(row))]
        for row in comparison.rows
    ]
    widths = [max(len(line[place]) for line in rows) for place in range(len(rows[0]))]
    by = f", protocol {comparison.protocol}" if comparison.protocol else ""
    click.echo(f"{comparison.evaluator}{by}, over all test pixels inside the field of view")
    for line in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _training(row: ComparedRow) -> str:
    if row.seed is not None:
        return f"seed {row.seed}"
    return "" if row.way not in CRITICS else "mean"


def _scores(row: ComparedRow) -> list[Found | None]:
    return [row.scores.get(name) for name in HEADS]


def _cell(found: Found | None) -> str:
    if found is None or found.value is None:
        return "" if found is None else "undefined"
    ends = "" if found.low is None or found.high is None else f" ({found.low:.3f} to {found.high:.3f})"
    return f"{found.value:.3f}{ends}"
