"""``retina report``."""

from __future__ import annotations

from pathlib import Path

import click

from retina_cli.console import note, print_line


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--with-real", is_flag=True, help="Show real photographs too; think of whom they show.")
def report(run: Path, with_real: bool) -> None:
    """Write report.html of the run folder RUN: one file that needs no network."""
    from retina_cli.report import write_report

    path = write_report(run, with_real=with_real)
    if with_real:
        note("This report shows real photographs; do not publish it without leave.")
    print_line(str(path))
