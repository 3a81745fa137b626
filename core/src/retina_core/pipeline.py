"""The whole in one run folder: train both stages, write pairs, evaluate them. The same request continues."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch

from retina_core.config import DataConfig, StageConfig
from retina_core.data.opening import open_dataset
from retina_core.data.sample import Dataset, Sample, Split
from retina_core.devices import resolve_device, resolve_precision
from retina_core.errors import InvalidValueError, PathError
from retina_core.evaluation.running import evaluate
from retina_core.formats.atomic import write_json
from retina_core.formats.lock import sole_use
from retina_core.formats.sample_set import METADATA
from retina_core.formats.stage_card import CARD, MODEL, PRIORS, SEEN
from retina_core.generation import generate
from retina_core.registry import Registry
from retina_core.run_record import RunRecord, RunStep
from retina_core.specs import Role, StageSpec
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_core.training.trackers import check_trackers

SCHEMA = 1
COUNTS = {"quick": 64, "standard": 256, "paper": 50}
"""Synthetic pairs by preset; 50 is SynthMed's (Guibas et al. 2017, section 3)."""


@dataclass(frozen=True)
class PipelineRequest:
    """What a pipeline is asked for. Two requests that are equal share a run folder."""

    labels: str
    translator: str
    evaluators: tuple[str, ...] = ()
    data: str = "phantom"
    reader: str | None = None
    preset: str = "standard"
    init: str | None = None
    """``none``, ``starter``, a folder that holds ``labels/`` and ``translator/``; None: starters without ``data``."""
    count: int | None = None
    seed: int = 0
    out: Path | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``labels``, ``translator``, ``data`` or an evaluator's name -> key -> value."""
    regimes: tuple[str, ...] = ("REAL", "SYNTH")

    def facts(self) -> dict[str, Any]:
        """The request as ``run.json`` holds it: without the folder, which says where and not what."""
        values = asdict(self)
        del values["out"]
        return cast(dict[str, Any], json.loads(json.dumps(values, default=list)))

    @property
    def digest(self) -> str:
        """SHA-256 of the request, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """``out``, or ``runs/<labels>-<translator>-<data>-<hash>``."""
        name = f"{self.labels}-{self.translator}-{Path(self.data).name.lower()}-{self.digest[:8]}"
        return self.out or Path("runs") / name

    @property
    def pairs(self) -> int:
        """Synthetic pairs to make."""
        return self.count or COUNTS.get(self.preset, COUNTS["standard"])


def run_pipeline(
    request: PipelineRequest, *, options: FitOptions | None = None, registry: Registry | None = None
) -> Path:
    """Do what a request asks for; what its folder already holds is not done again.

    Returns:
        The run folder. The report is the command's part (``retina_cli.report``).

    Raises:
        RequestError: something about the request or the data is wrong; nothing was begun.
        RunError: a step failed; the same call goes on from its last checkpoint.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, at the next clean place; the same call goes on from there.
    """
    registry = registry or Registry.discover()
    options = replace(options or FitOptions(), seed=request.seed)
    plan = _Plan.of(request, registry, options)
    with sole_use(request.folder):
        _Run(plan).carry_out()
    registry.announce("retina_run_finished", folder=request.folder)
    return request.folder


@dataclass(frozen=True)
class _Plan:
    """A request with everything checked: stages, their configs, the data and its split."""

    request: PipelineRequest
    registry: Registry
    options: FitOptions
    specs: Mapping[str, StageSpec]
    configs: Mapping[str, StageConfig]
    split: Split
    init: Path | None

    @classmethod
    def of(cls, request: PipelineRequest, registry: Registry, options: FitOptions) -> _Plan:
        """Check a request before any work is done."""
        roles: dict[str, tuple[str, Role]] = {
            "labels": (request.labels, "label-generator"),
            "translator": (request.translator, "image-translator"),
            **{name: (name, "evaluator") for name in request.evaluators},
        }
        specs = {prefix: registry.stage(name, role) for prefix, (name, role) in roles.items()}
        configs = {
            prefix: registry.config_class(spec).resolve(
                spec.name, request.preset, request.settings.get(prefix)
            )
            for prefix, spec in specs.items()
        }
        check_trackers(options.track)
        resolve_device(options.device)
        init = _init_folder(request.init)
        data_config = DataConfig.resolve("data", request.preset, request.settings.get("data"))
        dataset = open_dataset(request.data, reader=request.reader, registry=registry, config=data_config)
        split = dataset.split(request.seed, data_config.test_share)
        return cls(request, registry, options, specs, {**configs, "data": data_config}, split, init)


def _init_folder(init: str | None) -> Path | None:
    if init is None or init == "none":
        return None
    if init == "starter":
        raise InvalidValueError(
            "pipeline", "init", init, "no installed stage ships a starter; use none or a run folder"
        )
    folder = Path(init)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise PathError(folder, "there is no such folder", "give --init a run folder, or none")
    return folder


class _Run:
    """One run folder while it is worked in."""

    def __init__(self, plan: _Plan) -> None:
        self.plan, self.folder = plan, plan.request.folder
        self.record = RunRecord(self.folder, _facts(plan))

    def carry_out(self) -> None:
        """Each step in turn; those whose results are there are not done again."""
        steps = self._steps()
        self.record.begin(steps)
        write_json(self.folder / "data.json", _data_facts(self.plan.split))
        for step in steps:
            if not self.record.is_done(step):
                self.plan.options.listener.say(f"{step.name}: begins ({self.folder / step.name})")
                seconds = self.record.carry_out(step)
                self.plan.options.listener.say(f"{step.name}: done in {seconds:.0f} s")

    def _steps(self) -> list[RunStep]:
        stage, pairs = (SEEN, MODEL, PRIORS, CARD), f"synthetic/{METADATA}"
        cards = (f"labels/{CARD}", f"translator/{CARD}")
        evaluators = dict.fromkeys((*self.plan.request.evaluators, "likeness"))
        return [
            RunStep("labels", partial(self._fit, "labels"), stage),
            RunStep("translator", partial(self._fit, "translator"), stage),
            RunStep("synthetic", self._generate, (SEEN, METADATA), cards),
            *(
                RunStep(f"evaluation/{name}", partial(self._evaluate, name), ("scores.json",), (pairs,))
                for name in evaluators
            ),
        ]

    def _fit(self, prefix: str) -> None:
        plan = self.plan
        spec = plan.specs[prefix]
        fit(
            spec.name,
            plan.split.train,
            self.folder / prefix,
            role=spec.role,
            preset=plan.request.preset,
            settings=plan.request.settings.get(prefix),
            init=plan.init / prefix if plan.init else None,
            options=plan.options,
            registry=plan.registry,
        )

    def _generate(self) -> None:
        generate(
            self.folder / "labels",
            self.folder / "translator",
            count=self.plan.request.pairs,
            out=self.folder / "synthetic",
            seed=self.plan.request.seed,
            options=self.plan.options,
            registry=self.plan.registry,
        )

    def _evaluate(self, name: str) -> None:
        plan = self.plan
        evaluate(
            name,
            self.folder / "synthetic",
            plan.split,
            self.folder / "evaluation" / name,
            preset=plan.request.preset,
            settings=plan.request.settings.get(name),
            regimes=plan.request.regimes,
            options=plan.options,
            registry=plan.registry,
        )


def _facts(plan: _Plan) -> dict[str, Any]:
    device = resolve_device(plan.options.device)
    content = [
        plan.request.digest,
        sorted(s.identity for part in _parts(plan.split) for s in part.samples),
    ]
    return {
        "schema": SCHEMA,
        "request": plan.request.facts(),
        "digest": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "configs": {prefix: config.model_dump(mode="json") for prefix, config in plan.configs.items()},
        "seed": plan.request.seed,
        "versions": _versions(plan),
        "device": str(device),
        "precision": resolve_precision(plan.options.precision, device),
        "threads": torch.get_num_threads(),
    }


def _versions(plan: _Plan) -> dict[str, str]:
    names = {"retina-core", *(plan.registry.plugin_of(spec).distribution for spec in plan.specs.values())}
    installed = {name: metadata.version(name) for name in sorted(names) if name}
    return {"python": platform.python_version(), "torch": torch.__version__, **installed}


def _parts(split: Split) -> tuple[Dataset, Dataset]:
    return split.train, split.test


def _data_facts(split: Split) -> dict[str, Any]:
    train = split.train
    return {
        "schema": SCHEMA,
        "name": train.name,
        "reader": train.reader,
        "phantom": train.phantom,
        "channels": list(train.channels),
        "train": [_sample_facts(sample) for sample in train.samples],
        "test": [_sample_facts(sample) for sample in split.test.samples],
        "citation": train.citation,
        "licence": train.licence,
        "notes": list(train.notes),
    }


def _sample_facts(sample: Sample) -> dict[str, str]:
    return {"id": sample.id, "patient": sample.patient, "fingerprint": sample.identity}
