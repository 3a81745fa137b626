"""``retina learning-curve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retina_cli import options
from retina_cli.commands.sweep import gained, measured
from retina_cli.console import note, print_json, print_line, print_table
from retina_cli.ending import print_report
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import series_request

if TYPE_CHECKING:
    from retina_core.evaluation.curve import LearningCurve


@click.command("learning-curve")
@options.stages
@click.option(
    "--evaluator", default="unet", show_default=True, metavar="NAME", help="Segmenter that is trained."
)
@options.data
@options.reader
@click.option(
    "--eyes",
    default="5,10,20",
    show_default=True,
    metavar="N,...",
    help="Numbers of annotated training eyes, which is all that the stages see too.",
)
@click.option(
    "--mix",
    default="50",
    show_default=True,
    metavar="P,...",
    help="Shares of synthetic pairs in what is trained on, in per cent, besides none.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Trainings of each number and share.",
)
@options.protocol
@options.pipeline_preset
@options.pipeline_init
@options.seed
@options.out("A folder with a run for each number of eyes; the same command continues there.", required=False)
@options.settings
@options.machine
@options.as_json
@click.pass_obj
def learning_curve(
    session: Session,
    /,
    labels: str | None,
    translator: str | None,
    pairs: str | None,
    evaluator: str,
    data: str | tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    eyes: str,
    mix: str,
    seeds: int,
    protocol: str | None,
    preset: str | None,
    init: str | None,
    seed: int,
    out: Path | None,
    settings: tuple[str, ...],
    device: str,
    precision: str,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say how much synthetic data helps where few eyes are annotated: a sweep at each number of training eyes.

    At each number both stages and the segmenters see those eyes alone; all are tested on the same test part, with equal
    steps. The eyes of a smaller number are among those of a larger one; --seed chooses them, patient by patient. The table is
    printed and stands in curve.json, curve.csv and report.html.

    Settings are written --set labels.KEY=VALUE, translator.KEY, pairs.KEY, data.KEY or EVALUATOR.KEY.
    """
    registry = session.registry
    asked = series_request(registry, evaluator, settings, labels=labels, translator=translator, pairs=pairs)

    from retina_cli.report import write_report
    from retina_core import LearningCurveRequest, SweepRequest, run_learning_curve
    from retina_core.evaluation.curve import LearningCurve
    from retina_core.learning_curve import parse_eyes
    from retina_core.sweep import parse_shares

    sweep = SweepRequest(
        **asked,
        data=data,
        reader=reader,
        mix=parse_shares(mix),
        seeds=seeds,
        protocol=protocol,
        preset=preset,
        init=init,
        seed=seed,
        out=out,
    )
    request = LearningCurveRequest(sweep, parse_eyes(eyes))
    with ConsoleListener() as listener:
        told = options.fit_options(listener, seed, device, precision, track)
        folder = run_learning_curve(request, options=told, registry=registry)
        for place in (*(folder / point.run for point in LearningCurve.read(folder).points), folder):
            report = write_report(place)
    curve = LearningCurve.read(folder)
    if as_json:
        print_json(curve.to_json())
        return
    _print(curve)
    note(f"the eyes are those of --seed {seed}: another seed, and another --out, draws others")
    print_line(f"table   {folder / 'curve.csv'}")
    print_report(report, phantom=curve.phantom)


def _print(curve: LearningCurve) -> None:
    """Eyes, share, count, precision, recall, F1, and what F1 gained on no synthetic pair at the same number of eyes."""
    rows = [
        [
            point.eyes,
            f"{share.share} %",
            share.synthetic,
            (channel or "all channels").replace("_", " "),
            *measured(row),
            *gained(row),
        ]
        for channel in curve.channels
        for point, share, row in curve.rows(channel)
    ]
    head = ["eyes", "synthetic", "count", "channel", "precision", "recall", "F1", "F1 less 0 %", "95 %"]
    table = curve.points[0].table
    trainings = f"{table.seeds} training{'' if table.seeds == 1 else 's'}"
    title = f"{table.evaluator} on {curve.data}, {trainings} of each, tested on {curve.test_eyes} eyes"
    print_table(head, rows, title=title)
