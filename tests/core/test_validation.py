"""Validation: which eyes, and that the weights of least loss on them are what is kept, after a stop too."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from retina_core.config import LearningConfig
from retina_core.data.prepare import prepare
from retina_core.errors import DatasetError
from retina_core.registry import Registry
from retina_core.roles import Segmenter
from retina_core.stages import Batch, LearningStage
from retina_core.testing import tiny_eyes
from retina_core.testing.learning import StopAt, StoppedError
from retina_core.training.feed import Course
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.validation import Validation, validation_eyes, validation_loss


class Level(nn.Module):
    """One logit for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(-6.0))


class Climbing(LearningStage, Segmenter):
    """A segmenter whose one logit rises by 0.5 in each step, past the share that is marked and on."""

    name: ClassVar[str] = "climbing"

    def __init__(self, config: LearningConfig, channels: tuple[str, ...]) -> None:
        super().__init__(config, channels)
        self.level = Level()

    def networks(self) -> dict[str, nn.Module]:
        return {"level": self.level}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"level": torch.optim.SGD(self.level.parameters(), lr=0.5)}

    def training_step(self, batch: Batch, context: Any) -> dict[str, Tensor]:
        context.descend("level", -self.level.logit)
        return {"logit": self.level.logit.detach().clone()}

    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        return self.level.logit.sigmoid() * fov.repeat(1, len(self.channels), 1, 1)

    def features(self, photos: Tensor) -> list[Tensor]:
        return [photos]

    def preview(self, batch: Batch, rngs: Any) -> Tensor:
        return batch.photos


CONFIG = LearningConfig(
    resolution=24, batch_size=2, seen_images=40, learning_rate=0.5, checkpoint_every=10, flips="none"
)


def climb(folder: Path, listener: Any) -> Loop:
    eyes = tiny_eyes(4, image_px=24)
    stage = Climbing(CONFIG, eyes.channels)
    learnt, kept = (
        prepare(some, eyes.channels, 24, folder / "cache") for some in (eyes.samples[:2], eyes.samples[2:])
    )
    options = FitOptions(device="cpu", precision="fp32", listener=listener)
    validation = Validation(kept, stage, seed=0)
    return Loop(
        stage,
        [Course(learnt)],
        folder / "stage",
        options,
        registry=Registry.of(),
        request="r",
        validation=validation,
    )


def kept_logit(loop: Loop) -> float:
    with loop.kept_weights():
        return float(loop.stage.networks()["level"].logit.detach())  # type: ignore[arg-type]


def test_weights_of_a_planted_optimum_are_kept_and_not_the_last(tmp_path: Path) -> None:
    loop = climb(tmp_path, StopAt(10**9))
    loop.run()
    eyes = tiny_eyes(4, image_px=24).samples[2:]
    kept = prepare(eyes, ("vessel",), 24, tmp_path / "cache")
    inside = kept.fov[:, 0] > 127
    share = float(kept.labels[:, 0][inside].mean() / 255)
    best = round((math.log(share / (1 - share)) + 6) / 0.5)  # steps to the logit that marks this share
    assert 2 < best < 15
    found = (kept_logit(loop) + 6) / 0.5
    assert abs(found - best) <= 1
    assert float(loop.stage.networks()["level"].logit.detach()) == kept_logit(loop)  # type: ignore[arg-type]
    validation = loop.learner.validation
    assert validation is not None
    assert validation.facts() == {"eyes": 2, "loss": validation.loss, "seen_images": round(found) * 2}
    assert found < 20  # the last


def test_a_stopped_training_keeps_what_an_uninterrupted_one_keeps(tmp_path: Path) -> None:
    straight = climb(tmp_path / "straight", StopAt(10**9))
    straight.run()
    for stop in (24, 36):  # after the optimum, so that a checkpoint has to hold it
        with pytest.raises(StoppedError):
            climb(tmp_path / "stopped", StopAt(stop)).run()
    resumed = climb(tmp_path / "stopped", StopAt(10**9))
    resumed.run()
    assert kept_logit(resumed) == kept_logit(straight)
    first, second = straight.learner.validation, resumed.learner.validation
    assert first is not None
    assert second is not None
    assert first.facts() == second.facts()


def test_a_later_lesson_is_judged_from_where_it_begins(tmp_path: Path) -> None:
    eyes = tiny_eyes(2, image_px=24)
    stage = Climbing(CONFIG, eyes.channels)
    late = Validation(prepare(eyes.samples, eyes.channels, 24, tmp_path), stage, seed=0, start=20)
    assert [seen for seen in range(2, 42, 2) if late.due(seen - 2, seen)] == list(range(22, 42, 2))


def test_the_loss_is_the_cross_entropy_of_what_is_known() -> None:
    stage = Climbing(CONFIG, ("vessel", "optic_disc"))
    labels, fov = torch.rand(1, 2, 24, 24), torch.ones(1, 1, 24, 24)
    fov[..., :9] = 0
    batch = Batch(
        labels,
        fov,
        torch.zeros(1, 3, 24, 24),
        torch.tensor([[True, False]]),
        torch.zeros(1, 3, 1, 1),
        torch.ones(1, 3, 1, 1),
        torch.tensor([-1]),
    )
    p, y = 1 / (1 + math.exp(6)), labels[0, 0, :, 9:].double()
    total, known = validation_loss(stage, batch)
    assert int(known) == 24 * 15
    expected = float((-y * math.log(p) - (1 - y) * math.log(1 - p)).sum())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("count", "kept"), [(2, 1), (10, 1), (20, 1), (40, 2)])
def test_one_eye_in_twenty_validates_and_one_at_least(count: int, kept: int) -> None:
    eyes = tiny_eyes(count, image_px=16)
    learnt, judged = validation_eyes(eyes, 20, seed=0)
    assert (len(learnt), len(judged)) == (count - kept, kept)
    assert {one.id for one in learnt} | {one.id for one in judged} == {one.id for one in eyes}


def test_another_seed_keeps_another_eye_and_the_order_does_not_matter() -> None:
    eyes = tiny_eyes(20, image_px=16)
    chosen = [validation_eyes(eyes, 20, seed)[1].samples[0].id for seed in range(8)]
    assert len(set(chosen)) > 3
    turned = eyes.with_samples(eyes.samples[::-1])
    assert [validation_eyes(turned, 20, seed)[1].samples[0].id for seed in range(8)] == chosen


def test_copies_of_one_photograph_stay_together() -> None:
    eyes = tiny_eyes(6, image_px=16)
    twice = eyes.with_samples([*eyes.samples, *(replace(one, id=f"{one.id}-again") for one in eyes.samples)])
    learnt, judged = validation_eyes(twice, 3, seed=1)
    assert not {one.fingerprint for one in learnt} & {one.fingerprint for one in judged}
    assert len(judged) == 4


def test_a_single_eye_cannot_be_divided() -> None:
    with pytest.raises(DatasetError, match="too few"):
        validation_eyes(tiny_eyes(1, image_px=16), 20, seed=0)


def test_a_channel_that_only_validating_eyes_have_is_refused() -> None:
    eyes = tiny_eyes(5, image_px=16, channels=("vessel", "optic_disc"))
    (judged,) = validation_eyes(eyes, 5, seed=0)[1].samples
    alone = eyes.with_samples(
        [
            one if one.id == judged.id else replace(one, labels={"vessel": one.labels["vessel"]})
            for one in eyes
        ]
    )
    with pytest.raises(DatasetError, match="optic_disc: only eyes that validate"):
        validation_eyes(alone, 5, seed=0)
