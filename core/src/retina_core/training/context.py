"""What a training step may use: noise, augmentation, the phase, and the way down a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from retina_core.errors import InvalidValueError
from retina_core.randomness import normal
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.training.augmentation import Augmentation
from retina_core.training.averaging import WeightAverage
from retina_core.training.feed import Feed
from retina_core.training.processes import Processes
from retina_core.training.validation import Validation


@dataclass
class Learner:
    """A stage with what learning adds to it: optimizers, averages, processes."""

    stage: LearningStage
    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    averages: Mapping[str, WeightAverage]
    processes: Processes
    validation: Validation | None = None
    """Where some eyes say which weights are kept."""

    @classmethod
    def of(cls, stage: LearningStage, processes: Processes) -> Learner:
        """Optimizers and averages of a stage whose networks are where they will be trained."""
        networks = stage.networks()
        half_life = stage.config.average_half_life
        averages = {name: WeightAverage(networks[name], half_life) for name in stage.averaged if half_life}
        return cls(stage, networks, stage.optimizers(), averages, processes)


@dataclass
class StepContext:
    """One training step's means. Made anew for each step, from the seed and the seen images alone."""

    learner: Learner
    phase: Phase
    seen_images: int
    rngs: Sequence[torch.Generator]
    """One generator per sample of this process' part of the batch."""
    augmentation: Augmentation
    feed: Feed | None = None
    """Where held-out samples come from."""

    @property
    def device(self) -> torch.device:
        """Where the step runs."""
        return self.learner.stage.device

    def noise(self, *shape: int) -> Tensor:
        """Standard normal noise (b *shape), each row from its sample's generator."""
        return normal(self.rngs, *shape).to(self.device)

    def augment(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Labels (b k h w), fov (b 1 h w) and photos (b c h w) of a batch, changed by one geometry.

        The labels come in the stage's ``label_form``.
        """
        return self._augmented(batch, self.rngs)

    def held_out(self, count: int) -> Batch:
        """As many of the training samples that are never trained on, augmented like the others by ``augment``.

        From step to step, and from process to process, it goes through all of them.

        Raises:
            InvalidValueError: the config's ``held_out`` keeps none.
        """
        stage, processes = self.learner.stage, self.learner.processes
        if self.feed is None or not getattr(stage.config, "held_out", 0):
            reason = (
                "overfitting is measured on training samples that are kept out of the training; keep some"
            )
            raise InvalidValueError(stage.name, "held_out", 0, reason)
        turn = self.seen_images // self.phase.batch_size * processes.world + processes.rank
        batch, rngs = self.feed.held_out(
            self.seen_images, self.phase, range(turn * count, (turn + 1) * count)
        )
        labels, fov, photos = self._augmented(batch, rngs)
        return replace(batch, labels=labels, fov=fov, photos=photos)

    def descend(self, name: str, loss: Tensor, *, share: float = 1.0) -> None:
        """Take one step of network ``name`` down ``loss``, and of no other.

        ``share``: what this is of all that a training step does to the network. Where it takes two, each is a half, so that
        the weight average moves by the images seen and not by the number of updates.

        Only that network's trainable parameters collect gradients, so one generator pass serves both updates of a
        GAN: the discriminator's on ``fake.detach()``, then the generator's through the discriminator called anew
        (anew, because a fused optimizer changes weights unseen by autograd).
        """
        learner = self.learner
        parameters = self._trainable(name)
        optimizer = learner.optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = self.phase.learning_rates[name]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, enabled=False):
            loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        learner.processes.average([p.grad for p in parameters if p.grad is not None])
        if clip := learner.stage.config.clip_norm:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        if name in learner.averages:
            learner.averages[name].update(self.seen_images, self.phase.batch_size * share)

    def _augmented(self, batch: Batch, rngs: Sequence[torch.Generator]) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            labels, fov, photos = self.augmentation(batch.labels, batch.fov, batch.photos, rngs)
        if self.learner.stage.label_form == "binary":
            labels = (labels > 0.5).float()
        return labels, fov, photos

    def _trainable(self, name: str) -> list[nn.Parameter]:
        prefixes = tuple(self.phase.trainable)
        named = self.learner.networks[name].named_parameters()
        return [p for key, p in named if p.requires_grad and f"{name}.{key}".startswith(prefixes)]
