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
from retina_core.errors import InvalidValueError
from retina_core.evaluation.added import ADDED
from retina_core.evaluation.elsewhere import Elsewhere, crossed_split, refuse_untestable
from retina_core.evaluation.paper_protocols import divided, protocol_settings, refuse_idle
from retina_core.formats.adopting import adopted_config
from retina_core.formats.stage_card import is_complete, read_card
from retina_core.registry import Registry
from retina_core.run_generation import check_generation
from retina_core.run_starts import Start, asked_starts, own_starts
from retina_core.specs import Role, StageSpec
from retina_core.starters import origin_of
from retina_core.training.borrowed import Borrowings
from retina_core.training.lessons import learnable, refuse_channels
from retina_core.training.options import FitOptions
from retina_core.training.trackers import check_trackers

COUNTS: Final = {"quick": 64, "standard": 256, "paper": 50}
"""Synthetic pairs by preset; 50 is SynthMed's (Guibas et al. 2017, section 3)."""

DURATIONS: Final = {
    "quick": "minutes on two CPU cores",
    "standard": "an hour or more on a CPU, less on a GPU",
    "paper": "days on a CPU",
}
TASKS: Final = {
    "labels": "draw label maps",
    "translator": "paint photographs over label maps",
    "pairs": "draw label maps and photographs together",
}
"""What the stage of each prefix learns to do."""
SHORTEST: Final = "about three minutes on two CPU cores"
"""Where no stage is trained, and an evaluator in ``quick``."""

_LATER: Final[Mapping[str, Any]] = {
    **{"grade": None, "unseen_grade": False, "filters": None, "vessels": None},
    **{"labels": None, "translator": None, "pairs": None},
    **{"test_data": None, "test_reader": None, "test_part": "test", "protocol": None},
}
"""What requests were not asked for at first, as it stands where nothing is said: left out of ``run.json`` then, so that a run
that was begun before goes on."""


