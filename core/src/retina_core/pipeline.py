"""The whole in one run folder: train the stages, write pairs, evaluate them. The same request continues."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from retina_core.data.sample import Dataset, Sample, Split
from retina_core.devices import resolve_device, resolve_precision
from retina_core.errors import StageFolderError
from retina_core.evaluation.added import GRADES, LIKENESS
from retina_core.evaluation.running import evaluate
from retina_core.formats.atomic import write_json
from retina_core.formats.lock import sole_use
from retina_core.formats.sample_set import METADATA
from retina_core.formats.stage_card import CARD, MODEL, PRIORS, SEEN, read_card
from retina_core.generation import generate
from retina_core.perceptual.sources import SegmenterSource
from retina_core.registry import Registry
from retina_core.run_generation import draws_grades
from retina_core.run_plan import PipelineRequest, RunPlan
from retina_core.run_record import RunRecord, RunStep
from retina_core.starters import copy_starter
from retina_core.training.borrowed import fit_segmenter
from retina_core.training.fit import fit
from retina_core.training.identity import maps_digest
from retina_core.training.options import FitOptions

SCHEMA = 1


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
    return carry_out(RunPlan.of(request, registry, options))


def carry_out(plan: RunPlan, *, ending: Callable[[], object] = lambda: None) -> Path:
    """Do what a checked plan says, then what ends it. Returns the run folder.

    Raises:
        RunError, KeyboardInterrupt: as ``run_pipeline``.
    """
    folder = plan.request.folder
    with sole_use(folder):
        _Run(plan).carry_out()
        ending()
    plan.registry.announce("retina_run_finished", folder=folder)
    return folder


class _Run:
    """One run folder while it is worked in."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan, self.folder = plan, plan.request.folder
        self.record = RunRecord(self.folder, _facts(plan))

    def carry_out(self) -> None:
        """Each step in turn; those whose results are there are not done again."""
        steps = self._steps()
        self.record.begin(steps)
        write_json(self.folder / "data.json", _data_facts(self.plan))
        say = self.plan.options.listener.say
        if not all(self.record.is_done(step) for step in steps):
            for line in self.plan.told():
                say(line)
        for place, step in enumerate(steps, start=1):
            if not self.record.is_done(step):
                name = f"step {place} of {len(steps)}, {step.name}"
                say(f"{name}: begins ({step.told})")
                seconds = self.record.carry_out(step)
                say(f"{name}: done in {seconds:.0f} s, see {self.folder / step.name}")

    def _steps(self) -> list[RunStep]:
        stage, pairs = (SEEN, MODEL, PRIORS, CARD), f"synthetic/{METADATA}"
        cards = [f"{prefix}/{CARD}" for prefix in self.plan.request.stages]
        if self.plan.request.vessels is not None:
            cards.append(str(Path(self.plan.request.vessels).absolute() / CARD))
        evaluators = dict.fromkeys((*self.plan.request.evaluators, LIKENESS, *self._graded()))
        painted = f"{self.plan.request.pair_count} pairs are drawn and painted"
        *before, painting = [self._stage(prefix, stage) for prefix in self.plan.request.stages]
        return [
            *before,
            *self._borrowing(stage),
            painting,
            RunStep("synthetic", self._generate, (SEEN, METADATA), cards, painted),
            *(
                RunStep(
                    f"evaluation/{name}",
                    partial(self._evaluate, name),
                    ("scores.json",),
                    (pairs,),
                    self.plan.told_of_evaluator(name),
                )
                for name in evaluators
            ),
        ]

    def _graded(self) -> tuple[str, ...]:
        """The evaluator that says whether grades show, where there are some."""
        plan = self.plan
        start, spec = plan.starts[plan.request.drawing], plan.specs[plan.request.drawing]
        return (GRADES,) if draws_grades(plan.request, plan.registry, spec, start, plan.split) else ()

    def _stage(self, prefix: str, files: tuple[str, ...]) -> RunStep:
        """The step that trains a stage, or takes its starter as it is."""
        start, told = self.plan.starts[prefix], self.plan.told_of_stage(prefix)
        if start.folder is None or start.trained:
            return RunStep(prefix, partial(self._fit, prefix), files, told=told)
        work = partial(self._copy, start.folder, prefix)
        return RunStep(prefix, work, files, (str(start.folder / CARD),), told)

    def _copy(self, starter: Path, prefix: str) -> None:
        copy_starter(starter, self.folder / prefix)
        self._note_features()
        spec = self.plan.specs[prefix]
        self.plan.registry.announce(
            "retina_stage_fitted", stage=spec.name, role=spec.role, folder=self.folder / prefix
        )

    def _borrowing(self, files: tuple[str, ...]) -> list[RunStep]:
        """The step that fits what the stage that paints borrows; none where there is nothing to fit."""
        found = self.plan.borrowings.segmenters
        if not found:
            return []
        names = [f"{source.spec.name}/{name}" for source, _ in found for name in files]
        told = ", ".join(f"{source.spec.name} learns {task}" for source, task in found)
        work = partial(self._fit_borrowed, [source for source, _ in found])
        return [RunStep("features", work, names, told=told)]

    def _fit_borrowed(self, sources: Sequence[SegmenterSource]) -> None:
        plan = self.plan
        for source in sources:
            fit_segmenter(source, plan.split.train, self.folder / "features", plan.options, plan.registry)

    def _fit(self, prefix: str) -> None:
        plan = self.plan
        spec = plan.specs[prefix]
        fit(
            spec.name,
            plan.split.train,
            self.folder / prefix,
            role=spec.role,
            preset=plan.request.chosen_preset,
            settings=plan.request.settings.get(prefix),
            init=plan.starts[prefix].folder,
            features=self.folder / "features",
            options=plan.options,
            registry=plan.registry,
        )
        self._note_features()

    def _note_features(self) -> None:
        self.record.note("perceptual", _compared_in(self.folder / self.plan.request.painting))

    def _generate(self) -> None:
        labels, translator, pairs = (
            self.folder / prefix if prefix in self.plan.request.stages else None
            for prefix in ("labels", "translator", "pairs")
        )
        generate(
            labels,
            translator,
            pairs=pairs,
            count=self.plan.request.pair_count,
            out=self.folder / "synthetic",
            seed=self.plan.request.seed,
            grade=self.plan.request.grade,
            unseen_grade=self.plan.request.unseen_grade,
            filters=self.plan.request.filters,
            vessels=self.plan.request.vessels,
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
            preset=plan.request.chosen_preset,
            settings=plan.request.settings.get(name),
            regimes=plan.request.regimes,
            protocol=plan.request.protocol if name in plan.registry.names("segmenter") else None,
            **plan.request.trainings,
            options=plan.options,
            registry=plan.registry,
        )


