import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retina_core.tiling import in_tiles, over_turns


@given(height=st.integers(5, 90), width=st.integers(5, 90), tile=st.sampled_from([16, 24, 40]))
def test_tiles_put_back_together_are_the_whole(height: int, width: int, tile: int) -> None:
    photos = torch.rand(1, 2, height, width)
    torch.testing.assert_close(in_tiles(lambda x: x, photos, tile, 8), photos, atol=1e-5, rtol=1e-5)


def test_no_tile_is_larger_than_asked_and_all_fit_the_network() -> None:
    sizes: set[tuple[int, ...]] = set()

    def watch(x: torch.Tensor) -> torch.Tensor:
        sizes.add(tuple(x.shape[-2:]))
        return x

    in_tiles(watch, torch.rand(1, 3, 100, 61), 48, 16)
    assert sizes == {(48, 48)}


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (2, 1, 6, 10)])
def test_turns_are_turned_back(shape: tuple[int, ...]) -> None:
    photos = torch.rand(shape)
    torch.testing.assert_close(over_turns(lambda x: x, photos), photos)


def test_turns_average_what_depends_on_direction() -> None:
    # A segmenter that answers with a gradient from left to right: over all turns it cancels.
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    torch.testing.assert_close(
        over_turns(lambda x: ramp.clone(), torch.rand(1, 1, 8, 8)), torch.full((1, 1, 8, 8), 0.5)
    )
