"""``retina evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from retina_cli import options
from retina_cli.console import print_json, print_line, print_scores
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import parse_settings


@click.command()
@click.option(
    "--synthetic",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A synthetic set; --regime real needs none.",
)
@options.data
@options.reader
@options.test_data
@click.option("--evaluator", "evaluators", multiple=True, required=True, metavar="NAME", help="Repeatable.")
@options.out("A folder for each evaluator is made in it.")
@click.option(
    "--regime",
    "regimes",
    default="real,synth",
    show_default=True,
    help="What to train on, with commas between: real, synth, both, mix:P (P % synthetic), finetune.",
)
@click.option("--seeds", type=click.IntRange(min=1), help="Trainings of each regime.  [default: 3; quick: 1]")
@options.protocol
@options.preset
@options.settings
@options.seed
@options.machine
@options.as_json
@click.pass_obj
def evaluate(
    session: Session,
    synthetic: Path | None,
    data: str | tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    test_data: str | tuple[str, ...] | None,
    test_part: str,
    test_reader: str | tuple[str, ...] | None,
    evaluators: tuple[str, ...],
    out: Path,
    regimes: str,
    seeds: int | None,
    protocol: str | None,
    preset: str,
    settings: tuple[str, ...],
    seed: int,
    device: str,
    precision: str,
    track: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train on the synthetic set and on the real training part; test both on real eyes that no model has seen.

    Settings are written --set EVALUATOR.KEY=VALUE, those of the data --set data.KEY=VALUE.
    """
    specs = [session.registry.stage(name, "evaluator") for name in evaluators]
    chosen = parse_settings(settings, [*(spec.name for spec in specs), "data"])
    for spec in specs:
        session.registry.config_class(spec).resolve(
            session.registry.reference(spec), preset, chosen.get(spec.name)
        )
    config = options.data_config(preset, chosen)

    from retina_core import evaluate as evaluate_pairs
    from retina_core import open_dataset
    from retina_core.evaluation.elsewhere import Elsewhere, crossed_split
    from retina_core.evaluation.paper_protocols import divided, protocol_named
    from retina_core.evaluation.regimes import parse_regimes

    trained_on = parse_regimes(regimes)
    protocol_named(protocol)  # refused before the data are read
    dataset = open_dataset(data, reader=reader, registry=session.registry, config=config)
    split = divided(dataset, seed, config, protocol)
    if test_data is not None:
        elsewhere = Elsewhere(test_data, test_reader, test_part)
        split = crossed_split(split, elsewhere.opened(seed, config, session.registry, protocol))
    with ConsoleListener() as listener:
        told = options.fit_options(listener, seed, device, precision, track)
        found = [
            evaluate_pairs(
                spec.name,
                synthetic,
                split,
                out / spec.name,
                preset=preset,
                settings=chosen.get(spec.name),
                regimes=trained_on,
                seeds=seeds,
                protocol=protocol,
                options=told,
                registry=session.registry,
            )
            for spec in specs
        ]
    if as_json:
        print_json([scores.to_json() for scores in found])
        return
    for scores in found:
        print_scores(scores)
    print_line(str(out))
