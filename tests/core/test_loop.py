from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retina_core.data.prepare import prepare
from retina_core.errors import NonFiniteLossError, RunFolderError
from retina_core.registry import Registry
from retina_core.testing import tiny_eyes
from retina_core.training.feed import Course, Feed
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.priors import priors_of

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seen: list[Any] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, progress: Any) -> None:
        self.seen.append(progress)


def loop(
    folder: Path, *, request: str = "r", listener: Any = None, precision: Any = "fp32", **settings: Any
) -> Loop:
    eyes = tiny_eyes(5, image_px=24)
    config = toy.ToyConfig.resolve("toy", "quick", settings)
    torch.manual_seed(0)
    stage = toy.ToyLabels(config, eyes.channels)
    samples = prepare(eyes.samples, eyes.channels, config.resolution, folder / "cache")
    stage.priors = priors_of(samples, eyes.channels)
    options = FitOptions(device="cpu", precision=precision, listener=listener or Told())
    return Loop(
        stage, [Course(samples)], folder / "stage", options, registry=Registry.discover(), request=request
    )


def state(one: Loop) -> dict[str, torch.Tensor]:
    networks = {f"{n}.{k}": v for n, net in one.stage.networks().items() for k, v in net.state_dict().items()}
    return networks | {f"average.{k}": v for k, v in one.learner.averages["generator"].weights.items()}


def equal(one: Loop, other: Loop) -> bool:
    return all(torch.equal(value, state(other)[key]) for key, value in state(one).items())


def test_length_is_counted_in_seen_images(tmp_path: Path) -> None:
    told = Told()
    trained = loop(tmp_path, listener=told, seen_images=18)
    trained.run()
    assert trained.seen == 20  # five batches of four
    assert [p.done for p in told.seen][-1] == 18
    assert all(p.rate > 0 and p.seconds_left >= 0 for p in told.seen)


def test_previews_are_pictures_of_fixed_noise(tmp_path: Path) -> None:
    loop(tmp_path, preview_every=20).run()
    pictures = sorted((tmp_path / "stage" / "previews").iterdir())
    assert [p.stem for p in pictures] == ["0000000020", "0000000040"]
    sheets = [np.asarray(Image.open(p)) for p in pictures]
    assert sheets[0].shape == sheets[1].shape == (72, 72, 3)
    assert not np.array_equal(*sheets)


def test_previews_and_checkpoints_do_not_change_the_training(tmp_path: Path) -> None:
    often, seldom = loop(tmp_path / "a", preview_every=4, checkpoint_every=4), loop(tmp_path / "b")
    often.run()
    seldom.run()
    assert equal(often, seldom)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    diverging = loop(tmp_path, explode_after=24, checkpoint_every=8)
    with pytest.raises(NonFiniteLossError, match=r"last good checkpoint is .*0000000024") as caught:
        diverging.run()
    assert caught.value.exit_status == 1
    assert diverging.checkpoints.latest == tmp_path / "stage" / "checkpoints" / "0000000024"
    resumed = loop(tmp_path, explode_after=24, checkpoint_every=8)
    resumed._resume()
    assert resumed.seen == 24
    assert all(bool(torch.isfinite(value).all()) for value in state(resumed).values())


def test_a_resume_cuts_the_log_to_the_checkpoint(tmp_path: Path) -> None:
    straight = loop(tmp_path / "straight", checkpoint_every=8)
    straight.run()
    stopped = loop(tmp_path / "stopped", checkpoint_every=8)
    after_step = stopped._after_step

    def stop(before: int, trackers: Any) -> None:
        if stopped.seen > 16:  # a step beyond the checkpoint at 16, its row written and then lost
            stopped.log.append({"seen_images": 99, "g": 1.0})
            raise KeyboardInterrupt
        after_step(before, trackers)

    stopped._after_step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = loop(tmp_path / "stopped", checkpoint_every=8)
    resumed.run()
    assert equal(straight, resumed)
    rows = [
        json.loads(line) for line in (tmp_path / "stopped" / "stage" / "log.jsonl").read_text().splitlines()
    ]
    assert [row["seen_images"] for row in rows] == list(range(4, 41, 4))


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    loop(tmp_path, checkpoint_every=4).run()
    folders = sorted(p.name for p in (tmp_path / "stage" / "checkpoints").iterdir() if p.is_dir())
    assert folders == ["0000000036", "0000000040"]


