"""``retina annotate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from retina_cli import options
from retina_cli.console import print_json, print_line
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import parse_settings

if TYPE_CHECKING:
    from retina_core.formats.annotation import Annotation

PATH = click.Path(path_type=Path)


def _names(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@click.command()
@click.argument("images", metavar="IMAGES")
@options.out("A new folder, in the layout that the reader folder knows.")
@click.option("--segmenter", type=PATH, metavar="DIR", help="A trained segmenter, which fills in maps.")
@click.option(
    "--channels",
    default="",
    callback=_names,
    metavar="NAME[,NAME...]",
    help="Channels to fill in, with commas between; not given: all that the segmenter has.",
)
@click.option(
    "--threshold",
    type=float,
    metavar="P",
    help="Mark what is likelier than this, 0 to 1; not given: chosen on annotated training eyes, or as the segmenter's "
    "evaluation chose it, else 0.5.",
)
@click.option(
    "--grades", is_flag=True, help="Fill in grades too, by a classifier that learns from graded samples."
)
@click.option("--reader", metavar="NAME", help="Who reads IMAGES; default: whoever knows its layout.")
@options.settings
@options.seed
@options.devices
@options.as_json
@click.pass_obj
def annotate(
    session: Session,
    images: str,
    out: Path,
    segmenter: Path | None,
    channels: tuple[str, ...],
    threshold: float | None,
    grades: bool,
    reader: str | None,
    settings: tuple[str, ...],
    seed: int,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Fill in the label maps and grades that the photographs in IMAGES lack, marked as weak.

    IMAGES is a data set, or any folder of photographs. What is there stays as it is. Settings are written
    --set data.KEY=VALUE and --set grader.KEY=VALUE.
    """
    chosen = parse_settings(settings, ["data", "grader"])
    config = options.data_config("standard", chosen)

    from retina_core import annotate as fill_in
    from retina_core.grading.settings import GraderSettings

    grader = GraderSettings.for_photographs(chosen.get("grader")) if grades else None
    with ConsoleListener() as listener:
        done = fill_in(
            images,
            out,
            segmenter=segmenter,
            channels=channels,
            threshold=threshold,
            grader=grader,
            reader=reader,
            config=config,
            options=options.fit_options(listener, seed, device, precision),
            registry=session.registry,
        )
    if as_json:
        print_json({"out": str(out), **done.model_dump(mode="json", by_alias=True)})
    else:
        _print(done, out)


def _print(done: Annotation, out: Path) -> None:
    for name, facts in done.filled.items():
        by = f"by {facts['name']} {facts['version']}"
        if name != "grade":
            print_line(
                f"{name}: {facts['count']} weak maps, {by}, threshold {facts['threshold']:.3f}, {facts['chosen']}"
            )
            continue
        told = ", ".join(f"{grade} ({count})" for grade, count in facts["grades"].items())
        print_line(f"grade: {facts['count']} weak grades, {by}: {told or 'none'}")
        if facts["held_out"]:
            kappa = "undefined" if facts["kappa"] is None else f"{facts['kappa']:.3f}"
            said = f"accuracy {facts['accuracy']:.3f}, quadratic kappa {kappa}"
            print_line(f"grade: {said}, on {facts['held_out']} graded photographs of the test part")
    print_line(str(out))
