"""The one loop that trains every stage, from wherever it stands to its last image."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from retina_core.devices import autocast, resolve_device, resolve_precision
from retina_core.errors import NonFiniteLossError
from retina_core.interruption import StopRequest, stop_requests
from retina_core.randomness import sample_seed
from retina_core.registry import Registry
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.training.augmentation import Augmentation
from retina_core.training.averaging import fresh_statistics
from retina_core.training.checkpoint import Checkpoints
from retina_core.training.context import Learner, StepContext
from retina_core.training.feed import Course, Feed
from retina_core.training.log import TrainingLog
from retina_core.training.memory import keep_freed_memory
from retina_core.training.options import FitOptions, Progress
from retina_core.training.preview_eyes import PreviewSource
from retina_core.training.previews import write_grid
from retina_core.training.processes import Processes
from retina_core.training.trackers import Trackers
from retina_core.training.validation import Validation

LOG_ROWS = 200
"""Rows of ``log.jsonl`` in a training: enough for a curve."""
MILESTONES = 10
"""Previews and checkpoints in a training where the config does not say."""
AGREEMENT_STEPS = 8
"""Steps between two agreements of several processes whether to stop: well inside the 30 s that torchrun waits."""
REHEARSALS = 16
"""Passes over which batch statistics of averaged weights are estimated; their error is then that of 16 batches."""


class Loop:
    """One stage's training in one folder."""

    def __init__(
        self,
        stage: LearningStage,
        courses: Sequence[Course],
        folder: Path,
        options: FitOptions,
        *,
        registry: Registry,
        request: str,
        maps: str = "",
        phantom: bool = False,
        validation: Validation | None = None,
    ) -> None:
        """``phantom``: the samples show no real eye, so that previews may show them."""
        self.stage, self.folder, self.options, self.registry = stage, folder, options, registry
        device = resolve_device(options.device)
        self.precision = resolve_precision(options.precision, device)
        self.processes = Processes.join(device)
        if device.type == "cuda" and self.processes.world > 1:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.type == "cpu":
            keep_freed_memory()
        stage.move_to(device)
        self.learner = Learner.of(stage, self.processes)
        self.learner.validation = validation
        self.feed = Feed(courses, stage, options.seed)
        self._previewed = PreviewSource(stage, self.feed, options.seed, phantom=phantom)
        self.checkpoints = Checkpoints(folder, request, maps)
        self.log = TrainingLog(folder)
        self.augmentation = Augmentation.of(stage.config)
        self.total = stage.config.seen_images
        self.seen = 0
        self._steps = 0
        self._recent: list[dict[str, Tensor]] = []
        self._validated: dict[str, float] = {}
        self._clock = (time.monotonic(), 0)

    def run(self) -> None:
        """Train to the end; a checkpoint marks it.

        Raises:
            NonFiniteLossError: a loss is infinite or not a number; the last good checkpoint is kept.
            RunFolderError: the folder holds a training of another request.
            KeyboardInterrupt: Ctrl-C, or SIGTERM; the step was finished and a checkpoint written.
        """
        self._resume()
        trackers = Trackers(
            self.options.track if self.processes.first else (), self.folder, self.stage.name, self._config()
        )
        with torch.random.fork_rng(devices=_cuda_devices(self.stage.device)), stop_requests() as stop:
            self._train_mode()
            while self.seen < self.total:
                before = self.seen
                self._step()
                self._after_step(before, trackers)
                self._stop_if_asked(stop, trackers)
        trackers.finish()

    def _stop_if_asked(self, stop: StopRequest, trackers: Trackers) -> None:
        self._steps += 1
        # Several processes must stop at one step; to agree costs a message, so they do it now and then.
        if self.processes.world == 1 or self._steps % AGREEMENT_STEPS == 0:
            stop.signal = self.processes.highest(stop.signal or 0) or None
            if stop.made:
                self._write_checkpoint(trackers)
                trackers.finish()
                self._say(f"stopped after {self.seen} of {self.total} seen images; a checkpoint holds them")
                stop.obey()

    def _step(self) -> None:
        phase = self.stage.plan(self.seen)
        batch, rngs = self.feed.batch(self.seen, phase, self.processes.share(phase.batch_size))
        # For whatever a third party's stage draws without a generator: the same after a resume as without one.
        torch.manual_seed(
            sample_seed(self.options.seed, "step", self.seen * self.processes.world + self.processes.rank)
        )
        context = StepContext(self.learner, phase, self.seen, rngs, self.augmentation, self.feed)
        with autocast(self.stage.device, self.precision):
            self._recent.append(self.stage.training_step(batch, context))
        for optimizer in self.learner.optimizers.values():
            optimizer.zero_grad(set_to_none=True)  # of a large network, gigabytes that only the step needs
        self.processes.average_buffers(self.learner.networks.values())
        self.seen += phase.batch_size

    def _after_step(self, before: int, trackers: Trackers) -> None:
        done = self.seen >= self.total
        if (validation := self.learner.validation) and validation.due(before, self.seen):
            with self.finished_weights(), autocast(self.stage.device, self.precision):
                self._validated = {"validation_loss": validation.look(self.learner.networks, self.seen)}
        if done or self._passed(before, max(1, self.total // LOG_ROWS)):
            self._write_log(trackers)
        # Before the checkpoint: a kill between the two then costs no preview, which is drawn again.
        if done or self._passed(before, self._every(self.stage.config.preview_every)):
            self._write_preview()
        if done or self._passed(before, self._every(self.stage.config.checkpoint_every)):
            self._write_checkpoint(trackers)

    def _every(self, configured: int) -> int:
        return configured or max(1, self.total // MILESTONES)

    def _passed(self, before: int, every: int) -> bool:
        return before // every != self.seen // every

    def _write_log(self, trackers: Trackers) -> None:
        scalars = self._mean_scalars()
        if not scalars:
            return
        now, last = time.monotonic(), self._clock
        rate = (self.seen - last[1]) / max(now - last[0], 1e-9)
        self._clock = (now, self.seen)
        if not self.processes.first:
            return
        rates = {f"learning_rate_{k}": v for k, v in self.stage.plan(self.seen).learning_rates.items()}
        scalars, self._validated = {**scalars, **self._validated}, {}
        row = {"seen_images": float(self.seen), **scalars, **rates, "images_per_second": round(rate, 3)}
        row["seen_images"] = self.seen
        self.log.append(row)
        trackers.log(row, self.seen)
        self.registry.announce(
            "retina_step_logged",
            stage=self.stage.name,
            folder=self.folder,
            seen_images=self.seen,
            scalars=row,
        )
        left = max(self.total - self.seen, 0) / max(rate, 1e-9)
        progress = Progress(
            self.stage.name, min(self.seen, self.total), self.total, "images", rate, left, scalars
        )
        self.options.listener.progress(progress)

    def _mean_scalars(self) -> dict[str, float]:
        """Means over the steps since the last row; stops the training where one is not finite."""
        recent, self._recent = self._recent, []
        if not recent:
            return {}
        table = {key: torch.stack([row[key].float().cpu() for row in recent]) for key in recent[0]}
        means = {key: float(values.mean()) for key, values in table.items()}
        if bad := {key: value for key, value in means.items() if not math.isfinite(value)}:
            raise NonFiniteLossError(self.stage.name, self.seen, bad, self.checkpoints.latest)
        return means

    def _write_checkpoint(self, trackers: Trackers) -> None:
        self._write_log(trackers)
        for name, network in self.learner.networks.items():
            if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
                raise NonFiniteLossError(
                    self.stage.name, self.seen, {f"{name} weights": math.nan}, self.checkpoints.latest
                )
        if self.processes.first:
            self.checkpoints.save(self.learner, self.seen)
        self.processes.wait()

    def _write_preview(self) -> None:
        if self.processes.first:
            path = self.folder / "previews" / f"{self.seen:010d}.png"
            resolution = self.stage.plan(max(self.seen - 1, 0)).resolution
            batch, rngs, columns = self._previewed.batch(resolution)
            with self.finished_weights(), torch.no_grad(), autocast(self.stage.device, self.precision):
                write_grid(self.stage.preview(batch, rngs), path, columns)
        self.processes.wait()

    @contextmanager
    def finished_weights(self) -> Iterator[None]:
        """Inside, the stage is as it will be used: averaged weights, their own batch statistics, no gradients."""
        networks = list(self.learner.networks.values())
        with ExitStack() as stack:
            for average in self.learner.averages.values():
                stack.enter_context(average.applied())
            self._estimate_statistics()
            for network in networks:
                network.eval()
            yield
        self._train_mode()

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """Inside, the stage is as its folder holds it: as ``finished_weights``, or as it erred least where it is validated."""
        with self.finished_weights():
            if validation := self.learner.validation:
                validation.restore(self.learner.networks)
                told = f"the weights after {validation.seen_images} seen images are kept"
                self._say(f"{told}: least validation loss, {validation.loss:.4f}")
            yield

    def _estimate_statistics(self) -> None:
        averaged = [self.learner.networks[name] for name in self.learner.averages]
        with (
            fresh_statistics(averaged) as any_there,
            torch.no_grad(),
            autocast(self.stage.device, self.precision),
        ):
            if not any_there:
                return
            for batch, rngs, phase in self._rehearsals(REHEARSALS):
                context = StepContext(self.learner, phase, self.seen, rngs, self.augmentation, self.feed)
                self.stage.rehearse(batch, context)

    def rehearsal_batches(self, count: int) -> Iterator[Batch]:
        """Some training batches, for a stage's calibration."""
        for batch, _, _ in self._rehearsals(count):
            yield batch

    def _rehearsals(self, count: int) -> Iterator[tuple[Batch, list[torch.Generator], Phase]]:
        """The first batches of what is learnt from now: real eyes, where synthetic ones came before."""
        now = max(self.seen - 1, 0)
        phase, first = self.stage.plan(now), self.feed.begun(now)
        for i in range(count):
            yield *self.feed.batch(first + i * phase.batch_size, phase, slice(0, phase.batch_size)), phase

    def _resume(self) -> None:
        self.seen, differences = self.checkpoints.resume(self.learner)
        for line in differences:
            self._say(line)
        if self.seen:
            self._say(f"goes on from {self.seen} of {self.total} seen images")
        if self.processes.first:
            self.log.cut(self.seen)
        self._clock = (time.monotonic(), self.seen)

    def _say(self, line: str) -> None:
        if self.processes.first:
            self.options.listener.say(f"{self.stage.name}: {line}")

    def _train_mode(self) -> None:
        for network in self.learner.networks.values():
            network.train()

    def _config(self) -> dict[str, object]:
        return self.stage.config.model_dump(mode="json")


def _cuda_devices(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
