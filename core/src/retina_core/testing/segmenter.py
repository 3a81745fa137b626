"""What a segmenter promises."""

from __future__ import annotations

from typing import ClassVar, cast

import pytest
import torch

from retina_core.roles import Segmenter
from retina_core.specs import Role
from retina_core.stages import Stage
from retina_core.testing.learning import LearningContract


class SegmenterContract(LearningContract):
    """Subclass with ``stage`` and a tiny ``settings``."""

    role: ClassVar[Role] = "segmenter"

    @pytest.fixture
    def segmenter(self, new_stage: Stage) -> Segmenter:
        """A fresh one."""
        return cast(Segmenter, new_stage)

    @pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 52), (90, 41)])
    def test_any_size_is_segmented(self, segmenter: Segmenter, height: int, width: int) -> None:
        photos, fov = torch.rand(2, 3, height, width), torch.ones(2, 1, height, width)
        found = segmenter.segment(photos, fov)
        assert found.shape == (2, len(self.channels), height, width)
        assert found.dtype == torch.float32
        assert 0 <= float(found.min()) <= float(found.max()) <= 1

    def test_outside_the_fov_nothing_is_found(self, segmenter: Segmenter) -> None:
        fov = torch.ones(1, 1, 32, 32)
        fov[..., :9] = 0
        assert float((segmenter.segment(torch.rand(1, 3, 32, 32), fov) * (1 - fov)).max()) == 0

    def test_a_result_does_not_depend_on_its_batch(self, segmenter: Segmenter) -> None:
        photos, fov = torch.rand(3, 3, 32, 32), torch.ones(3, 1, 32, 32)
        together = segmenter.segment(photos, fov)
        torch.testing.assert_close(
            together[1], segmenter.segment(photos[1:2], fov[1:2])[0], atol=1e-5, rtol=0
        )

    def test_features_are_maps_that_gradients_pass(self, segmenter: Segmenter) -> None:
        photos = torch.rand(1, 3, 32, 32, requires_grad=True)
        features = segmenter.features(photos)
        assert len(features) > 1
        assert all(f.ndim == 4 and f.shape[0] == 1 for f in features)
        (gradient,) = torch.autograd.grad(sum(f.float().square().mean() for f in features), photos)  # type: ignore[arg-type]
        assert float(gradient.abs().sum()) > 0
