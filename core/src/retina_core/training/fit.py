"""Training a stage in a folder: from a name and a data set to a stage folder that can be used anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from retina_core.config import LearningConfig, PerceptualConfig, StageConfig
from retina_core.data.prepare import PreparedSamples, prepare
from retina_core.data.sample import Dataset
from retina_core.devices import resolve_device
from retina_core.errors import DatasetError, InvalidValueError, RunFolderError
from retina_core.formats.adopting import adopt_weights, adopted_config, followed
from retina_core.formats.lock import sole_use
from retina_core.formats.stage_card import CARD, is_complete, read_card, read_seen, read_signatures
from retina_core.formats.stage_folder import load_stage, save_stage
from retina_core.randomness import sample_seed
from retina_core.registry import Registry
from retina_core.roles import Segmenter
from retina_core.specs import Role, StageSpec
from retina_core.stages import LearningStage, Stage
from retina_core.starters import origin_of
from retina_core.style_config import StyleConfig
from retina_core.training.borrowed import Borrowings
from retina_core.training.feed import Course
from retina_core.training.identity import maps_digest, request_digest
from retina_core.training.lessons import Lesson, learnable_lessons, none_learnable, refuse_channels
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.priors import priors_of
from retina_core.training.processes import Processes
from retina_core.training.seen import seen_before, seen_by, signatures_of
from retina_core.training.trackers import check_trackers
from retina_core.training.validation import Validation, validation_eyes

CALIBRATION_BATCHES = 8
PRIORS_PX = 256
"""Side of the fields of view of a stage that learns nothing and has no size of its own."""


def fit(
    stage: str,
    samples: Dataset | Sequence[Lesson],
    out: Path | str,
    *,
    role: Role | None = None,
    preset: str = "standard",
    settings: Mapping[str, Any] | None = None,
    init: Path | None = None,
    features: Path | None = None,
    validation: int = 0,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Stage:
    """Train a stage and write its folder; the same call goes on where it was stopped, or loads what is finished.

    Args:
        stage: its name, or ``role:name``.
        samples: the training samples alone; a stage never sees what it will be tested on.
        out: the stage's folder.
        preset: ``quick``, ``standard`` or ``paper``; ``settings`` override single values.
        init: a stage folder whose weights to begin with. Label channels are matched by name and layers by theirs;
            settings that shape the networks are those of the folder, unless ``settings`` has them.
        features: where a segmenter is kept whose features the stage borrows; ``out/features`` if not given.
        validation: one eye in so many, of the last lesson, is not learnt from, and a segmenter's weights are kept that err
            least on it; 0: all are learnt from, and the last weights are kept.

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
    if init and not issubclass(registry.stage_class(spec), LearningStage):
        options.listener.say(f"{spec.name}: learns nothing, so it begins with no weights")
        init = None
    kind = registry.config_class(spec)
    config = adopted_config(kind, registry.reference(spec), preset, settings, init)
    lessons = [Lesson(samples)] if isinstance(samples, Dataset) else list(samples)
    check_trackers(options.track)
    borrowings = Borrowings.of(spec.name, config, preset, registry)
    borrowed = Path(features or Path(out) / "features")
    learnt = learnable_lessons(registry.stage_class(spec), lessons)
    job = _Job(
        spec, config, learnt, Path(out), init, options, registry, borrowings, borrowed, lessons, validation
    )
    job.check()
    if init and (shapes := followed(config, kind.resolve(spec.name, preset, settings))):
        options.listener.say(f"{spec.name}: {', '.join(shapes)}, as in {origin_of(init)}")
    # Under torchrun one process speaks for all; the others follow it.
    with sole_use(job.folder) if os.environ.get("RANK", "0") == "0" else nullcontext():
        if not job.finished():
            job.say_left_out()
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
    borrowings: Borrowings
    features: Path
    offered: Sequence[Lesson]
    """The lessons with the samples that this stage cannot learn from."""
    validation: int

    @property
    def channels(self) -> tuple[str, ...]:
        return self.lessons[0].dataset.channels

    def check(self) -> None:
        """Refuse what cannot be trained on."""
        for lesson in self.offered:
            if not lesson.dataset.samples:
                raise DatasetError(lesson.dataset.name, ["no training sample is left after the split"])
        if not self.channels:
            raise DatasetError(
                self.lessons[0].dataset.name, ["no label channel is annotated in every sample"]
            )
        refuse_channels(self.spec, self.registry, self.channels, self.lessons[0].dataset.name)
        for lesson, offered in zip(self.lessons, self.offered, strict=True):
            if not lesson.dataset.samples:
                why = none_learnable(offered.dataset, self.channels, self.spec.name)
                raise DatasetError(offered.dataset.name, [why])
        annotated = {name for lesson in self.lessons for one in lesson.dataset.samples for name in one.labels}
        if missing := [channel for channel in self.channels if channel not in annotated]:
            advice = "choose others with --set data.channels=NAME,..."
            told = [f"{channel}: no training sample is annotated for it; {advice}" for channel in missing]
            raise DatasetError(self.lessons[0].dataset.name, told)
        if self.validation and not issubclass(self.registry.stage_class(self.spec), Segmenter):
            raise InvalidValueError(
                self.spec.name, "validation", self.validation, "it is for segmenters alone"
            )
        self._parted()
        if not self.finished():
            self.borrowings.check(self.options.listener.say)

    def say_left_out(self) -> None:
        """How many samples are not learnt from, since a channel is absent: it is never taken for empty."""
        for lesson, offered in zip(self.lessons, self.offered, strict=True):
            if gone := len(offered.dataset) - len(lesson.dataset):
                said = f"{gone} of {len(offered.dataset)} samples are not learnt from"
                self.options.listener.say(
                    f"{self.spec.name}: {said}: not annotated for {', '.join(self.channels)}"
                )

    @property
    def request(self) -> str:
        """Hash of all that shapes the result: another one is another training."""
        return request_digest(
            self.spec,
            self.config,
            self.channels,
            self.lessons,
            self.options,
            init=self.init,
            more={
                **self.borrowings.identity,
                **({"validation": self.validation} if self.validation else {}),
            },
        )

    @property
    def maps(self) -> str:
        """Hash of what samples are annotated with: ``request`` holds the photographs alone."""
        grades = bool(getattr(self.registry.stage_class(self.spec), "takes_grades", False))
        every = [sample for lesson in self.lessons for sample in lesson.dataset.samples]
        return maps_digest(every, self.channels, grades=grades)

    def finished(self) -> bool:
        """Whether the folder already holds the result of this very request."""
        # Not exists(): a folder that may not even be looked into raises there; writing says what to do.
        if not os.path.exists(self.folder / CARD):
            return False
        told = read_card(self.folder).provenance
        if told.get("request") == self.request and told.get("maps") in {None, self.maps}:
            return is_complete(self.folder)  # what is missing is written again from the last checkpoint
        raise RunFolderError(
            self.folder, "it holds a stage trained with other data or settings", "choose another --out"
        )

    def train(self) -> None:
        stage = self._new_stage()
        if not isinstance(stage, LearningStage):
            self._write_unlearnt(stage)
            return
        lessons, kept = self._parted()
        courses = [Course(self._prepare(lesson.dataset), lesson.start) for lesson in lessons]
        judged = Course(self._prepare(kept), lessons[-1].start) if kept else None
        stage.priors = priors_of(courses[0].samples, self.channels)
        self.borrowings.lend(stage, self.offered[0].dataset, self.features, self.options, self.registry)
        loop = Loop(
            stage,
            courses,
            self.folder,
            self.options,
            registry=self.registry,
            request=self.request,
            maps=self.maps,
            phantom=self.lessons[0].dataset.phantom,
            validation=Validation(judged.samples, stage, self.options.seed, judged.start) if judged else None,
        )
        loop.run()
        with loop.kept_weights(), torch.no_grad():
            stage.calibrate(loop.rehearsal_batches(CALIBRATION_BATCHES), self.options.seed)
            if loop.processes.first:
                seen = self._seen([*courses, judged] if judged else courses)
                self._save(stage, loop.precision, seen, loop.learner.validation)
        loop.processes.wait()

    def _write_unlearnt(self, stage: Stage) -> None:
        """A stage that learns nothing still takes the camera's shape and the shares of its channels from the data."""
        processes = Processes.join(resolve_device(self.options.device))
        processes.wait()  # the folder is written in a moment, and none may take it for finished before
        if processes.first:
            size = stage.resolution or PRIORS_PX
            courses = [Course(prepare(one.dataset.samples, self.channels, size)) for one in self.lessons]
            stage.priors = priors_of(courses[0].samples, self.channels)
            stage.calibrate((), self.options.seed)
            self._save(stage, "fp32", self._seen(courses))
        processes.wait()

    def _new_stage(self) -> Stage:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample_seed(self.options.seed, f"init/{self.spec.name}", 0))
            stage = cast(Stage, self.registry.stage_class(self.spec)(self.config, self.channels))
        if self.init is not None:
            told = adopt_weights(stage, self.init).told(origin_of(self.init))
            self.options.listener.say(f"{self.spec.name}: starts from {told}")
        return stage

    def _prepare(self, dataset: Dataset) -> PreparedSamples:
        return prepare(dataset.samples, self.channels, cast(LearningConfig, self.config).resolution)

    def _parted(self) -> tuple[Sequence[Lesson], Dataset | None]:
        """The lessons without the eyes of the last one that validate, and those."""
        if not self.validation:
            return self.lessons, None
        *before, last = self.lessons
        learnt, kept = validation_eyes(last.dataset, self.validation, self.options.seed)
        return [*before, replace(last, dataset=learnt)], kept

    def _seen(self, courses: Sequence[Course]) -> set[str]:
        """As ``seen_by``, without decoding or drawing a photograph again: prepared samples know their hashes."""
        hashes = {print_ for course in courses for print_ in course.samples.fingerprints}
        begun = self._begun_with()
        before = read_seen(begun) if begun else frozenset()
        return hashes.union(
            *(seen_before(lesson.dataset) for lesson in self.lessons), seen_by(self._lent()), before
        )

    def _begun_with(self) -> Path | None:
        """The stage whose weights this one began with, where it has seen photographs: they had a part in this one too."""
        return self.init if self.init and read_card(self.init).provenance.get("phantom") is not True else None

    def _lent(self) -> list[Dataset]:
        """What it, or a borrowed segmenter, saw besides; nothing where that is what this stage learns from."""
        first, offered = self.lessons[0].dataset, self.offered[0].dataset
        read = [] if first is offered or not self.borrowings.segmenters else [offered]
        return [*read, *self.borrowings.lent]

    def _save(
        self, stage: Stage, precision: str, seen: Iterable[str], validation: Validation | None = None
    ) -> None:
        datasets = [lesson.dataset for lesson in self.lessons]
        begun = self._begun_with()
        before = read_signatures(begun) if begun else {}
        signatures = {**before, **signatures_of([*datasets, *self._lent()])}
        provenance = {
            "request": self.request,
            "maps": self.maps,
            "data": [dataset.name for dataset in datasets],
            "phantom": any(dataset.phantom for dataset in datasets),
            "samples": sum(len(dataset.samples) for dataset in datasets),
            "seed": self.options.seed,
            "precision": precision,
            "device": str(stage.device),
            "torch": torch.__version__,
            "init": origin_of(self.init) if self.init else None,
            **self._borrowed_from(stage),
            **({"validation": validation.facts()} if validation else {}),
        }
        if isinstance(self.config, StyleConfig):
            stage.config = self.config.published()
        plugin = self.registry.plugin_of(self.spec)
        save_stage(stage, self.folder, plugin=plugin, seen=seen, provenance=provenance, signatures=signatures)
        self.registry.announce(
            "retina_stage_fitted", stage=self.spec.name, role=self.spec.role, folder=self.folder
        )

    def _borrowed_from(self, stage: Stage) -> dict[str, Any]:
        """What a stage that can compare photographs in features says of them."""
        if not isinstance(self.config, PerceptualConfig):
            return {}
        features = stage.perceptual if isinstance(stage, LearningStage) else None
        compared = dict(features.facts) if features else {"source": "none"}
        return {"perceptual": compared, **self.borrowings.facts}
