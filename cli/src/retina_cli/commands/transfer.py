"""``retina transfer``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retina_cli import options
from retina_cli.console import print_json, print_line, print_table
from retina_cli.ending import print_report
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import series_request

if TYPE_CHECKING:
    from retina_core.evaluation.matrix import Transfer


@click.command()
@options.stages
@click.option(
    "--evaluator", default="unet", show_default=True, metavar="NAME", help="Segmenter that is trained."
)
@click.option(
    "--data",
    "data",
    multiple=True,
    required=True,
    metavar="PATH",
    help="A data set's folder; twice or more: each is trained on by itself, and tested on by all.",
)
@options.reader
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Trainings of each regime."
)
@options.protocol
@options.pipeline_preset
@options.pipeline_init
@click.option("--count", type=click.IntRange(min=1), help="Synthetic pairs for each data set.")
@options.drawing
@options.seed
@options.out("A folder with a run for each data set; the same command continues there.", required=False)
@options.settings
@options.machine
@options.as_json
@click.pass_obj
def transfer(
    session: Session,
    /,
    labels: str | None,
    translator: str | None,
    pairs: str | None,
    evaluator: str,
    data: tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    seeds: int,
    protocol: str | None,
    preset: str | None,
    init: str | None,
    count: int | None,
    grade: str | None,
    unseen_grade: bool,
    filters: tuple[str, ...] | None,
    vessels: Path | None,
    seed: int,
    out: Path | None,
    settings: tuple[str, ...],
    device: str,
    precision: str,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what pairs of one data set are worth on another: a matrix of what is trained on by what is tested on.

    On each data set both stages are trained and pairs drawn; the segmenter is trained REAL (its photographs) and SYNTH
    (its pairs), and tested on the test part of every data set. A picture that two of them share is refused where one
    trains and the other tests on it. The tables are printed and stand in transfer.json, transfer.csv and report.html.

    Settings are written --set labels.KEY=VALUE, translator.KEY, pairs.KEY, data.KEY or EVALUATOR.KEY, and hold for all data sets.
    """
    registry = session.registry
    asked = series_request(registry, evaluator, settings, labels=labels, translator=translator, pairs=pairs)

    from retina_cli.report import write_report
    from retina_core import PipelineRequest, TransferRequest, run_transfer
    from retina_core.evaluation.matrix import Transfer

    pipeline = PipelineRequest(
        **asked,
        data=data,
        reader=reader,
        protocol=protocol,
        preset=preset,
        init=init,
        count=count,
        grade=grade,
        unseen_grade=unseen_grade,
        filters=filters,
        vessels=None if vessels is None else str(vessels),
        seed=seed,
        out=out,
    )
    request = TransferRequest(pipeline, seeds)
    with ConsoleListener() as listener:
        told = options.fit_options(listener, seed, device, precision, track)
        folder = run_transfer(request, options=told, registry=registry)
        for place in (*(folder / one.run for one in Transfer.read(folder).sets), folder):
            report = write_report(place)
    found = Transfer.read(folder)
    if as_json:
        print_json(found.to_json())
        return
    _print(found)
    print_line(f"table   {folder / 'transfer.csv'}")
    print_report(report, phantom=found.phantom)


def _print(found: Transfer) -> None:
    """For each regime and channel a row for what was trained on, a column for what was tested on."""
    from retina_cli.report.words import number

    for regime, channel in found.tables:
        rows = []
        for trained in found.sets:
            cells = [found.cell(trained.name, tested.name, regime, channel) for tested in found.sets]
            numbers = [number(cell.dice.value) if cell else "" for cell in cells]
            rows.append([f"{trained.name} ({trained.train_eyes})", *numbers])
        head = ["trained on", *(f"{one.name} ({one.test_eyes})" for one in found.sets)]
        trainings = f"{found.seeds} training{'' if found.seeds == 1 else 's'}"
        title = f"Dice of {found.evaluator}, {regime}, {channel.replace('_', ' ')}, {trainings}"
        print_table(head, rows, title=title)
        print_line()
