"""``retina data``: look at a data set, or draw one of phantom eyes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retina_cli import options
from retina_cli.console import note, print_json, print_line, print_table
from retina_cli.group import Entry, RetinaGroup
from retina_cli.session import Session
from retina_cli.settings import parse_settings

if TYPE_CHECKING:
    from retina_core.data.inspect import Inspection

TABLE = {
    "inspect": Entry("retina_cli.commands.data:inspect", "Counts, sizes, channels, split and problems."),
    "phantom": Entry(
        "retina_cli.commands.data:phantom", "Draw a data set of phantom eyes, which show no real eye."
    ),
}


@click.command(cls=RetinaGroup, table=TABLE)
def data() -> None:
    """Look at a data set, or draw one of phantom eyes."""


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@options.reader
@options.settings
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Write a contact sheet: photographs with their labels drawn over them.",
)
@options.as_json
@click.pass_obj
def inspect(
    session: Session,
    paths: tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    settings: tuple[str, ...],
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Say what the data set at PATH holds, and all that is wrong with it (then the exit status is 2).

    Several PATHs are combined, as several --data are. Settings are written --set data.KEY=VALUE.
    """
    config = options.data_config("standard", parse_settings(settings, ["data"]))
    from retina_cli.listener import ConsoleListener, Pace
    from retina_core.data.contact_sheet import contact_sheet
    from retina_core.data.inspect import inspect_dataset
    from retina_core.errors import DatasetError

    with ConsoleListener() as listener:
        pace = Pace("reading", 0, "samples", listener)
        source = paths if len(paths) > 1 else paths[0]
        found = inspect_dataset(
            source, reader=reader, registry=session.registry, config=config, progress=pace.reached
        )
    if sheet and len(found.dataset):
        contact_sheet(found.dataset, sheet)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, sheet)
    if found.problems:
        raise DatasetError(found.source, found.problems)


def _print(found: Inspection, sheet: Path | None) -> None:
    dataset = found.dataset
    patients = len({sample.patient for sample in dataset.samples})
    parts = ", ".join(f"{len(ids)} to {part}" for part, ids in found.split.items())
    print_line(f"{dataset.name}: {len(dataset)} samples of {patients} patients, read by {dataset.reader}")
    print_line(f"sizes    {', '.join(f'{size} ({count})' for size, count in found.sizes.items())}")
    print_line(f"fov      {dataset.fov_rule}")
    print_line(f"split    {parts or 'cannot be split'}")
    if dataset.excluded:
        print_line(f"excluded {len(dataset.excluded)}")
    for origin in dataset.origins:
        print_line(f"set      {origin.name}: {origin.samples} samples, read by {origin.reader}")
    for name in ("grade", "group"):
        counts = Counter(value for one in dataset if (value := getattr(one, name)) is not None)
        if counts:
            told = ", ".join(f"{value} ({count})" for value, count in sorted(counts.items()))
            print_line(f"{name}s   {told}")
    for observer, count in found.observers.items():
        print_line(f"observer {observer}: {count} samples")
    for line in (*dataset.notes, *(f"the same picture: {a} and {b}" for a, b in found.twins)):
        print_line(f"note     {line}")
    print_table(
        ["channel", "in use", "marked", "empty", "absent", "share of fov"],
        [
            [c.name, "yes" if c.in_use else "no", c.marked, c.empty, c.absent, f"{c.fov_share:.4f}"]
            for c in found.channels
        ],
    )
    for name, text in (("citation", dataset.citation), ("licence", dataset.licence)):
        if text:
            print_line(f"{name}: {text}")
    if sheet and len(dataset):
        print_line(f"contact sheet: {sheet}")


@click.command()
@options.out("A new folder, in the layout that the reader folder knows.")
@click.option(
    "--count", default=20, show_default=True, type=click.IntRange(min=1, max=1_000_000), help="Eyes."
)
@click.option(
    "--size",
    "image_px",
    default=256,
    show_default=True,
    type=click.IntRange(min=32, max=4096),
    help="Side of a photograph in pixels.",
)
@click.option(
    "--grade",
    "grades",
    metavar="G[,G...]",
    default="",
    callback=options.grades,
    help="Grades of diabetic retinopathy, 0 to 4, dealt out in turn from the highest on; not given: healthy eyes.",
)
@options.seed
def phantom(out: Path, count: int, image_px: int, grades: tuple[int, ...], seed: int) -> None:
    """Draw COUNT phantom eyes with exact label maps. They show no real eye."""
    from retina_cli.listener import ConsoleListener, Pace
    from retina_core.formats.phantom_set import write_phantom_set

    with ConsoleListener() as listener:
        pace = Pace("phantom", count, "eyes", listener)
        write_phantom_set(out, count, image_px, seed, grades=grades, told=pace.reached)
    note("These pictures were drawn by a program and show no real eye.")
    print_line(str(out))
