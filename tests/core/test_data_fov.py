"""The field of view: found, cropped to, pasted back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retina_core.data.fov import Box, crop_square, derive_fov, fov_box, paste_back, resize_plane


def disc(height: int, width: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.hypot(x - width / 2, y - height / 2) <= radius


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("height", "width"), [(240, 250), (960, 999), (1500, 2000)])
def test_a_disc_is_found_though_its_rim_is_dark(height: int, width: int) -> None:
    fov = disc(height, width, height * 0.45)
    x = np.arange(width)[None]
    light = np.clip(140 - 140 * x / (0.9 * width), 12, None)  # darkens to one side
    noise = np.random.default_rng(0).integers(-3, 4, (height, width))
    red = np.where(fov, light + noise, 2 + noise).clip(0, 255)
    photo = np.stack([red, red / 2, red / 4], axis=2).astype(np.uint8)
    assert overlap(derive_fov(photo), fov) > 0.98


def test_what_lies_beside_the_fov_is_left_out() -> None:
    fov = disc(300, 400, 130)
    photo = np.where(fov, 120, 0).astype(np.uint8)
    photo[5:20, 5:60] = 255  # a caption in the corner
    assert overlap(derive_fov(np.stack([photo] * 3, axis=2)), fov) > 0.98


def test_a_glow_around_the_fov_is_no_part_of_it() -> None:
    """As around half of IDRiD's eyes, which are read from JPEG files: brighter than CHASE_DB1's darkest rims."""
    fov = disc(480, 640, 200)
    noise = np.random.default_rng(0).integers(-2, 3, fov.shape)
    red = np.where(fov, 130, np.where(disc(480, 640, 235), 11, 1)) + noise
    photo = np.stack([red, red / 2, red / 4], axis=2).clip(0, 255).astype(np.uint8)
    assert overlap(derive_fov(photo), fov) > 0.98


def test_a_frame_without_black_is_all_fov() -> None:
    photo = np.random.default_rng(0).integers(90, 200, (80, 100, 3), dtype=np.uint8)
    assert derive_fov(photo).mean() > 0.99


def test_a_black_frame_has_no_fov() -> None:
    assert not derive_fov(np.zeros((80, 100, 3), dtype=np.uint8)).any()


def test_the_box_is_a_square_around_the_fov() -> None:
    fov = np.zeros((50, 80), dtype=np.bool_)
    fov[10:40, 5:75] = True
    assert fov_box(fov) == Box(left=5, top=-10, side=70)
    with pytest.raises(ValueError, match="empty"):
        fov_box(np.zeros((5, 5), dtype=np.bool_))


boxes = st.builds(
    Box, st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 50), st.just(0) | st.integers(1, 50)
)


@given(boxes, st.integers(1, 40), st.integers(1, 40))
def test_crop_then_paste_is_the_identity_inside_the_box(box: Box, height: int, width: int) -> None:
    plane = np.random.default_rng(height * 41 + width).random((height, width), dtype=np.float32)
    y, x = np.mgrid[:height, :width]
    inside = (x >= box.left) & (x < box.left + box.side) & (y >= box.top) & (y < box.top + box.height)
    there_and_back = paste_back(crop_square(plane, box), box, (width, height))
    np.testing.assert_array_equal(there_and_back, np.where(inside, plane, 0))


@given(boxes)
def test_a_crop_keeps_channels_and_kind(box: Box) -> None:
    picture = np.ones((20, 30, 3), dtype=np.uint8)
    crop = crop_square(picture, box)
    assert (crop.shape, crop.dtype) == ((box.height, box.side, 3), np.uint8)


@given(st.integers(4, 40), st.integers(4, 40))
def test_resizing_keeps_a_constant_and_the_range(before: int, after: int) -> None:
    np.testing.assert_allclose(
        resize_plane(np.full((before, before), 0.25, dtype=np.float32), after), 0.25, atol=1e-6
    )
    extremes = resize_plane((np.indices((before, before)).sum(axis=0) % 2).astype(np.float32), after)
    assert extremes.min() >= 0
    assert extremes.max() <= 1
