"""What a pair generator promises that learns."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import pytest
import torch

from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.roles import PairGenerator
from retina_core.specs import Role
from retina_core.stages import Stage
from retina_core.testing.learning import LearningContract


class PairGeneratorContract(LearningContract):
    """Subclass with ``stage`` and a tiny ``settings``."""

    role: ClassVar[Role] = "pair-generator"

    @pytest.fixture
    def generator(self, new_stage: Stage) -> PairGenerator:
        """A fresh one."""
        return cast(PairGenerator, new_stage)

    def test_pairs_have_the_promised_shapes_and_range(self, generator: PairGenerator) -> None:
        side = generator.resolution
        labels, photos = generator.sample_pairs(sample_rngs(0, 3))
        assert labels.shape == (3, len(self.channels), side, side)
        assert photos.shape == (3, generator.image_channels, side, side)
        for drawn in (labels, photos):
            assert drawn.dtype == torch.float32
            assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1

    def test_same_generators_same_pairs(self, generator: PairGenerator) -> None:
        first, second = (generator.sample_pairs(sample_rngs(0, 2)) for _ in range(2))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])

    def test_other_generators_other_pairs(self, generator: PairGenerator) -> None:
        labels, photos = generator.sample_pairs(sample_rngs(0, 2))
        others = generator.sample_pairs(sample_rngs(1, 2))
        for drawn, other in zip((labels, photos), others, strict=True):
            assert not torch.equal(drawn[0], drawn[1])
            assert not torch.equal(drawn, other)

    def test_a_pair_does_not_depend_on_its_batch(self, generator: PairGenerator) -> None:
        together = generator.sample_pairs(sample_rngs(0, 5))
        alone = generator.sample_pairs(sample_rngs(0, 1, start=3))
        torch.testing.assert_close(together[0][3], alone[0][0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together[1][3], alone[1][0], atol=1e-5, rtol=0)

    def test_sampling_pairs_reads_no_global_generator(self, generator: PairGenerator) -> None:
        before = torch.random.get_rng_state()
        generator.sample_pairs(sample_rngs(0, 2))
        assert torch.equal(before, torch.random.get_rng_state())

    def test_it_takes_no_grades(self, generator: PairGenerator) -> None:
        assert not generator.takes_grades
        assert not generator.shows_grades(generator.channels)

    def test_made_one_knows_thresholds_and_fields_of_view(self, tmp_path: Path, registry: Registry) -> None:
        stage = self.make(tmp_path / "stage", registry)
        assert set(stage.priors.thresholds) == set(self.channels) == set(stage.priors.shares)
        assert all(0 <= value <= 1 for value in stage.priors.thresholds.values())
        assert stage.priors.fovs.shape == (6, 1, stage.resolution, stage.resolution)

    def test_pairs_are_the_same_after_loading(self, tmp_path: Path, registry: Registry) -> None:
        made = self.make(tmp_path / "stage", registry)
        again = load_stage(tmp_path / "stage", registry=registry, device="cpu")
        assert isinstance(made, PairGenerator)
        assert isinstance(again, PairGenerator)
        before, after = made.sample_pairs(sample_rngs(0, 2)), again.sample_pairs(sample_rngs(0, 2))
        assert torch.equal(before[0], after[0])
        assert torch.equal(before[1], after[1])
