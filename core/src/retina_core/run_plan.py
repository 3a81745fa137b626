"""What a run is to do: the request, and the plan in which everything about it is checked before any work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from retina_core.config import DataConfig, LearningConfig, StageConfig
from retina_core.data.excluding import read_exclusions
from retina_core.data.opening import PHANTOM, open_dataset
from retina_core.data.sample import Split
from retina_core.devices import resolve_device
from retina_core.formats.adopting import adopted_config
from retina_core.formats.stage_card import is_complete, read_card
from retina_core.perceptual.sources import SegmenterSource, WeightsSource, perceptual_source
from retina_core.registry import Registry
from retina_core.run_generation import check_generation
from retina_core.run_starts import Start, asked_starts, own_starts
from retina_core.specs import Role, StageSpec
from retina_core.starters import origin_of
from retina_core.training.fit import refuse_channels
from retina_core.training.options import FitOptions
from retina_core.training.trackers import check_trackers

COUNTS: Final = {"quick": 64, "standard": 256, "paper": 50}
"""Synthetic pairs by preset; 50 is SynthMed's (Guibas et al. 2017, section 3)."""

DURATIONS: Final = {
    "quick": "minutes on two CPU cores",
    "standard": "an hour or more on a CPU, less on a GPU",
    "paper": "days on a CPU",
}
SHORTEST: Final = "about three minutes on two CPU cores"
"""Where no stage is trained, and an evaluator in ``quick``."""

_LATER: Final[Mapping[str, Any]] = {"grade": None, "unseen_grade": False, "filters": None, "vessels": None}
"""What requests were not asked for at first, as it stands where nothing is said: left out of ``run.json`` then, so that a run
that was begun before goes on."""


