"""Which samples a training step sees, and in what form."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from retina_core.data.pictures import ArrayPicture
from retina_core.data.prepare import PreparedSamples, prepare
from retina_core.data.sample import Dataset, Sample
from retina_core.stages import Batch, Phase
from retina_core.testing import tiny_eyes
from retina_core.training.feed import Course, Feed, photo_statistics
from retina_core.training.processes import Processes

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

SIDE = 32
WHOLE = Phase(SIDE, 4, {})


class PhotoReader(toy.ToyLabels):  # type: ignore[misc, name-defined]
    reads_photos: ClassVar[bool] = True


class BinaryReader(PhotoReader):
    label_form: ClassVar[Literal["soft", "binary"]] = "binary"


def prepared(eyes: Dataset, folder: Path, side: int = SIDE) -> PreparedSamples:
    return prepare(eyes.samples, eyes.channels, side, folder / "cache")


def feed_of(*courses: Course, kind: type = PhotoReader, seed: int = 3) -> Feed:
    channels = courses[0].samples.channels
    return Feed(courses, kind(toy.ToyConfig.resolve("toy", "quick", {}), channels), seed)


def whole(feed: Feed, seen_images: int, phase: Phase = WHOLE) -> tuple[Batch, list[torch.Generator]]:
    return feed.batch(seen_images, phase, slice(0, phase.batch_size))


def layers(batch: Batch) -> list[Tensor]:
    return [getattr(batch, name) for name in batch.__dataclass_fields__]


def joined(*batches: Batch) -> list[Tensor]:
    return [torch.cat(parts) for parts in zip(*(layers(batch) for batch in batches), strict=True)]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def samples(tmp_path: Path) -> PreparedSamples:
    return prepared(tiny_eyes(7, image_px=48, channels=("vessel", "optic_disc")), tmp_path)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 16])
def test_every_sample_comes_once_in_an_epoch(samples: PreparedSamples, batch_size: int) -> None:
    feed = feed_of(Course(samples))
    order = [i for seen in range(0, 7 * batch_size, batch_size) for i in feed.indices(seen, batch_size)[1]]
    epochs = [order[start : start + 7] for start in range(0, len(order), 7)]
    assert len(epochs) == batch_size
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert batch_size == 1 or len({tuple(epoch) for epoch in epochs}) > 1  # each in an order of its own


def test_the_order_is_a_function_of_the_seed(samples: PreparedSamples) -> None:
    course = Course(samples)
    one, same, other = (feed_of(course, seed=seed).indices(0, 70)[1] for seed in (3, 3, 4))
    assert one == same
    assert one != other


def test_a_batch_is_a_function_of_the_seen_images(samples: PreparedSamples) -> None:
    large, small = feed_of(Course(samples)), feed_of(Course(samples))
    large.batch(0, WHOLE, slice(0, 4))  # what was asked for before does not matter
    phase = Phase(SIDE, 4, {}, patch_px=16)
    one, rngs = whole(large, 12, phase)
    first, first_rngs = whole(small, 12, replace(phase, batch_size=2))
    second, second_rngs = whole(small, 14, replace(phase, batch_size=2))
    assert equal(layers(one), joined(first, second))
    draws = [torch.rand(3, generator=rng).tolist() for rng in rngs]
    assert draws == [torch.rand(3, generator=rng).tolist() for rng in (*first_rngs, *second_rngs)]
    assert len({tuple(draw) for draw in draws}) == 4


@pytest.mark.parametrize("patch_px", [0, 16])
def test_shares_of_two_processes_are_together_the_whole_batch(
    samples: PreparedSamples, patch_px: int
) -> None:
    feed = feed_of(Course(samples))
    phase = Phase(SIDE, 6, {}, patch_px=patch_px)
    shares = [Processes(rank, 2).share(6) for rank in (0, 1)]
    assert [list(range(6)[share]) for share in shares] == [[0, 1, 2], [3, 4, 5]]
    (one, one_rngs), (other, other_rngs) = (feed.batch(6, phase, share) for share in shares)
    both, rngs = whole(feed, 6, phase)
    assert equal(joined(one, other), layers(both))
    seeds = [rng.initial_seed() for rng in rngs]
    assert [rng.initial_seed() for rng in (*one_rngs, *other_rngs)] == seeds
    assert len(set(seeds)) == 6


def test_a_batch_is_what_was_prepared(samples: PreparedSamples) -> None:
    feed = feed_of(Course(samples))
    batch, _ = whole(feed, 0)
    found = feed.indices(0, 4)[1]
    for name in ("photos", "labels", "fov"):
        expected = np.array(getattr(samples, name)[found]).astype(np.float32) / 255
        np.testing.assert_array_equal(getattr(batch, name).numpy(), expected)
    assert batch.present.all()
    assert batch.grades.tolist() == [-1] * 4
    assert len(batch) == 4


def test_an_absent_channel_and_a_grade_come_with_their_sample(tmp_path: Path) -> None:
    eyes = tiny_eyes(4, image_px=48, channels=("vessel", "optic_disc"))
    one = replace(eyes.samples[2], labels={"vessel": eyes.samples[2].labels["vessel"]}, grade=3)
    feed = feed_of(Course(prepared(eyes.with_samples([*eyes.samples[:2], one, eyes.samples[3]]), tmp_path)))
    batch, _ = whole(feed, 0)
    at = feed.indices(0, 4)[1].index(2)
    assert batch.present.tolist() == [[True, i != at] for i in range(4)]
    assert batch.grades.tolist() == [3 if i == at else -1 for i in range(4)]


def test_a_stage_without_photographs_gets_none(samples: PreparedSamples) -> None:
    feed = feed_of(Course(samples), kind=toy.ToyLabels)
    for phase in (WHOLE, Phase(16, 4, {}), Phase(SIDE, 4, {}, patch_px=16)):
        batch, _ = whole(feed, 0, phase)
        assert batch.photos.shape[:2] == (4, 0)
        assert batch.labels.shape[2:] == batch.fov.shape[2:]


def place_of(patch: np.ndarray, photo: np.ndarray) -> tuple[int, int] | None:
    """Top and left of a patch (c p p) in a photograph (c h w), None where it is no part of it."""
    side, reach = patch.shape[-1], photo.shape[-1] - patch.shape[-1] + 1
    for top in range(reach):
        for left in range(reach):
            if np.array_equal(photo[:, top : top + side, left : left + side], patch):
                return top, left
    return None


@pytest.mark.parametrize("patch_px", [9, 16, 31])
def test_a_patch_lies_in_the_photograph_and_has_the_asked_side(
    samples: PreparedSamples, patch_px: int
) -> None:
    feed = feed_of(Course(samples))
    phase = Phase(SIDE, 14, {}, patch_px=patch_px)
    batch, _ = whole(feed, 0, phase)
    assert {layer.shape[2:] for layer in (batch.labels, batch.fov, batch.photos)} == {(patch_px, patch_px)}
    places = []
    for i, index in enumerate(feed.indices(0, 14)[1]):
        # All layers in one: they must have been cut at one place.
        cut = torch.cat([batch.photos[i], batch.labels[i], batch.fov[i]]).numpy()
        full = np.concatenate([samples.photos[index], samples.labels[index], samples.fov[index]]) / 255
        places.append(place_of(np.rint(cut * 255), np.rint(full * 255)))
    assert None not in places
    assert len(set(places)) > 1
    shares = batch.fov.mean((1, 2, 3))
    assert float(shares.min()) >= 0.25  # four tries each: no patch of the black corner is left here


@pytest.mark.parametrize("patch_px", [SIDE, SIDE + 8])
def test_a_patch_as_large_as_the_photograph_is_the_photograph(
    samples: PreparedSamples, patch_px: int
) -> None:
    feed = feed_of(Course(samples))
    assert equal(layers(whole(feed, 0)[0]), layers(whole(feed, 0, Phase(SIDE, 4, {}, patch_px=patch_px))[0]))


def thin_eyes(count: int = 6, side: int = 192) -> Dataset:
    """Eyes with curved lines two pixels wide, which cover a third of a pixel at a sixth of the size."""
    rows, columns = np.mgrid[:side, :side]
    samples = []
    for index in range(count):
        lines = np.zeros((side, side), bool)
        for line in range(4):
            middle = side * (0.2 * line + 0.15) + 9 * np.sin(columns / 17 + index + line)
            lines |= abs(rows - middle) < 1
        samples.append(
            Sample(
                id=str(index),
                patient=str(index),
                photo=ArrayPicture.of(f"p{index}", np.full((side, side, 3), 90 + index, np.uint8)),
                labels={"vessel": ArrayPicture.of(f"v{index}", lines.astype(np.uint8) * 255)},
            )
        )
    return Dataset("thin", "memory", None, tuple(samples), ("vessel",))


def test_binary_labels_keep_the_share_of_thin_lines(tmp_path: Path) -> None:
    eyes = thin_eyes()
    true = float(np.mean([sample.label_array("vessel").mean() for sample in eyes.samples]))
    course = Course(prepared(eyes, tmp_path))
    soft, binary = (whole(feed_of(course, kind=kind), 0, Phase(SIDE, 6, {}))[0].labels for kind in
                    (PhotoReader, BinaryReader))  # fmt: skip
    assert binary.unique().tolist() == [0, 1]
    assert float(binary.mean()) == pytest.approx(true, rel=0.15)
    assert float((soft > 0.5).float().mean()) < 0.2 * true  # what half coverage would have left of them
    assert float(soft[binary == 1].min()) > float(soft[binary == 0].max())


def test_binary_levels_are_each_channels_own(tmp_path: Path) -> None:
    eyes = thin_eyes()
    discs = [ArrayPicture.of(f"d{s.id}", (np.hypot(*(np.mgrid[:192, :192] - 90)) < 30) * np.uint8(255))
             for s in eyes.samples]  # fmt: skip
    samples = [replace(s, labels={**s.labels, "optic_disc": d}) for s, d in zip(eyes, discs, strict=True)]
    both = replace(eyes, samples=tuple(samples), channels=("vessel", "optic_disc"))
    labels = whole(feed_of(Course(prepared(both, tmp_path)), kind=BinaryReader), 0)[0].labels
    true = [np.mean([s.label_array(c).mean() for s in samples]) for c in both.channels]
    assert labels.mean((0, 2, 3)).tolist() == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("times", [2, 4])
def test_a_lower_resolution_averages_areas(samples: PreparedSamples, times: int) -> None:
    feed = feed_of(Course(samples))
    fine, coarse = whole(feed, 0)[0], whole(feed, 0, Phase(SIDE // times, 4, {}))[0]

    def blocks(layer: Tensor) -> np.ndarray:
        b, n, side = layer.shape[:3]
        return layer.numpy().reshape(b, n, side // times, times, side // times, times).mean((3, 5))

    np.testing.assert_allclose(coarse.photos.numpy(), blocks(fine.photos), atol=1e-6)
    np.testing.assert_allclose(coarse.labels.numpy(), blocks(fine.labels), atol=1e-6)
    np.testing.assert_array_equal(coarse.fov.numpy(), blocks(fine.fov) > 0.5)
    assert torch.equal(coarse.photo_mean, fine.photo_mean)


def test_finetune_changes_its_samples_at_its_image(tmp_path: Path) -> None:
    synthetic = prepared(tiny_eyes(3, image_px=48), tmp_path)
    real_eyes = tiny_eyes(8, image_px=48)
    real = prepared(real_eyes.with_samples(real_eyes.samples[3:]), tmp_path)
    feed = feed_of(Course(real, start=8), Course(synthetic))  # in any order
    known = {side.photos[i].tobytes(): (name, i) for name, side in (("synthetic", synthetic), ("real", real))
             for i in range(len(side))}  # fmt: skip
    assert len(known) == 8
    shown = []
    for seen in range(0, 24, 4):
        photos = (whole(feed, seen)[0].photos * 255).round().to(torch.uint8).contiguous().numpy()
        shown += [known[photo.tobytes()] for photo in photos]
    assert [name for name, _ in shown] == ["synthetic"] * 8 + ["real"] * 16
    assert {i for name, i in shown if name == "real"} == set(range(5))
    assert {i for name, i in shown if name == "synthetic"} == set(range(3))


def test_previews_show_the_first_samples_whole(samples: PreparedSamples) -> None:
    batch = feed_of(Course(samples)).fixed(9, SIDE)
    expected = np.array(samples.photos)[[0, 1, 2, 3, 4, 5, 6, 0, 1]].astype(np.float32) / 255
    np.testing.assert_array_equal(batch.photos.numpy(), expected)


def test_statistics_are_those_of_the_whole_photograph_in_its_fov(samples: PreparedSamples) -> None:
    feed = feed_of(Course(samples))
    phases = (WHOLE, Phase(SIDE, 4, {}, patch_px=9), Phase(8, 4, {}))
    for phase in phases:
        batch, _ = whole(feed, 0, phase)
        for i, index in enumerate(feed.indices(0, 4)[1]):
            inside = np.array(samples.fov[index, 0]) == 255
            assert 0 < inside.sum() < inside.size
            colours = np.array(samples.photos[index])[:, inside].astype(np.float64) / 255  # c n
            np.testing.assert_allclose(batch.photo_mean[i].flatten(), colours.mean(1), rtol=1e-5)
            np.testing.assert_allclose(batch.photo_std[i].flatten(), colours.std(1), rtol=1e-4)


def test_a_flat_photograph_and_an_empty_fov_have_finite_statistics() -> None:
    photos = torch.full((2, 3, 8, 8), 0.4)
    fov = torch.ones(2, 1, 8, 8)
    fov[1] = 0
    mean, std = photo_statistics(photos, fov)
    torch.testing.assert_close(mean.flatten(), torch.tensor([0.4] * 3 + [0.0] * 3))
    assert std.flatten().tolist() == pytest.approx([0.01] * 6)


def test_everything_on_the_way_is_float32_in_the_unit_range(samples: PreparedSamples) -> None:
    for kind in (PhotoReader, BinaryReader):
        batch: Any = whole(feed_of(Course(samples), kind=kind), 0, Phase(16, 4, {}))[0]
        for layer in (batch.labels, batch.fov, batch.photos):
            assert layer.dtype == torch.float32
            assert 0 <= float(layer.min()) < float(layer.max()) <= 1
        assert batch.fov.unique().tolist() == [0, 1]
