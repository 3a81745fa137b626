"""``retina show``: a stage's settings, or what a stage folder holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retina_cli import options
from retina_cli.console import print_json, print_line, print_table
from retina_cli.session import Session

if TYPE_CHECKING:
    from retina_core.config import SettingRow
    from retina_core.registry import Registry

DIGITS = 12
"""Of a SHA-256 shown to a person; enough to tell two files apart."""


@click.command()
@click.argument("subject", metavar="STAGE|FOLDER")
@options.as_json
@click.pass_obj
def show(session: Session, subject: str, as_json: bool) -> None:
    """Show the settings of STAGE with type, default, presets, meaning and source, or what a stage FOLDER holds.

    A name that several roles share is written ROLE:NAME.
    """
    if os.sep in subject or os.path.isfile(Path(subject) / "config.json"):
        _show_folder(Path(subject), as_json)
    else:
        _show_stage(session.registry, subject, as_json)


def _show_stage(registry: Registry, reference: str, as_json: bool) -> None:
    spec = registry.stage(reference)
    row, config = registry.plugin_of(spec), registry.config_class(spec)
    settings = list(config.describe())
    if as_json:
        told = {"presets": list(config.presets), "starter": bool(spec.starter)}
        print_json({**row._asdict(), **told, "settings": [s._asdict() for s in settings]})
        return
    print_line(f"{spec.role}:{spec.name}  {spec.summary}")
    print_line(f"{row.distribution} {row.version}{f', {spec.paper}' if spec.paper else ''}")
    if spec.starter:
        print_line(
            f"comes trained: retina train {registry.reference(spec)} --init starter begins with its starter"
        )
    print_line()
    presets = list(config.presets)
    print_table(
        ["setting", "type", "default", *presets, "meaning"],
        [
            [s.name, s.type, s.default, *(s.presets.get(p, "") for p in presets), _meaning(s)]
            for s in settings
        ],
    )


def _meaning(setting: SettingRow) -> str:
    unit = f" [{setting.unit}]" if setting.unit else ""
    source = f" ({setting.source})" if setting.source else ""
    return f"{setting.meaning}{unit}{source}"


def _show_folder(folder: Path, as_json: bool) -> None:
    from retina_core.formats.stage_card import read_card

    card: dict[str, Any] = read_card(folder).model_dump(mode="json", by_alias=True)
    if as_json:
        print_json(card)
        return
    print_line(
        f"{card['role']}:{card['name']}  {card['distribution']} {card['version']}, API {card['api_version']}"
    )
    print_line(f"channels {', '.join(card['channels'])}; {card['resolution']} px")
    for name, digest in card["files"].items():
        print_line(f"{name}  sha256 {digest[:DIGITS]}")
    print_line()
    print_table(["setting", "value"], list(card["config"].items()))
    if card["provenance"]:
        print_table(["provenance", ""], list(card["provenance"].items()))
