"""What an image translator promises."""

from __future__ import annotations

from typing import ClassVar, cast

import pytest
import torch
from torch import Tensor

from retina_core.randomness import sample_rngs
from retina_core.roles import ImageTranslator
from retina_core.specs import Role
from retina_core.stages import Stage
from retina_core.testing.learning import LearningContract


class ImageTranslatorContract(LearningContract):
    """Subclass with ``stage`` and a tiny ``settings``."""

    role: ClassVar[Role] = "image-translator"

    @pytest.fixture
    def translator(self, new_stage: Stage) -> ImageTranslator:
        """A fresh one."""
        return cast(ImageTranslator, new_stage)

    def maps(self, count: int, side: int) -> tuple[Tensor, Tensor]:
        """Random binary labels (b k h w), and a fov (b 1 h w) whose left fifth is outside."""
        rng = torch.Generator().manual_seed(3)
        fov = torch.ones(count, 1, side, side)
        fov[..., : side // 5] = 0
        labels = (torch.rand(count, len(self.channels), side, side, generator=rng) > 0.7).float()
        return labels * fov, fov

    def test_photographs_have_the_promised_shape_and_range(self, translator: ImageTranslator) -> None:
        labels, fov = self.maps(2, translator.resolution)
        photos = translator.translate(labels, fov, rngs=sample_rngs(0, 2))
        assert photos.shape == (2, translator.image_channels, translator.resolution, translator.resolution)
        assert photos.dtype == torch.float32
        assert 0 <= float(photos.min()) <= float(photos.max()) <= 1

    def test_outside_the_fov_everything_is_black(self, translator: ImageTranslator) -> None:
        labels, fov = self.maps(2, translator.resolution)
        photos = translator.translate(labels, fov, rngs=sample_rngs(0, 2))
        assert float((photos * (1 - fov)).abs().max()) == 0

    def test_same_generators_same_photographs(self, translator: ImageTranslator) -> None:
        labels, fov = self.maps(2, translator.resolution)
        first, second = (translator.translate(labels, fov, rngs=sample_rngs(0, 2)) for _ in range(2))
        assert torch.equal(first, second)

    def test_a_photograph_follows_its_map(self, translator: ImageTranslator) -> None:
        labels, fov = self.maps(1, translator.resolution)
        first = translator.translate(labels, fov, rngs=sample_rngs(0, 1))
        assert not torch.equal(first, translator.translate(fov - labels, fov, rngs=sample_rngs(0, 1)))

    def test_a_photograph_does_not_depend_on_its_batch(self, translator: ImageTranslator) -> None:
        labels, fov = self.maps(3, translator.resolution)
        together = translator.translate(labels, fov, rngs=sample_rngs(0, 3))
        alone = translator.translate(labels[1:2], fov[1:2], rngs=sample_rngs(0, 1, start=1))
        torch.testing.assert_close(together[1], alone[0], atol=1e-5, rtol=0)

    def test_translating_reads_no_global_generator(self, translator: ImageTranslator) -> None:
        labels, fov = self.maps(1, translator.resolution)
        before = torch.random.get_rng_state()
        translator.translate(labels, fov, rngs=sample_rngs(0, 1))
        assert torch.equal(before, torch.random.get_rng_state())
