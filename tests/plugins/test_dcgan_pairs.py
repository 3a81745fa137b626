"""``dcgan`` as a pair generator: what its discriminator sees, what it draws, and what it can begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from retina_core.formats.adopting import adopt_weights
from retina_core.formats.stage_folder import save_stage
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.stages import Batch
from retina_dcgan import DCGANLabels, DCGANPairs, DCGANPairsConfig
from retina_dcgan.config import DCGANConfig
from retina_dcgan.network import masked

TINY = {"resolution": 32, "width": 4, "max_width": 8, "discriminator_width": 4, "latent": 8}


def stage(*channels: str, **settings: Any) -> DCGANPairs:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(channels))
        return DCGANPairs(DCGANPairsConfig.resolve("dcgan", "quick", {**TINY, **settings}), channels)


class Step:
    """A training step's means, of which nothing is changed by augmentation."""

    def __init__(self) -> None:
        self.rngs = sample_rngs(0, 2)

    def augment(self, batch: Batch) -> Any:
        return batch.labels, batch.fov, batch.photos

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def batch() -> Batch:
    """Two pairs whose left half lies outside the field of view."""
    rng = torch.Generator().manual_seed(0)
    fov = torch.ones(2, 1, 32, 32)
    fov[..., :16] = 0
    labels, photos = (torch.rand(2, planes, 32, 32, generator=rng) * fov for planes in (2, 3))
    none = torch.zeros(2, 3, 1, 1)
    return Batch(labels, fov, photos, torch.ones(2, 2, dtype=torch.bool), none, none, torch.full((2,), -1))


def test_both_pictures_are_empty_and_black_outside_the_same_fields_of_view(batch: Batch) -> None:
    real, drawn = stage("vessel", "optic_disc")._shown(batch, Step())  # type: ignore[arg-type]
    assert real.shape == drawn.shape == (2, 5, 32, 32)
    for picture in (real, drawn):
        assert bool((picture[..., :16] == -1).all())
        assert not bool((picture[..., 16:] == -1).all())
    torch.testing.assert_close(real[..., 16:], 2 * torch.cat([batch.labels, batch.photos], 1)[..., 16:] - 1)


def test_what_the_generator_draws_outside_is_never_judged() -> None:
    drawn = torch.zeros(1, 4, 8, 8, requires_grad=True)
    fov = torch.zeros(1, 1, 8, 8)
    fov[..., 4:] = 1
    (slope,) = torch.autograd.grad(masked(drawn, fov).square().sum(), drawn)
    assert float(slope[..., :4].abs().sum()) == 0
    assert torch.equal(masked(drawn, torch.ones_like(fov)), drawn)


def test_labels_and_photograph_are_planes_of_one_picture() -> None:
    drawing = stage("vessel", "optic_disc")
    drawing.eval_mode()
    labels, photos = drawing.sample_pairs(sample_rngs(0, 2))
    assert (labels.shape[1], photos.shape[1], drawing.planes) == (2, 3, 5)
    whole = drawing._drawn(sample_rngs(0, 2))
    assert torch.equal(whole, torch.cat([labels, photos], 1))


@pytest.mark.parametrize("discriminator", ["dcgan", "synthmed"])
def test_another_ones_channels_are_taken_by_name_and_its_colours_stay_colours(
    discriminator: str, tmp_path: Path
) -> None:
    registry = Registry.discover()
    row = registry.plugin_of(registry.stage("pair-generator:dcgan"))
    theirs = stage("vessel", discriminator=discriminator)
    save_stage(theirs, tmp_path, plugin=row, seen=[], provenance={"phantom": True})
    mine = stage("optic_disc", "vessel", discriminator=discriminator)
    told = adopt_weights(mine, tmp_path)
    assert (told.channels, told.fresh_channels) == (("vessel",), ("optic_disc",))
    drawn, seen = mine.generator.head.bias, mine.generator.head.weight
    assert torch.equal(drawn[1:], theirs.generator.head.bias)
    assert torch.equal(seen[:, 1:], theirs.generator.head.weight)
    first = "features.0.weight" if discriminator == "synthmed" else "stem.0.weight"
    judged = (one.discriminator.state_dict()[first] for one in (mine, theirs))
    assert torch.equal(next(judged)[:, 1:], next(judged))


def test_presets_are_those_of_the_label_generator() -> None:
    assert DCGANPairsConfig.presets == DCGANConfig.presets
    assert set(DCGANPairsConfig.model_fields) == set(DCGANConfig.model_fields)
    assert DCGANLabels.name == DCGANPairs.name == "dcgan"
