"""The filter of the core: one disc, one fovea, vessels that reach the disc; phantoms pass."""

import numpy as np
import pytest

from retina_core.anatomy_filter import accept
from retina_core.phantom import phantom_labels

PHOTO = np.zeros((64, 64, 3), np.uint8)


def eye(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """A disc, a fovea, and one vessel that ends two pixels from the disc."""
    maps = {channel: np.zeros((64, 64), bool) for channel in ("vessel", "optic_disc", "fovea")}
    maps["optic_disc"][28:36, 10:18] = maps["fovea"][30:34, 40:44] = maps["vessel"][32, 19:60] = True
    return maps | changes


def test_an_eye_as_it_should_be_passes() -> None:
    assert accept(eye(), PHOTO) is None


@pytest.mark.parametrize("channel", ["optic_disc", "fovea"])
def test_none_or_two_of_what_an_eye_has_once_is_refused(channel: str) -> None:
    two = eye()[channel] | np.roll(eye()[channel], 20, axis=0)
    assert accept(eye(**{channel: np.zeros((64, 64), bool)}), PHOTO) == f"no {channel}"
    assert accept(eye(**{channel: two}), PHOTO) == f"2 pieces of {channel}"


def test_a_tree_away_from_the_disc_is_refused_unless_another_reaches_it() -> None:
    far = np.roll(eye()["vessel"], 3, axis=1)
    assert accept(eye(vessel=far), PHOTO) == "no vessel reaches the optic_disc"
    assert accept(eye(vessel=far, artery=eye()["vessel"]), PHOTO) is None


@pytest.mark.parametrize("channels", [("vessel",), ("optic_disc",), ("cell",), ()])
def test_channels_that_are_not_there_are_not_asked_about(channels: tuple[str, ...]) -> None:
    assert accept({channel: eye().get(channel, PHOTO[..., 0] > 0) for channel in channels}, PHOTO) is None


@pytest.mark.parametrize("index", range(8))
def test_phantoms_pass(index: int) -> None:
    labels = phantom_labels(3, index, 128)
    assert accept({channel: labels[channel] for channel in ("vessel", "optic_disc", "fovea")}, PHOTO) is None
