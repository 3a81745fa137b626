"""What each critic sees, by the rule and by the slope of a verdict; and that none sees more than there is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from retina_core.errors import InvalidValueError
from retina_migan import compare, critics
from retina_migan.critics import Critic, Layer, layers_of, receptive_field
from retina_migan.segmenter_config import MIGANSegmenterConfig


def seen_by_the_middle(name: str, image_px: int) -> Tensor:
    """Rows and columns (h w) of a picture that the middle verdict's slope is not 0 at."""
    torch.manual_seed(0)
    critic = Critic(2, layers_of(name, image_px, 2)).double().eval()
    maps, photos = (torch.rand(1, 1, image_px, image_px, dtype=torch.float64) for _ in range(2))
    verdicts = critic(maps.requires_grad_(True), photos)  # 1 1 h' w'
    verdicts[0, 0, verdicts.shape[2] // 2, verdicts.shape[3] // 2].backward()
    assert maps.grad is not None
    return maps.grad[0, 0] != 0


@pytest.mark.parametrize(("name", "side"), [("pixel", 1), ("patch10", 10), ("patch80", 80)])
def test_a_verdict_follows_from_exactly_so_many_pixels(name: str, side: int) -> None:
    assert receptive_field(layers_of(name, 512, 32)) == side
    seen = seen_by_the_middle(name, 128)
    for line in (seen.any(dim=0), seen.any(dim=1)):
        places = line.nonzero().flatten()
        assert len(places) == side
        assert int(places[-1] - places[0]) == side - 1


@pytest.mark.parametrize("image_px", [16, 36, 64])
def test_the_image_critic_has_one_verdict_that_follows_from_every_pixel(image_px: int) -> None:
    assert receptive_field(layers_of("image", image_px, 2)) >= image_px
    critic = Critic(2, layers_of("image", image_px, 2))
    assert critic(torch.rand(2, 1, image_px, image_px), torch.rand(2, 1, image_px, image_px)).shape == (
        2,
        1,
        1,
        1,
    )
    assert bool(seen_by_the_middle("image", image_px).all())


def test_the_image_critic_halves_512_px_with_32_to_512_features() -> None:
    *halvings, verdict = layers_of("image", 512, 32)
    assert [layer.features for layer in halvings] == [32, 64, 128, 256, 512, 512, 512]
    assert {layer[:3] for layer in halvings} == {(4, 2, 1)}
    assert verdict == Layer(4, 1, 0, 1)


def test_maps_and_photograph_are_judged_together() -> None:
    torch.manual_seed(0)
    critic = Critic(2, layers_of("patch10", 32, 4)).eval()
    maps, photos = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32)
    alone = critic(maps, photos)
    assert not torch.equal(alone, critic(maps, 1 - photos))
    assert not torch.equal(alone, critic(1 - maps, photos))


def test_a_critic_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"'patch70' .*pixel, patch10, patch80, image"):
        layers_of("patch70", 64, 4)


@pytest.mark.parametrize("shown", [{"resolution": 64, "patch_px": 0}, {"resolution": 512, "patch_px": 72}])
def test_a_patch_larger_than_the_picture_is_refused(shown: dict[str, int]) -> None:
    with pytest.raises(InvalidValueError, match=r"^migan: critic=patch80 looks at 80 px"):
        MIGANSegmenterConfig.resolve("migan", "standard", {**shown, "critic": "patch80"})
    assert MIGANSegmenterConfig.resolve("migan", "standard", {**shown, "critic": "image"}).critic == "image"


def test_what_a_layer_cannot_be_computed_of_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="looks at 10 px, and 8 px"):
        MIGANSegmenterConfig.resolve("migan", "quick", {"patch_px": 8, "critic": "patch10"})
    with pytest.raises(InvalidValueError, match="patch_px above 64"):
        MIGANSegmenterConfig.resolve("migan", "quick", {"patch_px": 64, "batch_size": 1})
    assert MIGANSegmenterConfig.resolve("migan", "quick", {"patch_px": 64, "batch_size": 2}).patch_px == 64


def test_the_command_knows_the_five_of_table_1() -> None:
    assert compare.CRITICS == critics.CRITICS == ("none", "pixel", "patch10", "patch80", "image")