def _facts(plan: RunPlan) -> dict[str, Any]:
    device = resolve_device(plan.options.device)
    content = [
        plan.request.digest,
        sorted(s.identity for part in _parts(plan.split) for s in part.samples),
    ]
    return {
        "schema": SCHEMA,
        "request": plan.request.facts(),
        "digest": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "maps": maps_digest(
            [s for part in _parts(plan.split) for s in part.samples], plan.split.train.channels, grades=True
        ),
        "preset": plan.request.chosen_preset,
        "starts": {prefix: start.facts() for prefix, start in plan.starts.items()},
        "configs": {prefix: config.model_dump(mode="json") for prefix, config in plan.configs.items()},
        "seed": plan.request.seed,
        "versions": _versions(plan),
        "device": str(device),
        "precision": resolve_precision(plan.options.precision, device),
        "threads": torch.get_num_threads(),
        "perceptual": _compared_in(plan.request.folder / plan.request.painting),
    }


def _compared_in(painting: Path) -> Any:
    """The features in which the stage in a folder compared photographs, as it says itself; nothing before it is there."""
    try:
        return read_card(painting).provenance.get("perceptual", {})
    except StageFolderError:  # none yet, or a damaged one, which the step will meet
        return {}


def _versions(plan: RunPlan) -> dict[str, str]:
    names = {"retina-core", *(plan.registry.plugin_of(spec).distribution for spec in plan.specs.values())}
    installed = {name: metadata.version(name) for name in sorted(names) if name}
    return {"python": platform.python_version(), "torch": torch.__version__, **installed}


def _parts(split: Split) -> tuple[Dataset, Dataset]:
    return split.train, split.test


def _data_facts(plan: RunPlan) -> dict[str, Any]:
    split = plan.split
    train = split.train
    elsewhere = {} if plan.request.test_data is None else {"tested_on": split.test.name}
    return {
        "schema": SCHEMA,
        "name": train.name,
        "reader": train.reader,
        "phantom": train.phantom,
        "channels": list(train.channels),
        "train": [_sample_facts(sample, train.channels) for sample in train.samples],
        "test": [_sample_facts(sample, train.channels) for sample in split.test.samples],
        "sets": [{"name": one.name, "reader": one.reader, "samples": one.samples} for one in train.origins],
        "excluded": list(train.excluded),
        "left_out": list(split.left_out),
        "citation": train.citation,
        "licence": train.licence,
        "notes": list(train.notes),
        **elsewhere,
    }


def _sample_facts(sample: Sample, channels: Sequence[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"id": sample.id, "patient": sample.patient, "fingerprint": sample.identity}
    if sample.grade_from:
        facts["grade_from"] = sample.grade_from
    if not any(channel in sample.labels for channel in channels):
        facts["annotated"] = False
    return {**facts, "weak": list(sample.weak)} if sample.weak else facts
