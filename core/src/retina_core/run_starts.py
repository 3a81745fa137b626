"""Where the stages of a run begin: from nothing, from a starter, or with what another run learnt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retina_core.config import LearningConfig
from retina_core.errors import InvalidValueError, PathError
from retina_core.formats.stage_card import read_card
from retina_core.registry import Registry
from retina_core.specs import StageSpec
from retina_core.starters import origin_of

if TYPE_CHECKING:
    from retina_core.run_plan import PipelineRequest


@dataclass(frozen=True)
class Start:
    """Where a stage of a run begins."""

    folder: Path | None = None
    """A stage folder whose weights it takes; None: it begins from nothing."""
    trained: bool = True
    """False: the folder is a starter, which is the run's stage as it is."""
    told: str = ""
    """Why a starter that is there was not taken."""

    def facts(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        if self.folder is None:
            return {"from": None, "trained": self.trained, "files": {}}
        return {
            "from": origin_of(self.folder),
            "trained": self.trained,
            "files": read_card(self.folder).files,
        }


def asked_starts(
    request: PipelineRequest, specs: Mapping[str, StageSpec], registry: Registry
) -> dict[str, Start]:
    """Where the stages begin by ``--init``; one that learns nothing has nothing to begin with.

    Raises:
        InvalidValueError: a stage ships no starter.
        PathError, StageFolderError: the folder is not there, or holds no such stages.
    """
    starts = dict.fromkeys(request.stages, Start())
    if request.init in {None, "none"}:
        return starts
    for prefix in starts:
        spec = specs[prefix]
        if not issubclass(registry.config_class(spec), LearningConfig):
            continue
        starts[prefix] = Start(_asked_folder(str(request.init), prefix, spec, registry))
    return starts


def _asked_folder(init: str, prefix: str, spec: StageSpec, registry: Registry) -> Path:
    if init == "starter":
        starter = registry.starter(spec)
        if starter is None:
            reason = f"{spec.name} ships no starter; use none, or the folder of a run"
            raise InvalidValueError("pipeline", "init", init, reason)
        return starter
    folder = Path(init)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise PathError(folder, "there is no such folder", "give --init a run folder, starter or none")
    return folder / prefix


def own_starts(
    request: PipelineRequest, specs: Mapping[str, StageSpec], registry: Registry, channels: Sequence[str]
) -> dict[str, Start]:
    """Where the stages begin when nothing is said of it: with starters, for phantoms as they are, for eyes to learn on.

    Args:
        channels: of the data. A starter that is used as it is must know them all, and paint nothing that is not drawn;
            one that learns on must know one of them.
    """
    starts = dict.fromkeys(request.stages, Start())
    if not request.phantom:
        found = {prefix: _beginning(request, prefix, specs[prefix], registry, channels) for prefix in starts}
        return {prefix: Start(folder) for prefix, folder in found.items()}
    if request.preset:
        return starts
    drawn = set(channels)
    for prefix in starts:
        starter = registry.starter(specs[prefix])
        if starter is None or request.settings.get(prefix):
            continue
        known = read_card(starter).channels
        if set(channels) <= set(known) and (prefix != "translator" or set(known) <= drawn):
            starts[prefix] = Start(starter, trained=False)
            drawn = set(known)
        else:
            said = f"{specs[prefix].name}: its starter is for {', '.join(known)}, and so not taken here"
            starts[prefix] = Start(told=said)
    return starts


def _beginning(
    request: PipelineRequest, prefix: str, spec: StageSpec, registry: Registry, channels: Sequence[str]
) -> Path | None:
    """The starter from which a stage learns on; None where it has none that fits, or the paper's training is asked for."""
    starter = registry.starter(spec)
    if starter is None or request.chosen_preset == "paper":
        return None
    shaping = set(registry.config_class(spec).architecture) & set(request.settings.get(prefix, ()))
    return starter if not shaping and set(channels) & set(read_card(starter).channels) else None
