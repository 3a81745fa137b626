"""``retina train``."""

from __future__ import annotations

from pathlib import Path

import click

from retina_cli import options
from retina_cli.console import print_line
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import parse_settings


@click.command()
@click.argument("stage", metavar="[ROLE:]STAGE")
@options.data
@options.reader
@options.out("The stage's folder; the same command continues there.")
@options.preset
@options.init
@options.settings
@options.seed
@options.machine
@click.pass_obj
def train(
    session: Session,
    stage: str,
    data: str | tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    out: Path,
    preset: str,
    init: str | None,
    settings: tuple[str, ...],
    seed: int,
    device: str,
    precision: str,
    track: tuple[str, ...],
) -> None:
    """Train STAGE on the training part of a data set.

    Settings of the data are written --set data.KEY=VALUE, those of the stage --set KEY=VALUE.
    """
    spec = session.registry.stage(stage)
    chosen = parse_settings(settings, [spec.name, "data"], default=spec.name)
    start = options.init_folder(init, spec, session.registry)
    session.registry.config_class(spec).resolve(
        session.registry.reference(spec), preset, chosen.get(spec.name)
    )
    config = options.data_config(preset, chosen)

    from retina_core import fit, open_dataset
    from retina_core.data.few_eyes import split_of

    dataset = open_dataset(data, reader=reader, registry=session.registry, config=config)
    train_part = split_of(dataset, seed, config).train
    with ConsoleListener() as listener:
        fit(
            f"{spec.role}:{spec.name}",
            train_part,
            out,
            preset=preset,
            settings=chosen.get(spec.name),
            init=start,
            options=options.fit_options(listener, seed, device, precision, track),
            registry=session.registry,
        )
    print_line(str(out))
