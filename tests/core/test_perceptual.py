"""The distance between photographs in borrowed features, and where the features come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from kornia.filters import gaussian_blur2d
from safetensors.torch import save_file
from torch import Tensor, nn

from retina_core.api import StageSpec, hookimpl
from retina_core.config import GANConfig, LearningConfig, PerceptualConfig, StageConfig
from retina_core.errors import InvalidValueError, PathError, UnknownStageError
from retina_core.perceptual import PerceptualFeatures, SegmenterFeatures, perceptual_distance
from retina_core.perceptual.sources import SegmenterSource, WeightsSource, perceptual_source
from retina_core.perceptual.vgg19 import LAYER_WEIGHTS, VGG19, VGG19Features
from retina_core.perceptual.weights import SHA256
from retina_core.registry import Registry
from retina_core.roles import Segmenter


class Blocks(Segmenter):
    """Two convolutions for a segmenter."""

    name: ClassVar[str] = "blocks"

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(StageConfig(), ("vessel",))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, stride=2))
        for module in self.network:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.network[0].weight.data *= gain

    def networks(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        return photos[:, :1]

    def features(self, photos: Tensor) -> list[Tensor]:
        fine = self.network[0](photos).relu()
        return [fine, self.network[1](fine)]


def vgg19() -> VGG19Features:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VGG19Features(VGG19((4, 5, 6, 7, 8)), {"source": "vgg19"})


def photos(seed: int = 1, side: int = 32) -> Tensor:
    rough = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return gaussian_blur2d(rough, 5, (1.0, 1.0)).mul(4).sub(1.5).clamp(0, 1)


@pytest.fixture(params=["segmenter", "vgg19"])
def features(request: pytest.FixtureRequest) -> PerceptualFeatures:
    return vgg19() if request.param == "vgg19" else SegmenterFeatures(Blocks(), "0" * 64)


class TestDistance:
    def test_equal_photographs_have_none(self, features: PerceptualFeatures) -> None:
        assert float(perceptual_distance(features, photos(), photos())) == 0

    def test_it_grows_with_blur(self, features: PerceptualFeatures) -> None:
        blurred = [gaussian_blur2d(photos(), 13, (sigma, sigma)) for sigma in (0.3, 0.6, 1.2, 2.4)]
        distances = [float(perceptual_distance(features, one, photos())) for one in blurred]
        assert distances == sorted(distances)
        assert distances[-1] > 2 * distances[0] > 0

    def test_gradients_reach_the_painted_photograph_alone(self, features: PerceptualFeatures) -> None:
        painted, real = photos(2).requires_grad_(), photos().requires_grad_()
        perceptual_distance(features, painted, real).backward()  # type: ignore[no-untyped-call]
        assert painted.grad is not None
        assert float(painted.grad.abs().min(dim=1).values.max()) > 0
        assert real.grad is None
        network = getattr(features, "_network", None) or features._segmenter.network  # type: ignore[attr-defined]
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())

    def test_a_step_down_its_gradient_brings_the_photographs_nearer(
        self, features: PerceptualFeatures
    ) -> None:
        painted = photos(2)
        before = perceptual_distance(features, painted.requires_grad_(), photos())
        before.backward()  # type: ignore[no-untyped-call]
        assert painted.grad is not None
        nearer = (painted - 0.01 * painted.grad / painted.grad.abs().max()).detach()
        assert float(perceptual_distance(features, nearer, photos())) < float(before.detach())

    def test_in_bf16_it_is_a_float32_number_close_to_the_exact_one(
        self, features: PerceptualFeatures
    ) -> None:
        exact = perceptual_distance(features, photos(2), photos())
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            rough = perceptual_distance(features, photos(2).bfloat16(), photos())
        assert rough.dtype == torch.float32
        assert float(rough) == pytest.approx(float(exact), rel=0.02)

    def test_a_segmenters_maps_weigh_alike_however_strong_they_are(self) -> None:
        weak, strong = (SegmenterFeatures(Blocks(gain), "") for gain in (0.2, 50.0))
        found = [float(perceptual_distance(one, photos(2), photos())) for one in (weak, strong)]
        assert found[0] == pytest.approx(found[1], rel=1e-4)
        # Photographs that have nothing to do with each other are about 1 apart.
        assert 0.2 < found[0] < 2

    def test_maps_of_nothing_are_not_divided_by_zero(self) -> None:
        black = torch.zeros(1, 3, 16, 16)
        painted = black.clone().requires_grad_()
        distance = perceptual_distance(SegmenterFeatures(Blocks(), ""), painted, black)
        distance.backward()  # type: ignore[no-untyped-call]
        assert float(distance.detach()) == 0
        assert painted.grad is not None
        assert bool(torch.isfinite(painted.grad).all())

    def test_vgg19s_layers_weigh_as_in_pix2pixhd(self) -> None:
        one = vgg19()
        pairs = zip(one(photos(2)), one(photos()), LAYER_WEIGHTS, strict=True)
        by_hand = sum(weight * float((a - b).abs().mean()) for a, b, weight in pairs)
        assert float(perceptual_distance(one, photos(2), photos())) == pytest.approx(by_hand, rel=1e-5)
        assert LAYER_WEIGHTS == (0.03125, 0.0625, 0.125, 0.25, 1.0)

    def test_what_was_used_is_told(self) -> None:
        facts = SegmenterFeatures(Blocks(), "ab" * 32).facts
        assert facts == {"source": "segmenter", "stage": "blocks", "sha256": "ab" * 32}


def registry(*names: str) -> Registry:
    """Segmenters that have names and the settings of whatever learns."""

    def offer(name: str) -> Any:
        spec = StageSpec(
            name, "segmenter", "retina_core.roles:Segmenter", "retina_core.config:LearningConfig", "made up"
        )

        @hookimpl
        def retina_segmenters() -> Sequence[StageSpec]:
            return (spec,)

        return SimpleNamespace(retina_segmenters=retina_segmenters)

    return Registry.of(**{name: offer(name) for name in names})


def source(installed: Registry, *, preset: str = "quick", **settings: Any) -> Any:
    config = PerceptualConfig.resolve(
        "painter", "quick", {"resolution": 128, "seen_images": 2_400, **settings}
    )
    return perceptual_source("painter", config, preset, installed)


class TestSources:
    def test_none_is_the_default_and_stages_without_the_settings_have_none(self) -> None:
        assert source(registry("one")) is None
        assert perceptual_source("painter", GANConfig(), "quick", registry("one")) is None

    def test_the_installed_segmenter_is_taken(self) -> None:
        found = source(registry("one"), perceptual="segmenter")
        assert isinstance(found, SegmenterSource)
        assert (found.spec.name, found.spec.role, found.preset) == ("one", "segmenter", "quick")

    def test_none_installed_is_an_error_with_the_ways_out(self) -> None:
        with pytest.raises(InvalidValueError, match=r"no segmenter is installed; .* choose none or vgg19"):
            source(registry(), perceptual="segmenter")

    def test_of_several_one_must_be_named(self) -> None:
        with pytest.raises(InvalidValueError, match="name one of one, two"):
            source(registry("two", "one"), perceptual="segmenter")
        named = source(registry("two", "one"), perceptual="segmenter", perceptual_segmenter="two")
        assert named.spec.name == "two"
        with pytest.raises(UnknownStageError, match="have: one, two"):
            source(registry("two", "one"), perceptual="segmenter", perceptual_segmenter="three")

    def test_of_several_unet_is_taken(self) -> None:
        found = source(registry("unet", "one"), perceptual="segmenter")
        assert found.spec.name == "unet"

    def test_it_sees_photographs_of_the_borrowers_size_and_is_done_soon(self) -> None:
        config = source(registry("one"), perceptual="segmenter").config
        assert (config.resolution, config.seen_images, config.batch_size) == (128, 300, 8)
        long = source(registry("one"), perceptual="segmenter", seen_images=10**7).config
        assert long.seen_images == LearningConfig().seen_images
        assert source(registry("one"), perceptual="segmenter", seen_images=3).config.seen_images == 1

    def test_a_batch_that_processes_cannot_share_grows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for world, batch in ((2, 8), (3, 24), (8, 8)):
            monkeypatch.setenv("WORLD_SIZE", str(world))
            assert source(registry("one"), perceptual="segmenter").config.batch_size == batch

    def test_a_preset_that_the_segmenter_lacks_is_its_standard(self) -> None:
        assert source(registry("one"), perceptual="segmenter", preset="starter").preset == "standard"

    def test_torchvisions_weights_are_known_wherever_they_lie(self, tmp_path: Path) -> None:
        here = source(registry(), perceptual="vgg19", perceptual_path=str(tmp_path / "vgg19-dcbb9e9d.pth"))
        cached = source(registry(), perceptual="vgg19")
        assert isinstance(here, WeightsSource)
        assert here.identity == cached.identity == {"source": "vgg19", "sha256": SHA256}

    def test_own_weights_are_known_by_their_content(self, tmp_path: Path) -> None:
        save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
        save_file({"features.0.weight": torch.ones(1)}, tmp_path / "b.safetensors")
        one, other = (
            source(
                registry(), perceptual="vgg19", perceptual_path=str(tmp_path / f"{name}.safetensors")
            ).identity
            for name in "ab"
        )
        assert one != other

    def test_missing_weights_are_refused_when_they_are_checked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(PathError, match="perceptual_download=true"):
            source(registry(), perceptual="vgg19").check(lambda line: None)

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"perceptual_path": "x.pth"}, "a setting of perceptual=vgg19 alone"),
            ({"perceptual": "segmenter", "perceptual_download": True}, "a setting of perceptual=vgg19 alone"),
            (
                {"perceptual": "vgg19", "perceptual_segmenter": "one"},
                "a setting of perceptual=segmenter alone",
            ),
            ({"perceptual": "vgg16"}, "perceptual='vgg16' cannot be used"),
            ({"perceptual": "vgg19", "perceptual_weight": 0}, "perceptual_weight=0 cannot be used"),
        ],
    )
    def test_settings_that_nothing_reads_are_refused(self, settings: dict[str, Any], reason: str) -> None:
        with pytest.raises(InvalidValueError, match=reason):
            source(registry("one"), **settings)
