"""Photographs whose style is learnt: drawn as the seed says, never from the test part; features of random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retina_core.data.pictures import FilePicture
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import DatasetError, InvalidValueError
from retina_core.perceptual import perceptual_distance
from retina_core.perceptual.random_vgg19 import random_vgg19
from retina_core.perceptual.sources import RandomSource, perceptual_source, reader_source
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.style_config import StyleConfig
from retina_core.style_photos import StyleSource, style_source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five photographs of a colour each."""
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    rows, columns = np.mgrid[:40, :40]
    disc = (rows - 19.5) ** 2 + (columns - 19.5) ** 2 < 18**2
    (tmp_path / "styles").mkdir()
    for number in range(5):
        colour = np.array([40 + 40 * number, 60, 30])
        picture = Image.fromarray((disc[:, :, None] * colour).astype(np.uint8))
        picture.save(tmp_path / "styles" / f"{number}.png")
    return tmp_path / "styles"


def drawn(source: StyleSource, position: int) -> int:
    """Which photograph the step at a position draws."""
    context: Any = SimpleNamespace(rngs=sample_rngs(3, 2, start=position), device=torch.device("cpu"))
    photo = source.load(16).draw(context).photos
    assert photo.shape == (1, 3, 16, 16)
    return round((float(photo[0, 0, 8, 8]) * 255 - 40) / 40)


def test_each_step_draws_one_as_seed_and_seen_images_say(folder: Path) -> None:
    source = StyleSource(folder)
    first = [drawn(source, position) for position in range(0, 60, 2)]
    assert set(first) == {0, 1, 2, 3, 4}
    assert first == [drawn(source, position) for position in range(0, 60, 2)]


def test_a_file_is_one_photograph(folder: Path) -> None:
    source = StyleSource(folder / "3.png")
    assert {drawn(source, position) for position in range(4)} == {3}
    assert source.facts["photographs"] == 1


def test_they_are_known_by_their_content_and_not_by_their_place(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in folder.iterdir():
        (moved / f"renamed-{path.name}").write_bytes(path.read_bytes())
    assert StyleSource(moved).identity == StyleSource(folder).identity
    assert str(tmp_path) not in str(StyleSource(folder).facts)


def test_a_photograph_of_the_test_part_is_refused(folder: Path) -> None:
    source = StyleSource(folder)
    sample = Sample("eye", "eye", FilePicture(folder / "2.png"))
    test = Dataset("eyes", "folder", None, (sample,), ("vessel",))
    with pytest.raises(DatasetError, match=r"2\.png: is in the test part"):
        source.refuse_tested(test)
    source.refuse_tested(None)


def config(**settings: Any) -> StyleConfig:
    return StyleConfig.resolve("painter", "quick", settings)


def test_nothing_is_borrowed_where_no_style_is_learnt() -> None:
    assert style_source(config()) is None
    assert reader_source("painter", config(), "quick", Registry.of()) is None


def test_a_style_needs_a_reader_or_none_by_name() -> None:
    settings = {"perceptual": "random-vgg19", "style_photos": "somewhere"}
    with pytest.raises(InvalidValueError, match="segmentation_weight=0"):
        reader_source("painter", config(**settings), "quick", Registry.of())
    nobody = config(**settings, segmentation_weight=0)
    assert reader_source("painter", nobody, "quick", Registry.of()) is None


class TestRandomVGG19:
    def test_it_is_used_where_it_is_named(self) -> None:
        source = perceptual_source("painter", config(perceptual="random-vgg19"), "quick", Registry.of())
        assert isinstance(source, RandomSource)
        assert source.identity == {"source": "random-vgg19", "seed": 0}

    def test_its_weights_are_the_same_everywhere_and_leave_the_global_generator(self) -> None:
        before = torch.random.get_rng_state()
        one, other = random_vgg19(), random_vgg19()
        assert torch.equal(before, torch.random.get_rng_state())
        assert one.facts == other.facts
        assert one.facts["sha256"].startswith("fb50b0fefa5673fa")

    def test_its_maps_keep_their_strength_down_to_the_last_block(self) -> None:
        photos = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        maps = random_vgg19()(photos)
        assert [level.shape[1] for level in maps] == [64, 128, 256, 512, 512]
        strengths = [float(level.square().mean()) for level in maps]
        assert max(strengths) < 30 * min(strengths)

    def test_another_texture_is_further_than_another_piece_of_the_same(self) -> None:
        features, rng = random_vgg19(), torch.Generator().manual_seed(0)
        fine = torch.rand(2, 3, 32, 32, generator=rng)
        coarse = torch.rand(1, 3, 8, 8, generator=rng).repeat_interleave(4, 2).repeat_interleave(4, 3)

        def correlations(photo: torch.Tensor) -> torch.Tensor:
            level = features(photo[None])[1][0].flatten(1)
            return level @ level.T / level.shape[1]

        one, same, other = (correlations(photo) for photo in (fine[0], fine[1], coarse[0]))
        assert float((one - same).square().sum()) < 0.5 * float((one - other).square().sum())
        assert float(perceptual_distance(features, fine[:1], fine[:1])) == 0
