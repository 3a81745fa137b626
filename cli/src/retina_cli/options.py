"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retina_core.errors import PathError

if TYPE_CHECKING:
    from retina_cli.listener import ConsoleListener
    from retina_core.config import DataConfig
    from retina_core.registry import Registry
    from retina_core.specs import Role, StageSpec
    from retina_core.training.options import FitOptions

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "bf16", "fp32")

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for a program to read.")
preset = click.option(
    "--preset", default="standard", show_default=True, metavar="NAME", help="quick, standard or paper."
)
pipeline_preset = click.option(
    "--preset", metavar="NAME", help="quick, standard or paper.  [default: quick for phantoms, else standard]"
)
protocol = click.option(
    "--protocol",
    metavar="NAME",
    help="Train and test segmenters as a paper did, by its name: migan.  [default: retina's own way]",
)
seed = click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="What randomness follows."
)


def _one_or_several(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> str | tuple[str, ...] | None:
    """What was given once as itself, so that one data set is asked for as ever."""
    return given if len(given) > 1 else given[0] if given else None


data = click.option(
    "--data",
    "data",
    default=("phantom",),
    show_default="phantom",
    multiple=True,
    callback=_one_or_several,
    metavar="PATH",
    help="A data set's folder, or phantom; repeatable: several are combined.",
)


def test_data(command: Command) -> Command:
    """``--test-data``, ``--test-part`` and ``--test-reader``."""
    command = click.option(
        "--test-reader",
        metavar="NAME",
        multiple=True,
        callback=_one_or_several,
        help="Who reads the data of --test-data; default: whoever knows its layout. Repeatable.",
    )(command)
    command = click.option(
        "--test-part",
        type=click.Choice(("test", "all")),
        default="test",
        show_default=True,
        help="What of --test-data is tested on: its test part, by its official split or held out as for training, or all.",
    )(command)
    return click.option(
        "--test-data",
        "test_data",
        metavar="PATH",
        multiple=True,
        callback=_one_or_several,
        help="Another data set, whose eyes are tested on instead of the test part of --data; repeatable: several are "
        "combined.",
    )(command)


reader = click.option(
    "--reader",
    metavar="NAME",
    multiple=True,
    callback=_one_or_several,
    help="Who reads the data; default: whoever knows its layout. Repeatable: one for each --data, in their order.",
)
init = click.option(
    "--init",
    metavar="starter|none|DIR",
    help="Begin training with the weights of the starter that the plugin ships, with fresh ones, or with those of a "
    "stage folder.  [default: none]",
)
pipeline_init = click.option(
    "--init",
    metavar="starter|none|DIR",
    help="Begin training with the starters that the plugins ship, from nothing, or with labels/ and translator/ "
    "(or pairs/) of a run. Not given: with --data, each stage that ships a starter begins with it, but in --preset paper; for "
    "phantoms, a starter is used as it is where neither --preset nor a setting of its stage is given, and everything "
    "else begins from nothing.",
)
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting; repeatable. See: retina show STAGE.",
)


