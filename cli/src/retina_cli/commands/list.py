"""``retina list``."""

from __future__ import annotations

import click

from retina_cli import options
from retina_cli.console import print_json, print_table
from retina_cli.session import Session
from retina_core.registry import LISTED_KINDS


@click.command("list")
@click.option("--role", type=click.Choice(LISTED_KINDS), help="Only what plays this role.")
@options.as_json
@click.pass_obj
def list_offers(session: Session, role: str | None, as_json: bool) -> None:
    """List stages, readers, and broken plugins with the reason."""
    rows = [row for row in session.registry.rows if role in {None, row.role}]
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    sound = [row for row in rows if row.status == "ok"]
    print_table(
        ["role", "name", "plugin", "version", "summary"],
        [[row.role, row.name, row.distribution, row.version, row.summary] for row in sound],
    )
    if broken := [row for row in rows if row.status == "broken"]:
        print_table(
            ["broken plugin", "distribution", "version", "reason"],
            [[row.name, row.distribution, row.version, row.reason] for row in broken],
        )
