from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.measure import label as components

from retina_core import FitOptions, Registry, fit, load_stage, sample_rngs
from retina_core.data.readers import phantom as series
from retina_core.errors import ChannelError
from retina_core.phantom import CHANNELS, phantom_labels
from retina_core.testing import DrawingContract, tiny_eyes
from retina_phantom import PhantomConfig, PhantomLabels
from retina_phantom.drawing import draw_maps


class TestPhantom(DrawingContract):
    stage = "phantom"
    settings = {"resolution": 32}


def phantom(resolution: int = 64, channels: tuple[str, ...] = CHANNELS) -> PhantomLabels:
    return PhantomLabels(PhantomConfig(resolution=resolution), channels)


def test_every_channel_of_a_phantom_is_drawn() -> None:
    maps = phantom(128).sample(sample_rngs(0, 3))
    assert maps.shape == (3, len(CHANNELS), 128, 128)
    assert set(maps.unique().tolist()) == {0.0, 1.0}
    assert maps.flatten(2).amax(2).min() == 1


def test_channels_come_in_the_order_that_was_asked_for() -> None:
    one, other = (
        phantom(64, names).sample(sample_rngs(0, 1)) for names in (("vessel", "fovea"), ("fovea", "vessel"))
    )
    assert torch.equal(one, other.flip(1))


def test_vessels_hang_on_the_disc_at_every_size() -> None:
    for size in (64, 200):
        for artery, vein, disc in (
            phantom(size, ("artery", "vein", "optic_disc")).sample(sample_rngs(3, 3)) > 0.5
        ):
            for kind in (artery.numpy(), vein.numpy()):
                parts = components(kind, connectivity=2)
                assert set(np.unique(parts)) == {0, *np.unique(parts[kind & disc.numpy()]).tolist()}


def test_vessels_reach_the_rim_of_a_field_of_view_that_fills_the_frame() -> None:
    """So do those of samples that were cropped to their fov; another camera's fov then cuts them off."""
    rows, columns = np.mgrid[:128, :128] - 63.5
    reach, corner = np.hypot(rows, columns) / 64, 2 * (rows > 0) + (columns > 0)
    for (tree,) in phantom(128, ("vessel",)).sample(sample_rngs(1, 4)).numpy() > 0.5:
        assert reach[tree].max() <= 1
        assert [quarter for quarter in range(4) if reach[tree & (corner == quarter)].max() < 0.97] == []


def test_the_same_eyes_come_at_another_size() -> None:
    small, large = (phantom(64).at(size).sample(sample_rngs(0, 2)) for size in (64, 192))
    shrunk = torch.nn.functional.adaptive_avg_pool2d(large, 64)
    disc = CHANNELS.index("optic_disc")
    assert (small[:, disc] - (shrunk[:, disc] > 0.5).float()).abs().mean() < 0.002
    assert torch.equal(small, phantom(64).sample(sample_rngs(0, 2)))


def test_no_eye_is_one_that_anything_is_trained_or_tested_on() -> None:
    """Their series differ, so that the same index would be another eye."""
    seeds = (
        series.LABELS_SEED,
        series.TRAINING_SEED,
        series.TEST_SEED,
        series.STARTER_SEED,
        series.PREVIEW_SEED,
    )
    assert len(set(seeds)) == len(seeds)
    maps = {phantom_labels(seed, 5, 64)["vessel"].tobytes() for seed in seeds}
    assert len(maps) == len(seeds)


def test_an_eye_is_chosen_by_the_whole_of_its_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[int, int]] = []

    def watched(seed: int, index: int, image_px: int) -> dict[str, np.ndarray]:
        chosen.append((seed, index))
        return {"vessel": np.zeros((image_px, image_px), bool)}

    monkeypatch.setattr("retina_phantom.drawing.phantom_labels", watched)
    for rng in sample_rngs(0, 2000):
        draw_maps(rng, ("vessel",), 32)
    assert {seed for seed, _ in chosen} == {series.LABELS_SEED}
    assert len({index for _, index in chosen}) == 2000
    assert max(index for _, index in chosen) > 2**60


def test_a_channel_that_phantoms_have_not_is_refused_before_any_work(tmp_path: Path) -> None:
    eyes = tiny_eyes(channels=("vessel", "drusen"))
    with pytest.raises(
        ChannelError, match=r"drusen, which phantom does not have \(has: vessel, .*data.channels"
    ):
        fit("phantom", eyes, tmp_path / "labels", options=FitOptions(device="cpu"))
    assert not (tmp_path / "labels").exists()
    with pytest.raises(ChannelError, match="drusen"):
        phantom(64, ("drusen",))


def test_weights_to_begin_with_are_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    fit("phantom", tiny_eyes(), tmp_path / "labels", settings={"resolution": 32}, init=tmp_path / "nowhere")
    assert load_stage(tmp_path / "labels", registry=Registry.discover()).priors.thresholds == {"vessel": 0.5}
