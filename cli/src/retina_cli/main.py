"""The ``retina`` command: a table of commands, each imported when it is used."""

from __future__ import annotations

import click

from retina_cli.group import Entry, RetinaGroup
from retina_cli.session import Session

_ROOM = "retina_cli.commands"
_ALONE = "start it without"
_TRAIN = "train both stages with torchrun and retina train, then generate and evaluate without"

COMMANDS = {
    "list": Entry(f"{_ROOM}.list:list_offers", "Stages, readers, and broken plugins with the reason."),
    "show": Entry(f"{_ROOM}.show:show", "Settings of a stage, or what a stage folder holds."),
    "doctor": Entry(f"{_ROOM}.doctor:doctor", "Versions, device, precision and plugins of this machine."),
    "data": Entry(f"{_ROOM}.data:data", "Look at a data set, or draw one of phantom eyes."),
    "train": Entry(f"{_ROOM}.train:train", "Train one stage on a data set."),
    "generate": Entry(
        f"{_ROOM}.generate:generate",
        "Draw labelled photographs with two trained stages.",
        "start it without, once for each I of N with --shard I/N",
    ),
    "annotate": Entry(
        f"{_ROOM}.annotate:annotate", "Fill in the label maps and grades that photographs lack.", _ALONE
    ),
    "evaluate": Entry(
        f"{_ROOM}.evaluate:evaluate", "Say what a synthetic set is worth, on real photographs.", _ALONE
    ),
    "report": Entry(f"{_ROOM}.report:report", "Write a run's report.html anew.", _ALONE),
    "pipeline": Entry(
        f"{_ROOM}.pipeline:pipeline", "Train, generate, evaluate and report in one run folder.", _TRAIN
    ),
    "sweep": Entry(f"{_ROOM}.sweep:sweep", "Say how much synthetic data helps, share by share.", _TRAIN),
    "learning-curve": Entry(
        f"{_ROOM}.learning_curve:learning_curve", "The same at several numbers of training eyes.", _TRAIN
    ),
    "transfer": Entry(
        f"{_ROOM}.transfer:transfer", "Train on each of several data sets, and test on all of them.", _TRAIN
    ),
}
"""Name -> where the command is, and its line of ``retina --help``; plugins' commands come after these."""


@click.command("retina", cls=RetinaGroup, table=COMMANDS, with_plugins=True)
@click.version_option(package_name="retina-cli", prog_name="retina")
@click.pass_context
def main(context: click.Context) -> None:
    """Labelled retinal photographs out of noise, and what they are worth."""
    context.ensure_object(Session)
