"""``retina pipeline``."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from retina_cli import options
from retina_cli.ending import print_ending
from retina_cli.experiment import Experiment, read_experiment
from retina_cli.listener import ConsoleListener
from retina_cli.session import Session
from retina_cli.settings import check_prefix, merged, parse_settings
from retina_core.evaluation.added import ADDED
from retina_core.registry import Registry

EVALUATOR = "unet"
"""What says what the pairs are worth, where nothing is said of it."""


def _read(context: click.Context, _: click.Parameter, path: Path | None) -> Experiment:
    """Read the file before the options, which then take what is not on the command line from it."""
    experiment = read_experiment(path) if path else Experiment()
    context.default_map = dict(experiment.options)
    return experiment


@click.command()
@click.argument(
    "experiment",
    required=False,
    type=click.Path(path_type=Path),
    is_eager=True,
    callback=_read,
    metavar="[EXPERIMENT.toml]",
)
@options.stages
@click.option(
    "--evaluator",
    multiple=True,
    metavar="NAME",
    help=f"Evaluator; repeatable; none: nothing is evaluated.  [default: {EVALUATOR}]",
)
@options.data
@options.reader
@options.test_data
@options.protocol
@options.pipeline_preset
@options.pipeline_init
@click.option("--count", type=click.IntRange(min=1), help="Synthetic pairs.")
@options.drawing
@options.seed
@options.out("The run folder; the same command continues there.", required=False)
@options.settings
@options.machine
@click.pass_obj
def pipeline(
    session: Session,
    /,
    experiment: Experiment,
    labels: str | None,
    translator: str | None,
    pairs: str | None,
    evaluator: tuple[str, ...],
    data: str | tuple[str, ...],
    reader: str | tuple[str, ...] | None,
    test_data: str | tuple[str, ...] | None,
    test_part: str,
    test_reader: str | tuple[str, ...] | None,
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
) -> None:
    """Train the stages, generate pairs, evaluate them, and write report.html, all in one run folder.

    Without --data everything is done on phantoms, eyes that an algorithm draws, and stages that come trained (with a
    starter) are used as they are.

    Pairs are made by a label generator and an image translator, or by a pair generator alone (--pairs).

    Settings are written --set labels.KEY=VALUE, translator.KEY, pairs.KEY, data.KEY or EVALUATOR.KEY. An EXPERIMENT.toml holds
    the same: options as keys, settings as tables; the command line goes before it.
    """
    registry = session.registry
    stages = options.named_stages(registry, labels, translator, pairs)
    names = [registry.stage(name, "evaluator").name for name in _evaluators(evaluator, registry)]
    prefixes = [*stages, "data", *names, *ADDED]
    for prefix in experiment.settings:
        check_prefix(prefix, prefixes, "the experiment")
    chosen = merged(experiment.settings, parse_settings(settings, prefixes))

    from retina_cli.report import write_report
    from retina_core import PipelineRequest, run_pipeline

    request = PipelineRequest(
        labels=stages.get("labels"),
        translator=stages.get("translator"),
        pairs=stages.get("pairs"),
        evaluators=tuple(names),
        data=data,
        reader=reader,
        test_data=test_data,
        test_part=test_part,
        test_reader=test_reader,
        protocol=protocol,
        preset=preset,
        init=init,
        count=count,
        seed=seed,
        out=out,
        settings=chosen,
        grade=grade,
        unseen_grade=unseen_grade,
        filters=filters,
        vessels=None if vessels is None else str(vessels),
    )
    with ConsoleListener() as listener:
        told = options.fit_options(listener, seed, device, precision, track)
        run = run_pipeline(request, options=told, registry=registry)
        report = write_report(run)
    print_ending(run, report)


def _evaluators(given: tuple[str, ...], registry: Registry) -> tuple[str, ...]:
    """The evaluators to ask: those given, or the usual one where it is installed, or none."""
    if "none" in given and len(given) > 1:
        context = click.get_current_context(silent=True)
        raise click.BadParameter("none stands alone", context, param_hint="--evaluator")
    source = click.get_current_context().get_parameter_source("evaluator")
    if source == ParameterSource.DEFAULT and EVALUATOR in registry.names("evaluator"):
        return (EVALUATOR,)
    return () if given == ("none",) else given