@dataclass(frozen=True)
class PipelineRequest:
    """What a pipeline is asked for. Two requests that are equal share a run folder."""

    labels: str
    translator: str
    evaluators: tuple[str, ...] = ()
    data: str | tuple[str, ...] = PHANTOM
    """A folder, or several that are combined, or ``phantom``."""
    reader: str | tuple[str, ...] | None = None
    """Who reads all of them, or one for each."""
    preset: str | None = None
    """``quick``, ``standard``, ``paper``; None: ``quick`` for phantoms, ``standard`` for any other data."""
    init: str | None = None
    """``none``, ``starter``, a folder that holds ``labels/`` and ``translator/``.

    None: for phantoms, a stage of which neither preset nor setting is given is its starter, as it is, and any other
    begins from nothing; for other data, a stage that ships a starter learns on from it, but in ``paper``.
    """
    count: int | None = None
    seed: int = 0
    out: Path | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``labels``, ``translator``, ``data`` or an evaluator's name -> key -> value."""
    regimes: tuple[str, ...] = ("REAL", "SYNTH")
    grade: int | str | None = None
    """0 to 4, ``uniform`` or ``as-data``; None: as in the training part, for a label generator that takes grades."""
    unseen_grade: bool = False
    """Whether a grade is drawn that the training part does not hold."""
    filters: tuple[str, ...] | None = None
    """Names of the filters that look at each pair; None: all that are installed."""
    vessels: str | None = None
    """A segmenter's folder, which finds the vessels of painted photographs where label maps have none."""

    def facts(self) -> dict[str, Any]:
        """The request as ``run.json`` holds it: without the folder, which says where and not what.

        What a file of ``data.exclude`` names stands in its place, so that another content is another request.

        Raises:
            PathError: that file cannot be read.
        """
        values = asdict(self)
        values["settings"] = {prefix: dict(chosen) for prefix, chosen in self.settings.items()}
        values["grade"] = None if self.grade is None else str(self.grade)
        values["filters"] = None if self.filters is None else sorted(set(self.filters))
        for key in ["out", *(key for key, usual in _LATER.items() if values[key] == usual)]:
            del values[key]
        if path := values["settings"].get("data", {}).get("exclude"):
            values["settings"]["data"]["exclude"] = sorted(read_exclusions(path))
        return cast(dict[str, Any], json.loads(json.dumps(values, default=list)))

    @property
    def digest(self) -> str:
        """SHA-256 of the request, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """``out``, or ``runs/<labels>-<translator>-<data>-<hash>``."""
        sources = [self.data] if isinstance(self.data, str) else self.data
        data = "+".join(Path(source).name.lower() for source in sources)
        name = f"{self.labels}-{self.translator}-{data}-{self.digest[:8]}"
        return self.out or Path("runs") / name

    @property
    def phantom(self) -> bool:
        """Whether the data are those that need no files."""
        return (self.reader or self.data) == PHANTOM

    @property
    def chosen_preset(self) -> str:
        """The preset, or the one that stands where none is given."""
        return self.preset or ("quick" if self.phantom else "standard")

    @property
    def trainings(self) -> Mapping[str, Any]:
        """What else ``evaluate`` is told of the trainings: nothing, so that the preset says it."""
        return {}

    @property
    def pairs(self) -> int:
        """Synthetic pairs to make."""
        return self.count or COUNTS.get(self.chosen_preset, COUNTS["standard"])


@dataclass(frozen=True)
class RunPlan:
    """A request with everything checked: stages, where they begin, their configs, the data and its split."""

    request: PipelineRequest
    registry: Registry
    options: FitOptions
    specs: Mapping[str, StageSpec]
    starts: Mapping[str, Start]
    """``labels`` and ``translator``."""
    configs: Mapping[str, StageConfig]
    split: Split
    source: WeightsSource | SegmenterSource | None
    """Where the features come from that the translator compares photographs in while it is trained."""

    @classmethod
    def of(cls, request: PipelineRequest, registry: Registry, options: FitOptions) -> RunPlan:
        """Check a request before any work is done.

        Raises:
            RequestError: something about it, or about the data, is wrong.
        """
        roles: dict[str, tuple[str, Role]] = {
            "labels": (request.labels, "label-generator"),
            "translator": (request.translator, "image-translator"),
            **{name: (name, "evaluator") for name in request.evaluators},
        }
        specs = {prefix: registry.stage(name, role) for prefix, (name, role) in roles.items()}
        starts = asked_starts(request, specs, registry)
        configs = _configs(request, specs, registry, starts)
        check_trackers(options.track)
        resolve_device(options.device)
        data_config = DataConfig.resolve("data", request.chosen_preset, request.settings.get("data"))
        dataset = open_dataset(request.data, reader=request.reader, registry=registry, config=data_config)
        refuse_channels(specs["labels"], registry, dataset.channels, dataset.name)
        refuse_channels(specs["translator"], registry, dataset.channels, dataset.name)
        split = dataset.split(request.seed, data_config.test_share)
        if request.init is None:
            starts = own_starts(request, specs, registry, split.train.channels)
            configs = _configs(request, specs, registry, starts)
        check_generation(request, registry, specs["labels"], starts["labels"], split)
        source = None
        if starts["translator"].trained:
            name, config = specs["translator"].name, configs["translator"]
            source = perceptual_source(name, config, request.chosen_preset, registry)
        if source and not is_complete(request.folder / "translator"):
            source.check(options.listener.say)
        configs["data"] = data_config
        return cls(request, registry, options, specs, starts, configs, split, source)

    def told(self) -> list[str]:
        """What is about to be done, where and about how long, for whoever waits."""
        request, trained = self.request, any(start.trained for start in self.starts.values())
        takes = DURATIONS.get(request.chosen_preset, "") if trained else SHORTEST
        takes = "" if request.trainings else takes  # many trainings of a segmenter: nobody has timed them
        return [
            *(start.told for start in self.starts.values() if start.told),
            f"{request.labels} draws label maps, {request.translator} paints photographs over them: "
            f"{request.pairs} pairs in {request.folder}{f', which takes {takes}' if takes else ''}",
            "Ctrl-C stops it at any time; the same command goes on from there",
        ]

    def told_of_stage(self, prefix: str) -> str:
        """How the run comes by a stage."""
        spec, start, train = self.specs[prefix], self.starts[prefix], self.split.train
        if not start.trained:
            return f"{spec.name} comes trained: its starter is used as it is"
        if not isinstance(self.configs[prefix], LearningConfig):
            return f"{spec.name} needs no training"
        task = "draw label maps" if prefix == "labels" else "paint photographs over label maps"
        origin = f", beginning with {origin_of(start.folder)}" if start.folder else ""
        return f"{spec.name} learns to {task} from {len(train)} {self._eyes}{origin}"

    def told_of_evaluator(self, name: str) -> str:
        """How an evaluator comes by its scores."""
        if name not in self.registry.names("segmenter"):
            return f"{name} looks at the pairs"
        meanings = {
            "REAL": f"{len(self.split.train)} {self._eyes}",
            "SYNTH": "the pairs",
            "FINETUNE": "one, then the other",
        }
        regimes = [f"{meanings.get(regime, 'both')} ({regime})" for regime in self.request.regimes]
        return (
            f"{name} learns from {', from '.join(regimes)}, and is tested on {len(self.split.test)} kept back"
        )

    @property
    def _eyes(self) -> str:
        return "phantoms" if self.split.train.phantom else "photographs"


def _configs(
    request: PipelineRequest,
    specs: Mapping[str, StageSpec],
    registry: Registry,
    starts: Mapping[str, Start],
) -> dict[str, StageConfig]:
    """The settings of each stage: what was asked for, or those of a starter that is used as it is."""
    configs = {}
    for prefix, spec in specs.items():
        kind, start = registry.config_class(spec), starts.get(prefix, Start())
        if start.folder and not start.trained:
            configs[prefix] = kind.restore(spec.name, read_card(start.folder).config)
        else:
            settings, preset = request.settings.get(prefix, {}), request.chosen_preset
            if prefix in request.evaluators:
                settings = {**kind.judging.get(preset, {}), **settings}
            configs[prefix] = adopted_config(kind, spec.name, preset, settings, start.folder)
    return configs
