"""What every stage that draws label maps promises, whether it learns or not."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import pytest
import torch

from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.roles import LabelGenerator
from retina_core.specs import Role
from retina_core.stages import Stage
from retina_core.testing.stage import StageContract


class DrawingContract(StageContract):
    """Subclass with ``stage`` and a tiny ``settings`` where nothing is learnt; else ``LabelGeneratorContract``."""

    role: ClassVar[Role] = "label-generator"

    @pytest.fixture
    def generator(self, new_stage: Stage) -> LabelGenerator:
        """A fresh one."""
        return cast(LabelGenerator, new_stage)

    def test_maps_are_soft_and_of_the_promised_shape(self, generator: LabelGenerator) -> None:
        maps = generator.sample(sample_rngs(0, 3))
        assert maps.shape == (3, len(self.channels), generator.resolution, generator.resolution)
        assert maps.dtype == torch.float32
        assert 0 <= float(maps.min()) <= float(maps.max()) <= 1

    def test_same_generators_same_maps(self, generator: LabelGenerator) -> None:
        assert torch.equal(generator.sample(sample_rngs(0, 2)), generator.sample(sample_rngs(0, 2)))

    def test_other_generators_other_maps(self, generator: LabelGenerator) -> None:
        maps = generator.sample(sample_rngs(0, 2))
        assert not torch.equal(maps[0], maps[1])
        assert not torch.equal(maps, generator.sample(sample_rngs(1, 2)))

    def test_a_map_does_not_depend_on_its_batch(self, generator: LabelGenerator) -> None:
        together = generator.sample(sample_rngs(0, 5))
        alone = generator.sample(sample_rngs(0, 1, start=3))
        torch.testing.assert_close(together[3], alone[0], atol=1e-5, rtol=0)

    def test_sampling_reads_no_global_generator(self, generator: LabelGenerator) -> None:
        before = torch.random.get_rng_state()
        generator.sample(sample_rngs(0, 2))
        assert torch.equal(before, torch.random.get_rng_state())

    @pytest.fixture
    def graded(self, generator: LabelGenerator) -> LabelGenerator:
        """A fresh one, where its maps show grades; a stage without them promises nothing about them."""
        if not generator.shows_grades(generator.channels):
            pytest.skip(f"{self.stage} shows no grades in {', '.join(generator.channels)}")
        return generator

    def test_same_grades_same_maps(self, graded: LabelGenerator) -> None:
        grades = torch.tensor([0, 4, 2])
        maps = graded.sample(sample_rngs(0, 3), grades=grades)
        assert maps.shape == (3, len(self.channels), graded.resolution, graded.resolution)
        assert maps.dtype == torch.float32
        assert 0 <= float(maps.min()) <= float(maps.max()) <= 1
        assert torch.equal(maps, graded.sample(sample_rngs(0, 3), grades=grades))

    def test_another_grade_can_give_the_same_generators_other_maps(self, graded: LabelGenerator) -> None:
        _shake(graded)  # what a grade does may begin at nothing, and be learnt
        kept, changed = (
            graded.sample(sample_rngs(0, 4), grades=torch.tensor([4, other, other, other]))
            for other in (0, 4)
        )
        torch.testing.assert_close(kept[0], changed[0], atol=1e-5, rtol=0)
        assert not torch.equal(kept[1:], changed[1:])

    def test_a_map_of_a_grade_does_not_depend_on_its_batch(self, graded: LabelGenerator) -> None:
        together = graded.sample(sample_rngs(0, 5), grades=torch.arange(5))
        alone = graded.sample(sample_rngs(0, 1, start=3), grades=torch.tensor([3]))
        torch.testing.assert_close(together[3], alone[0], atol=1e-5, rtol=0)

    def test_made_one_knows_thresholds_and_fields_of_view(self, tmp_path: Path, registry: Registry) -> None:
        stage = self.make(tmp_path / "stage", registry)
        assert set(stage.priors.thresholds) == set(self.channels) == set(stage.priors.shares)
        assert all(0 <= value <= 1 for value in stage.priors.thresholds.values())
        assert stage.priors.fovs.shape == (6, 1, stage.resolution, stage.resolution)

    def test_maps_are_the_same_after_loading(self, tmp_path: Path, registry: Registry) -> None:
        made = self.make(tmp_path / "stage", registry)
        again = load_stage(tmp_path / "stage", registry=registry, device="cpu")
        assert isinstance(made, LabelGenerator)
        assert isinstance(again, LabelGenerator)
        assert torch.equal(made.sample(sample_rngs(0, 2)), again.sample(sample_rngs(0, 2)))

    def test_at_another_size_it_draws_that_size_or_its_own(self, generator: LabelGenerator) -> None:
        other = generator.at(2 * generator.resolution)
        assert other is generator or other.resolution == 2 * generator.resolution
        maps = other.sample(sample_rngs(0, 2))
        assert maps.shape == (2, len(self.channels), other.resolution, other.resolution)
        assert torch.equal(maps, generator.at(2 * generator.resolution).sample(sample_rngs(0, 2)))


def _shake(stage: Stage) -> None:
    """Move every weight a little, as a training would."""
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for network in stage.networks().values():
            for weight in network.parameters():
                weight.add_(0.1 * torch.randn(weight.shape, generator=rng))
