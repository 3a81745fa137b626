"""Training samples that are never trained on, by which overfitting is measured."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from retina_core.config import AdaptiveConfig
from retina_core.data.prepare import PreparedSamples, prepare
from retina_core.errors import InvalidValueError
from retina_core.registry import Registry
from retina_core.stages import Phase
from retina_core.testing import tiny_eyes
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.feed import Course, Feed
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.priors import priors_of
from retina_core.training.processes import Processes

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

SIDE, COUNT = 32, 7
PHASE = Phase(SIDE, 4, {})


class HeldConfig(AdaptiveConfig, toy.ToyConfig):  # type: ignore[misc, name-defined]
    pass


class Reader(toy.ToyLabels):  # type: ignore[misc, name-defined]
    reads_photos: ClassVar[bool] = True


@pytest.fixture
def samples(tmp_path: Path) -> PreparedSamples:
    eyes = tiny_eyes(COUNT, image_px=48)
    return prepare(eyes.samples, eyes.channels, SIDE, tmp_path / "cache")


def stage_of(held_out: int) -> Any:
    return Reader(HeldConfig.resolve("toy", "quick", {"held_out": held_out}), ("vessel",))


def feed_of(samples: PreparedSamples, held_out: int, seed: int = 3) -> Feed:
    return Feed([Course(samples)], stage_of(held_out), seed)


def context(
    feed: Feed | None, seen: int = 0, held_out: int = 3, processes: Processes | None = None, **changes: Any
) -> StepContext:
    learner = Learner.of(stage_of(held_out), processes or Processes())
    return StepContext(learner, PHASE, seen, [], Augmentation(**changes), feed)


def trained_on(feed: Feed, images: int = 40 * COUNT) -> Counter[int]:
    return Counter(i for seen in range(0, images, 4) for i in feed.indices(seen, 4)[1])


def which(samples: PreparedSamples, photos: Tensor) -> list[int]:
    """The samples that whole photographs (b c h w) are."""
    known = {samples.photos[i].tobytes(): i for i in range(len(samples))}
    pixels = (photos * 255).round().to(torch.uint8).contiguous().numpy()
    return [known[photo.tobytes()] for photo in pixels]


@pytest.mark.parametrize("held_out", [1, 3, COUNT - 1])
def test_held_out_samples_are_in_no_batch_and_the_others_are(samples: PreparedSamples, held_out: int) -> None:
    feed = feed_of(samples, held_out)
    trained = trained_on(feed)
    held = {i for seen in range(0, 40, 4) for i in which(samples, context(feed, seen).held_out(3).photos)}
    assert len(held) == held_out
    assert held.isdisjoint(trained)
    assert held | set(trained) == set(range(COUNT))
    assert max(trained.values()) - min(trained.values()) <= 1  # each as often as the others
    shown = which(samples, feed.batch(8, PHASE, slice(0, 4))[0].photos)
    assert held.isdisjoint(shown)
    assert held.isdisjoint(which(samples, feed.fixed(2 * COUNT, SIDE).photos))  # nor in a preview


def test_with_none_held_out_the_order_is_that_of_a_plain_stage(samples: PreparedSamples) -> None:
    plain = Feed([Course(samples)], toy.ToyLabels(toy.ToyConfig.resolve("toy", "quick", {}), ("vessel",)), 3)
    assert feed_of(samples, 0).indices(0, 60) == plain.indices(0, 60)
    assert set(trained_on(plain)) == set(range(COUNT))


def test_which_are_held_out_follows_the_seed(samples: PreparedSamples) -> None:
    sets = [frozenset(trained_on(feed_of(samples, 3, seed))) for seed in range(12)]
    assert sets[3] == frozenset(trained_on(feed_of(samples, 3)))
    assert len(set(sets)) > 5


@pytest.mark.parametrize("held_out", [COUNT, COUNT + 1, 1000])
def test_holding_out_everything_is_refused(samples: PreparedSamples, held_out: int) -> None:
    with pytest.raises(InvalidValueError, match="there are 7 training samples") as caught:
        feed_of(samples, held_out)
    assert (caught.value.owner, caught.value.key, caught.value.value) == ("toy", "held_out", held_out)


@pytest.mark.parametrize("with_feed", [True, False])
def test_asking_for_samples_that_nobody_held_out_is_refused(
    samples: PreparedSamples, with_feed: bool
) -> None:
    feed = feed_of(samples, 0) if with_feed else None
    with pytest.raises(InvalidValueError, match="held_out=0 cannot be used"):
        context(feed, held_out=0).held_out(2)


def test_steps_and_processes_go_through_all_of_them_evenly(samples: PreparedSamples) -> None:
    feed = feed_of(samples, 3)
    shown: Counter[int] = Counter()
    for seen in range(0, 4 * 9, 4):
        for rank in (0, 1):
            step = context(feed, seen, processes=Processes(rank, 2))
            shown.update(which(samples, step.held_out(2).photos))
    assert sorted(shown.values()) == [12, 12, 12]


def test_they_are_augmented_as_the_others_are(samples: PreparedSamples) -> None:
    feed = feed_of(samples, 3)
    changes = {"flips": "both", "rotation_degrees": 40.0}
    plain, changed, again = (context(feed, 8, **how).held_out(4).labels for how in ({}, changes, changes))
    assert changed.shape == plain.shape == (4, 1, SIDE, SIDE)
    assert not torch.equal(changed, plain)
    assert torch.equal(changed, again)
    other_step = context(feed, 20, **changes).held_out(4).labels
    assert not torch.equal(changed, other_step)
    # Held out in the same three's turn, but changed by other numbers.
    assert not torch.equal(changed[0], changed[3])


def test_asking_for_them_draws_nothing_from_the_batchs_generators(samples: PreparedSamples) -> None:
    feed = feed_of(samples, 3)
    _, rngs = feed.batch(8, PHASE, slice(0, 4))
    step = StepContext(Learner.of(stage_of(3), Processes()), PHASE, 8, rngs, Augmentation(flips="both"), feed)
    before, states = torch.random.get_rng_state(), [rng.get_state() for rng in rngs]
    step.held_out(4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(rng.get_state(), state) for rng, state in zip(rngs, states, strict=True))


def test_each_course_holds_its_own_out(tmp_path: Path, samples: PreparedSamples) -> None:
    other = tiny_eyes(12, image_px=48)
    real = prepare(other.samples[7:], other.channels, SIDE, tmp_path / "other")  # 5 more
    feed = Feed([Course(samples), Course(real, start=40)], stage_of(3), 0)
    assert len({i for seen in range(0, 40, 4) for i in feed.indices(seen, 4)[1]}) == COUNT - 3
    assert len({i for seen in range(40, 80, 4) for i in feed.indices(seen, 4)[1]}) == 2
    assert set(which(real, context(feed, 40).held_out(3).photos)) == set(range(5)) - {
        i for seen in range(40, 80, 4) for i in feed.indices(seen, 4)[1]
    }


class WatchedLabels(Reader):
    """Keeps what the loop gave it."""

    def __init__(self, config: Any, channels: Any) -> None:
        super().__init__(config, channels)
        self.trained: list[Tensor] = []
        self.held: list[Tensor] = []

    def training_step(self, batch: Any, context: Any) -> dict[str, Tensor]:
        self.trained.append(batch.photos)
        self.held.append(context.held_out(2).photos)
        return super().training_step(batch, context)  # type: ignore[no-any-return]


def test_the_loop_hands_them_to_a_step(tmp_path: Path) -> None:
    eyes = tiny_eyes(COUNT, image_px=48)
    values = {"resolution": SIDE, "held_out": 2, "seen_images": 60, "flips": "none"}
    stage = WatchedLabels(HeldConfig.resolve("toy", "quick", values), ("vessel",))
    samples = prepare(eyes.samples, eyes.channels, SIDE, tmp_path / "cache")
    stage.priors = priors_of(samples, eyes.channels)
    options = FitOptions(device="cpu", precision="fp32")
    Loop(stage, [Course(samples)], tmp_path / "stage", options, registry=Registry.of(), request="r").run()
    held, trained = (set(which(samples, torch.cat(photos))) for photos in (stage.held, stage.trained))
    assert (len(held), len(trained)) == (2, COUNT - 2)
    assert held.isdisjoint(trained)
