"""``retina sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retina_cli import options
from retina_cli.console import note, print_json, print_line, print_table
from retina_cli.ending import print_report
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import series_request

if TYPE_CHECKING:
    from retina_core.evaluation.shares import ChannelRow, SweepTable


@click.command()
@options.stages
@click.option(
    "--evaluator", default="unet", show_default=True, metavar="NAME", help="Segmenter that is trained."
)
@options.data
@options.reader
@click.option(
    "--mix",
    default="0,25,50,75",
    show_default=True,
    metavar="P,...",
    help="Shares of synthetic pairs in what is trained on, in per cent, 0 to 99.",
)
@click.option(
    "--budget",
    type=click.Choice(("steps", "epochs")),
    default="steps",
    show_default=True,
    help="What is equal for all shares: optimizer steps, or rounds through what is trained on.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Rounds of each training with --budget epochs.  [default: 40; quick: 10]",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Trainings of each share."
)
@options.protocol
@options.pipeline_preset
@options.pipeline_init
@click.option(
    "--count", type=click.IntRange(min=1), help="Synthetic pairs.  [default: what the largest share takes]"
)
@options.drawing
@options.seed
@options.out("The run folder; the same command continues there.", required=False)
@options.settings
@options.machine
@options.as_json
@click.pass_obj
def sweep(
    session: Session,
    /,
    labels: str | None,
    translator: str | None,
    pairs: str | None,
    evaluator: str,
    data: str | tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    mix: str,
    budget: str,
    epochs: int | None,
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
    """Say how much synthetic data helps: train the stages, then segmenters on real photographs and ever more pairs.

    A --mix without 0 is compared with 0 all the same. Grades are uniform where the label generator draws grades, unless
    --grade says otherwise. The table is printed and stands in sweep.json, sweep.csv and report.html.

    Settings are written --set labels.KEY=VALUE, translator.KEY, pairs.KEY, data.KEY or EVALUATOR.KEY.
    """
    registry = session.registry
    asked = series_request(registry, evaluator, settings, labels=labels, translator=translator, pairs=pairs)

    from retina_cli.report import write_report
    from retina_core import SweepRequest, run_sweep
    from retina_core.evaluation.shares import SweepTable
    from retina_core.sweep import parse_shares

    shares = parse_shares(mix)
    if 0 not in shares:
        note("sweep: 0 % is taken up too: it is what the other shares are compared with")
    request = SweepRequest(
        **asked,
        data=data,
        reader=reader,
        mix=shares,
        budget="epochs" if budget == "epochs" else "steps",
        epochs=epochs,
        seeds=seeds,
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
    with ConsoleListener() as listener:
        told = options.fit_options(listener, seed, device, precision, track)
        run = run_sweep(request, options=told, registry=registry)
        report = write_report(run)
    table = SweepTable.read(run)
    if as_json:
        print_json(table.to_json())
        return
    _print(table, "phantoms" if request.phantom else "real photographs")
    print_line(f"table   {run / 'sweep.csv'}")
    print_report(report, phantom=request.phantom)


def _print(table: SweepTable, kind: str) -> None:
    """The table of the paper: share, count, precision, recall, F1, and what F1 gained on no synthetic pair."""
    rows = []
    for share in table.shares:
        for row in share.scores:
            channel = (row.channel or "all channels").replace("_", " ")
            rows.append([f"{share.share} %", share.synthetic, channel, *measured(row), *gained(row)])
    head = ["synthetic", "count", "channel", "precision", "recall", "F1", "F1 less 0 %", "95 %"]
    trainings = f"{table.seeds} training{'' if table.seeds == 1 else 's'}"
    length = "steps" if table.epochs is None else f"rounds ({table.epochs})"
    title = (
        f"{table.evaluator} beside {table.shares[0].real} {kind}, {trainings} of each share, equal {length}"
    )
    print_table(head, rows, title=title)


def measured(row: ChannelRow) -> list[str]:
    """Precision, recall and F1."""
    from retina_cli.report.words import number

    return [number(one.value) for one in (row.precision, row.recall, row.f1)]


def gained(row: ChannelRow) -> list[str]:
    """What F1 gained on no synthetic pair, and its interval."""
    from retina_cli.report.words import signed

    gain = row.f1_difference
    ends = f"{signed(gain.low)} to {signed(gain.high)}" if gain and gain.low is not None else ""
    return [signed(gain.value) if gain else "", ends]
