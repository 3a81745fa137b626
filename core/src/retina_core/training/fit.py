"""Training a stage in a folder: from a name and a data set to a stage folder that can be used anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from retina_core.config import LearningConfig, StageConfig
from retina_core.data.prepare import PreparedSamples, prepare
from retina_core.data.sample import Dataset
from retina_core.errors import DatasetError, RunFolderError
from retina_core.formats.lock import sole_use
from retina_core.formats.stage_card import CARD, SEEN, is_complete, read_card, read_seen
from retina_core.formats.stage_folder import adopt_weights, load_stage, save_stage
from retina_core.randomness import sample_seed
from retina_core.registry import Registry
from retina_core.specs import Role, StageSpec
from retina_core.stages import LearningStage, Stage
from retina_core.training.feed import Course
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.priors import priors_of
from retina_core.training.trackers import check_trackers

CALIBRATION_BATCHES = 8


@dataclass(frozen=True)
class Lesson:
    """What a stage is to learn from, and from how many seen images on."""

    dataset: Dataset
    start: int = 0


def fit(
    stage: str,
    samples: Dataset | Sequence[Lesson],
    out: Path | str,
    *,
    role: Role | None = None,
    preset: str = "standard",
    settings: Mapping[str, Any] | None = None,
    init: Path | None = None,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Stage:
    """Train a stage and write its folder; the same call goes on where it was stopped, or loads what is finished.

    Args:
        stage: its name, or ``role:name``.
        samples: the training samples alone; a stage never sees what it will be tested on.
        out: the stage's folder.
        preset: ``quick``, ``standard`` or ``paper``; ``settings`` override single values.
        init: a stage folder whose weights to begin with.

    Returns:
        The trained stage, ready to be used.

    Raises:
        PluginError, ConfigError, DataError: before any work.
        RunFolderError: ``out`` holds a training with other data or settings.
        NonFiniteLossError: the training diverged; its last checkpoint is kept.
        StorageError: the disk is full, or ``out`` cannot be written.
        KeyboardInterrupt: Ctrl-C, or SIGTERM; the step was finished and a checkpoint written. A second one is
            obeyed at once.
    """
    registry = registry or Registry.discover()
    options = options or FitOptions()
    spec = registry.stage(stage, role)
    config = registry.config_class(spec).resolve(spec.name, preset, settings)
    lessons = [Lesson(samples)] if isinstance(samples, Dataset) else list(samples)
    check_trackers(options.track)
    job = _Job(spec, config, lessons, Path(out), init, options, registry)
    job.check()
    # Under torchrun one process speaks for all; the others follow it.
    with sole_use(job.folder) if os.environ.get("RANK", "0") == "0" else nullcontext():
        if not job.finished():
            job.train()
    return load_stage(out, registry=registry, device=options.device)


@dataclass(frozen=True)
class _Job:
    spec: StageSpec
    config: StageConfig
    lessons: Sequence[Lesson]
    folder: Path
    init: Path | None
    options: FitOptions
    registry: Registry

    @property
    def channels(self) -> tuple[str, ...]:
        return self.lessons[0].dataset.channels

    def check(self) -> None:
        """Refuse what cannot be trained on."""
        for lesson in self.lessons:
            if not lesson.dataset.samples:
                raise DatasetError(lesson.dataset.name, ["no training sample is left after the split"])
        if not self.channels:
            raise DatasetError(
                self.lessons[0].dataset.name, ["no label channel is annotated in every sample"]
            )
        kind = self.registry.stage_class(self.spec)
        if not getattr(kind, "masks_absent", True):
            self._refuse_absent()

    def _refuse_absent(self) -> None:
        """An absent channel is never trained on as if it were empty."""
        for lesson in self.lessons:
            absent = {
                channel: sum(channel not in sample.labels for sample in lesson.dataset.samples)
                for channel in self.channels
            }
            if problems := [
                f"{count} samples are not annotated for {channel}, which {self.spec.name} would learn as empty; "
                "leave the channel or the samples out"
                for channel, count in absent.items()
                if count
            ]:
                raise DatasetError(lesson.dataset.name, problems)

    @property
    def request(self) -> str:
        """Hash of all that shapes the result: another one is another training."""
        parts = {
            "stage": f"{self.spec.role}:{self.spec.name}",
            "config": self.config.model_dump(mode="json"),
            "channels": self.channels,
            "lessons": [
                [lesson.start, [s.identity for s in lesson.dataset.samples]] for lesson in self.lessons
            ],
            "seed": self.options.seed,
            "precision": self.options.precision,
            "init": read_card(self.init).files if self.init else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def finished(self) -> bool:
        """Whether the folder already holds the result of this very request."""
        if not (self.folder / CARD).exists():
            return False
        if read_card(self.folder).provenance.get("request") == self.request:
            return is_complete(self.folder)  # what is missing is written again from the last checkpoint
        raise RunFolderError(
            self.folder, "it holds a stage trained with other data or settings", "choose another --out"
        )

    def train(self) -> None:
        stage = self._new_stage()
        if not isinstance(stage, LearningStage):
            self._save(stage, "fp32", seen_by(lesson.dataset for lesson in self.lessons))
            return
        courses = [Course(self._prepare(lesson), lesson.start) for lesson in self.lessons]
        stage.priors = priors_of(courses[0].samples, self.channels)
        loop = Loop(stage, courses, self.folder, self.options, registry=self.registry, request=self.request)
        loop.run()
        with loop.finished_weights(), torch.no_grad():
            stage.calibrate(loop.rehearsal_batches(CALIBRATION_BATCHES), self.options.seed)
            if loop.processes.first:
                self._save(stage, loop.precision, self._seen(courses))
        loop.processes.wait()

    def _new_stage(self) -> Stage:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample_seed(self.options.seed, f"init/{self.spec.name}", 0))
            stage = cast(Stage, self.registry.stage_class(self.spec)(self.config, self.channels))
        if self.init is not None:
            fresh = adopt_weights(stage, self.init)
            kept = f"all weights of {self.init}" if not fresh else f"{self.init}, {len(fresh)} weights fresh"
            self.options.listener.say(f"{self.spec.name}: starts from {kept}")
        return stage

    def _prepare(self, lesson: Lesson) -> PreparedSamples:
        resolution = cast(LearningConfig, self.config).resolution
        return prepare(lesson.dataset.samples, self.channels, resolution)

    def _seen(self, courses: Sequence[Course]) -> set[str]:
        """As ``seen_by``, without decoding or drawing a photograph again: prepared samples know their hashes."""
        hashes = {print_ for course in courses for print_ in course.samples.fingerprints}
        return hashes.union(*(_seen_before(lesson.dataset) for lesson in self.lessons))

    def _save(self, stage: Stage, precision: str, seen: Iterable[str]) -> None:
        datasets = [lesson.dataset for lesson in self.lessons]
        provenance = {
            "request": self.request,
            "data": [dataset.name for dataset in datasets],
            "phantom": any(dataset.phantom for dataset in datasets),
            "samples": sum(len(dataset.samples) for dataset in datasets),
            "seed": self.options.seed,
            "precision": precision,
            "device": str(stage.device),
            "torch": torch.__version__,
            "init": str(self.init) if self.init else None,
        }
        plugin = self.registry.plugin_of(self.spec)
        save_stage(stage, self.folder, plugin=plugin, seen=seen, provenance=provenance)
        self.registry.announce(
            "retina_stage_fitted", stage=self.spec.name, role=self.spec.role, folder=self.folder
        )


def seen_by(datasets: Iterable[Dataset]) -> set[str]:
    """Content hashes of all photographs that had a part in some data sets: theirs, and those that a synthetic set
    was made from.
    """
    hashes: set[str] = set()
    for dataset in datasets:
        hashes.update(sample.fingerprint for sample in dataset.samples)
        hashes |= _seen_before(dataset)
    return hashes


def _seen_before(dataset: Dataset) -> frozenset[str]:
    """What went into a synthetic set; nothing for any other data set."""
    if dataset.root is not None and (dataset.root / SEEN).exists():
        return read_seen(dataset.root)
    return frozenset()