@dataclass(frozen=True)
class PipelineRequest:
    """What a pipeline is asked for. Two requests that are equal share a run folder."""

    labels: str | None = None
    """A label generator; None where there is a pair generator."""
    translator: str | None = None
    """An image translator; None where there is a pair generator."""
    evaluators: tuple[str, ...] = ()
    data: str | tuple[str, ...] = PHANTOM
    """A folder, or several that are combined, or ``phantom``."""
    reader: str | tuple[str, ...] | None = None
    """Who reads all of them, or one for each."""
    preset: str | None = None
    """``quick``, ``standard``, ``paper``; None: ``quick`` for phantoms, ``standard`` for any other data."""
    init: str | None = None
    """``none``, ``starter``, a folder that holds ``labels/`` and ``translator/``, or ``pairs/``.

    None: for phantoms, a stage of which neither preset nor setting is given is its starter, as it is, and any other
    begins from nothing; for other data, a stage that ships a starter learns on from it, but in ``paper``.
    """
    count: int | None = None
    seed: int = 0
    out: Path | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``labels``, ``translator``, ``pairs``, ``data`` or an evaluator's name -> key -> value."""
    regimes: tuple[str, ...] = ("REAL", "SYNTH")
    grade: int | str | None = None
    """0 to 4, ``uniform`` or ``as-data``; None: as in the training part, for a label generator that takes grades."""
    unseen_grade: bool = False
    """Whether a grade is drawn that the training part does not hold."""
    filters: tuple[str, ...] | None = None
    """Names of the filters that look at each pair; None: all that are installed."""
    vessels: str | None = None
    """A segmenter's folder, which finds the vessels of painted photographs where label maps have none."""
    pairs: str | None = None
    """A pair generator, in place of ``labels`` and ``translator``."""
    test_data: str | tuple[str, ...] | None = None
    """Another data set to test on, or several that are combined; None: the test part of ``data``."""
    test_reader: str | tuple[str, ...] | None = None
    """Who reads it; None: whoever knows its layout."""
    test_part: str = "test"
    """``test``: its test part; ``all``: every eye of it."""
    protocol: str | None = None
    """The paper's protocol by which segmenters are trained and tested; None: the core's own."""

    @property
    def stages(self) -> dict[str, tuple[str, Role]]:
        """Prefix of settings, and folder in the run -> name and role of each stage that pairs are made by, in order.

        Raises:
            InvalidValueError: ``pairs`` stands beside one of the others, or one of them is missing.
        """
        if self.pairs is not None:
            if self.labels is not None or self.translator is not None:
                reason = "it stands in place of labels and translator; leave these out, or pairs"
                raise InvalidValueError("pipeline", "pairs", self.pairs, reason)
            return {"pairs": (self.pairs, "pair-generator")}
        if self.labels is None or self.translator is None:
            missing = "labels" if self.labels is None else "translator"
            reason = "name a label generator and a translator, or a pair generator (pairs)"
            raise InvalidValueError("pipeline", missing, None, reason)
        return {
            "labels": (self.labels, "label-generator"),
            "translator": (self.translator, "image-translator"),
        }

    @property
    def drawing(self) -> str:
        """Prefix of the stage that draws label maps."""
        return next(iter(self.stages))

    @property
    def painting(self) -> str:
        """Prefix of the stage that paints photographs."""
        return list(self.stages)[-1]

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
        """``out``, or ``runs/<labels>-<translator>-<data>-<hash>``; one name where there is a pair generator."""
        sources = [self.data] if isinstance(self.data, str) else self.data
        data = "+".join(Path(source).name.lower() for source in sources)
        stages = "-".join(name for name, _ in self.stages.values())
        return self.out or Path("runs") / f"{stages}-{data}-{self.digest[:8]}"

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
    def pair_count(self) -> int:
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
    """Of each of the request's ``stages``."""
    configs: Mapping[str, StageConfig]
    split: Split
    borrowings: Borrowings
    """What the stage that paints photographs is trained by besides the data."""

    @classmethod
    def of(cls, request: PipelineRequest, registry: Registry, options: FitOptions) -> RunPlan:
        """Check a request before any work is done.

        Raises:
            RequestError: something about it, or about the data, is wrong.
        """
        set_here = [name for name in ADDED if name in request.settings]
        roles: dict[str, tuple[str, Role]] = {
            **request.stages,
            **{name: (name, "evaluator") for name in (*request.evaluators, *set_here)},
        }
        specs = {prefix: registry.stage(name, role) for prefix, (name, role) in roles.items()}
        refuse_idle(request.protocol, request.evaluators, registry.names("segmenter"))
        starts = asked_starts(request, specs, registry)
        configs = _configs(request, specs, registry, starts)
        check_trackers(options.track)
        resolve_device(options.device)
        data_config = DataConfig.resolve("data", request.chosen_preset, request.settings.get("data"))
        dataset = open_dataset(request.data, reader=request.reader, registry=registry, config=data_config)
        for prefix in request.stages:
            refuse_channels(specs[prefix], registry, dataset.channels, dataset.name)
        split = divided(dataset, request.seed, data_config, request.protocol)
        if request.test_data is not None:
            elsewhere = Elsewhere(request.test_data, request.test_reader, request.test_part)
            split = crossed_split(
                split, elsewhere.opened(request.seed, data_config, registry, request.protocol)
            )
        if request.test_data is None and set(request.evaluators) & set(registry.names("segmenter")):
            refuse_untestable(split)
        if request.init is None:
            starts = own_starts(request, specs, registry, split.train.channels)
            configs = _configs(request, specs, registry, starts)
        drawing, painting = request.drawing, request.painting
        check_generation(request, registry, specs[drawing], starts[drawing], split)
        borrowings = Borrowings()
        if starts[painting].trained:
            name, config = specs[painting].name, configs[painting]
            borrowings = Borrowings.of(name, config, request.chosen_preset, registry)
        if not is_complete(request.folder / painting):
            borrowings.check(options.listener.say, split.test)
        configs["data"] = data_config
        return cls(request, registry, options, specs, starts, configs, split, borrowings)

    def told(self) -> list[str]:
        """What is about to be done, where and about how long, for whoever waits."""
        request, trained = self.request, any(start.trained for start in self.starts.values())
        takes = DURATIONS.get(request.chosen_preset, "") if trained else SHORTEST
        takes = "" if request.trainings else takes  # many trainings of a segmenter: nobody has timed them
        return [
            *(start.told for start in self.starts.values() if start.told),
            f"{self._making}: {request.pair_count} pairs in {request.folder}{f', which takes {takes}' if takes else ''}",
            "Ctrl-C stops it at any time; the same command goes on from there",
        ]

    def told_of_stage(self, prefix: str) -> str:
        """How the run comes by a stage."""
        spec, start, train = self.specs[prefix], self.starts[prefix], self.split.train
        if not start.trained:
            return f"{spec.name} comes trained: its starter is used as it is"
        if not isinstance(self.configs[prefix], LearningConfig):
            return f"{spec.name} needs no training"
        task = TASKS[prefix]
        origin = f", beginning with {origin_of(start.folder)}" if start.folder else ""
        return f"{spec.name} learns to {task} from {len(learnable(train, masks=True))} {self._eyes}{origin}"

    def told_of_evaluator(self, name: str) -> str:
        """How an evaluator comes by its scores."""
        if name not in self.registry.names("segmenter"):
            return f"{name} looks at the pairs"
        meanings = {
            "REAL": f"{len(learnable(self.split.train, masks=True))} {self._eyes}",
            "SYNTH": "the pairs",
            "FINETUNE": "one, then the other",
        }
        regimes = [f"{meanings.get(regime, 'both')} ({regime})" for regime in self.request.regimes]
        return f"{name} learns from {', from '.join(regimes)}, and is tested on {len(learnable(self.split.test, masks=True))} {self._origin}"

    @property
    def _making(self) -> str:
        if self.request.pairs is not None:
            return f"{self.request.pairs} draws label maps and photographs together"
        return (
            f"{self.request.labels} draws label maps, {self.request.translator} paints photographs over them"
        )

    @property
    def _origin(self) -> str:
        """Where test eyes come from."""
        return "kept back" if self.request.test_data is None else f"of {self.split.test.name}"

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
                segments = prefix in registry.names("segmenter")
                paper = protocol_settings(request.protocol if segments else None, kind)
                settings = {**kind.judging.get(preset, {}), **paper, **settings}
            configs[prefix] = adopted_config(kind, registry.reference(spec), preset, settings, start.folder)
    return configs
