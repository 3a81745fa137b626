"""``retina generate``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from retina_cli import options
from retina_cli.console import print_line
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session


def _shard(context: click.Context, option: click.Parameter, text: str) -> tuple[int, int]:
    """``I/N``: part I, from 0, of N equal parts."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise click.BadParameter(f"{text!r} is not I/N with 0 <= I < N, such as 0/4", context, option)
    return int(found[1]), int(found[2])


PATH = click.Path(path_type=Path)


@click.command()
@click.option(
    "--labels", type=PATH, metavar="DIR", help="A trained label generator; needed unless there are --pairs."
)
@click.option(
    "--translator", type=PATH, metavar="DIR", help="A trained image translator; needed with --labels."
)
@click.option(
    "--pairs",
    type=PATH,
    metavar="DIR",
    help="A trained pair generator, in place of --labels and --translator.",
)
@click.option(
    "--count", required=True, type=click.IntRange(min=1), help="Pairs in all, over all shards together."
)
@options.out("The synthetic set.")
@options.seed
@click.option("--shard", callback=_shard, default="0/1", metavar="I/N", help="Make part I, from 0, of N.")
@click.option("--style", type=PATH, metavar="PHOTO", help="Paint in the manner of this photograph.")
@options.drawing
@options.devices
@click.pass_obj
def generate(
    session: Session,
    labels: Path | None,
    translator: Path | None,
    pairs: Path | None,
    count: int,
    out: Path,
    seed: int,
    shard: tuple[int, int],
    style: Path | None,
    grade: str | None,
    unseen_grade: bool,
    filters: tuple[str, ...] | None,
    vessels: Path | None,
    device: str,
    precision: str,
) -> None:
    """Draw label maps and paint a photograph over each, or draw both together (--pairs)."""
    options.check_stages(labels, translator, pairs)

    from retina_core import generate as generate_pairs

    with ConsoleListener() as listener:
        generate_pairs(
            labels,
            translator,
            pairs=pairs,
            count=count,
            out=out,
            seed=seed,
            shard=shard,
            style=style,
            grade=grade,
            unseen_grade=unseen_grade,
            filters=filters,
            vessels=vessels,
            options=options.fit_options(listener, seed, device, precision),
            registry=session.registry,
        )
    print_line(str(out))