def test_a_checkpoint_of_another_request_is_refused(tmp_path: Path) -> None:
    loop(tmp_path, request="one").run()
    with pytest.raises(RunFolderError, match="other data or settings"):
        loop(tmp_path, request="two").run()


def test_another_thread_count_is_said(tmp_path: Path) -> None:
    loop(tmp_path, seen_images=8).run()
    pointer = tmp_path / "stage" / "checkpoints" / "latest.json"
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "threads": 99}))
    told = Told()
    loop(tmp_path, seen_images=8, listener=told).run()
    assert any("threads: 99 before" in line for line in told.lines)


def test_a_draw_from_the_global_generator_is_the_same_after_a_resume(tmp_path: Path) -> None:
    one, other = loop(tmp_path / "a"), loop(tmp_path / "b")
    one.run()
    torch.rand(7)
    other.run()
    assert one.stage.draws == other.stage.draws  # type: ignore[attr-defined]
    assert len(set(one.stage.draws)) == 10  # type: ignore[attr-defined]


def test_the_callers_global_generator_is_left_alone(tmp_path: Path) -> None:
    training = loop(tmp_path)
    before = torch.random.get_rng_state()
    training.run()
    assert torch.equal(before, torch.random.get_rng_state())


def test_descending_touches_one_network_only(tmp_path: Path) -> None:
    training = loop(tmp_path, learning_rate=1e-9)
    before = {k: v.clone() for k, v in state(training).items()}
    training.run()
    after = state(training)
    assert torch.allclose(before["generator.2.weight"], after["generator.2.weight"], atol=1e-6)
    assert not torch.equal(before["other.weight"], after["other.weight"])


def test_phases_grow_and_freeze(tmp_path: Path) -> None:
    training = loop(tmp_path, grow_at=20, checkpoint_every=8)
    second = training.stage.networks()["generator"][2].weight.detach().clone()  # type: ignore[index]
    sizes: list[int] = []
    step = training.stage.training_step

    def watch(batch: Any, context: Any) -> Any:
        sizes.append(batch.labels.shape[-1])
        now = training.stage.networks()["generator"][2].weight.detach()  # type: ignore[index]
        if len(sizes) == 6:
            assert torch.equal(second, now), "what a phase does not name must not learn"
        return step(batch, context)

    training.stage.training_step = watch  # type: ignore[method-assign]
    training.run()
    assert sizes == [8] * 5 + [16] * 5
    assert not torch.equal(second, training.stage.networks()["generator"][2].weight)  # type: ignore[index]


def test_averaged_weights_get_their_own_batch_statistics(tmp_path: Path) -> None:
    training = loop(tmp_path)
    training.run()
    norm = training.stage.networks()["generator"][1]  # type: ignore[index]
    live = norm.running_mean.clone()
    with training.finished_weights():
        weight, bias = training.stage.networks()["generator"][0].parameters()  # type: ignore[index]
        assert torch.equal(weight, training.learner.averages["generator"].weights["0.weight"])
        # Noise has mean 0, so a convolution's mean is its bias: statistics of these weights, not of the live ones.
        torch.testing.assert_close(norm.running_mean, bias.detach(), atol=0.05, rtol=0)
        assert not torch.equal(norm.running_mean, live)
    assert torch.equal(norm.running_mean, live)


def test_batch_statistics_are_of_what_is_learnt_last(tmp_path: Path) -> None:
    """A course that ended, synthetic pairs before real ones, leaves nothing in the norms of the finished stage."""

    def bytes_of(batch: Any) -> set[bytes]:
        return {(one * 255).round().to(torch.uint8).numpy().tobytes() for one in batch.labels}

    one = loop(tmp_path, seen_images=160)
    eyes = tiny_eyes(5, image_px=24)
    parts = (eyes.samples[:2], eyes.samples[2:])
    first, last = (prepare(part, eyes.channels, 16, tmp_path / "cache") for part in parts)
    one.feed = Feed([Course(first), Course(last, start=80)], one.stage, seed=0)
    rehearsed: set[bytes] = set()
    one.stage.rehearse = lambda batch, _: rehearsed.update(bytes_of(batch))
    for seen, learnt in ((80, first), (84, last)):
        one.seen = seen
        rehearsed.clear()
        one._estimate_statistics()
        expected = {labels.tobytes() for labels in learnt.labels}
        assert rehearsed == set().union(*map(bytes_of, one.rehearsal_batches(3))) == expected
    assert {labels.tobytes() for labels in first.labels} != expected