def grades(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    """The grades of ``--grade``, such as ``0,1,2,3,4``; none where it is not given."""
    words = [word.strip() for word in text.split(",")] if text else []
    if wrong := [word for word in words if word not in {"0", "1", "2", "3", "4"}]:
        raise click.BadParameter(f"{wrong[0]!r} is no grade; write some of 0,1,2,3,4 with commas between")
    return tuple(map(int, words))


grade = click.option(
    "--grade",
    metavar="0..4|uniform|as-data",
    help="Grade of diabetic retinopathy of each eye: one; each in turn that the label generator's training set holds; or as "
    "often as there.  [default: as-data for a label generator that takes grades and learnt from some, else none]",
)
unseen_grade = click.option(
    "--unseen-grade",
    is_flag=True,
    help="Draw a --grade that the training set does not hold, too; such rows say grade_unseen.",
)
vessels = click.option(
    "--vessels",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A trained segmenter, which finds the vessels of painted photographs for the filters where label maps have none.",
)


def _filters(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...] | None:
    """The filters that are asked for; None where nothing is said of them."""
    if "none" in given and len(given) > 1:
        raise click.BadParameter("none stands alone")
    return () if given == ("none",) else given or None


filters = click.option(
    "--filter",
    "filters",
    multiple=True,
    callback=_filters,
    metavar="NAME",
    help="A filter that looks at each pair, and has it drawn again; repeatable; none: no filter does.  [default: all that "
    "are installed]",
)


def stages(command: Command) -> Command:
    """``--labels``, ``--translator`` and ``--pairs``: who makes the pairs."""
    command = click.option(
        "--pairs",
        metavar="NAME",
        help="Pair generator, in place of a label generator and an image translator.",
    )(command)
    command = click.option("--translator", metavar="NAME", help="Image translator; needed with --labels.")(
        command
    )
    return click.option("--labels", metavar="NAME", help="Label generator; needed unless there are --pairs.")(
        command
    )


def check_stages(labels: object, translator: object, pairs: object) -> None:
    """Refuse stages that do not make pairs: a label generator and a translator do together, a pair generator alone.

    Raises:
        click.BadParameter: ``--pairs`` stands beside one of the others.
        click.MissingParameter: one of these is missing.
    """
    context = click.get_current_context()
    given = {"labels": labels, "translator": translator}
    if pairs is not None:
        if others := [f"--{name}" for name, value in given.items() if value is not None]:
            reason = (
                f"it stands in place of --labels and --translator; leave it out, or {' and '.join(others)}"
            )
            raise click.BadParameter(reason, context, param_hint="--pairs")
        return
    for parameter in context.command.params:
        if parameter.name in given and given[parameter.name] is None:
            said = "Name a label generator and a translator, or a pair generator with --pairs"
            raise click.MissingParameter(said, context, parameter)


def named_stages(
    registry: Registry, labels: str | None, translator: str | None, pairs: str | None
) -> dict[str, str]:
    """Prefix of settings -> name of each stage that makes the pairs, as the plugins have it.

    Raises:
        click.UsageError: as ``check_stages``.
        PluginError: one is not to be had.
    """
    check_stages(labels, translator, pairs)
    asked: dict[str, tuple[str | None, Role]] = {
        "labels": (labels, "label-generator"),
        "translator": (translator, "image-translator"),
        "pairs": (pairs, "pair-generator"),
    }
    return {prefix: registry.stage(name, role).name for prefix, (name, role) in asked.items() if name}


def drawing(command: Command) -> Command:
    """``--grade``, ``--unseen-grade``, ``--filter`` and ``--vessels``."""
    for option in (vessels, filters, unseen_grade, grade):
        command = option(command)
    return command


def out(meaning: str, *, required: bool = True) -> Callable[[Command], Command]:
    """``--out DIR``."""
    return click.option(
        "--out", required=required, type=click.Path(path_type=Path), metavar="DIR", help=meaning
    )


def machine(command: Command) -> Command:
    """``--device``, ``--precision`` and ``--track``."""
    command = click.option(
        "--track",
        multiple=True,
        metavar="TRACKER",
        help="Log to a tracker too, e.g. tensorboard; repeatable.",
    )(command)
    return devices(command)


def devices(command: Command) -> Command:
    """``--device`` and ``--precision``."""
    command = click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="auto: bf16 where the hardware multiplies it.",
    )(command)
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        default="auto",
        show_default=True,
        help="Where to compute.",
    )(command)


def fit_options(
    listener: ConsoleListener, seed: int, device: str, precision: str, track: tuple[str, ...] = ()
) -> FitOptions:
    """What the core is told about a piece of work (imports torch)."""
    from retina_core.training.options import FitOptions

    return FitOptions(seed=seed, device=device, precision=precision, track=track, listener=listener)  # type: ignore[arg-type]


def init_folder(init: str | None, spec: StageSpec, registry: Registry) -> Path | None:
    """The stage folder that ``--init`` names; None: start from nothing.

    Raises:
        click.BadParameter: it asks for a starter where there is none.
        PathError: there is no such folder.
    """
    if init in {None, "none"}:
        return None
    if init == "starter":
        starter = registry.starter(spec)
        if starter is None:
            context = click.get_current_context(silent=True)
            said = f"{spec.name} ships no starter; write none or a folder"
            raise click.BadParameter(said, context, param_hint="--init")
        return starter
    folder = Path(str(init))
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise PathError(
            folder, "no such folder", "write --init none, starter, or the folder of a trained stage"
        )
    return folder


def data_config(preset: str, settings: Mapping[str, Mapping[str, object]]) -> DataConfig:
    """The settings of the data among those of a command."""
    from retina_core.config import DataConfig

    return DataConfig.resolve("data", preset, settings.get("data"))
