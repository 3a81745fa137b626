"""The filter of the core: one disc, one fovea, vessels that reach the disc; phantoms pass."""

import numpy as np
import pytest

from retina_core.anatomy_filter import accept, kind_of, kinds_of, unchecked
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


@pytest.mark.parametrize("channel", ["vessel", "artery", "vein"])
def test_an_eye_without_vessels_is_refused(channel: str) -> None:
    nothing = np.zeros((64, 64), bool)
    assert accept(eye(**{channel: nothing}), PHOTO) == f"no {channel}"
    assert accept({channel: nothing}, PHOTO) == f"no {channel}"
    assert kind_of(f"no {channel}") == ("missing", channel)


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


def test_what_lies_outside_the_field_of_view_is_refused_where_that_is_shown() -> None:
    fov = np.ones((64, 64), bool)
    fov[:, 50:] = False
    assert accept(eye(), PHOTO) is None
    assert accept(eye(), PHOTO, fov) == "vessel outside the field of view"
    assert accept(eye(vessel=eye()["vessel"] & fov), PHOTO, fov) is None
    lesion = np.zeros((64, 64), bool)
    lesion[10, 60] = True
    ill = eye(vessel=eye()["vessel"] & fov, hard_exudate=lesion)
    assert accept(ill, PHOTO, fov) == "hard_exudate outside the field of view"


def test_vessels_of_the_photograph_stand_in_for_those_of_a_map_that_has_none() -> None:
    disc = {"optic_disc": eye()["optic_disc"]}
    near, far = eye()["vessel"], np.roll(eye()["vessel"], 3, axis=1)
    assert accept(disc, PHOTO, None, near) is None
    assert accept(disc, PHOTO, None, far) == "no vessel reaches the optic_disc"
    assert accept(disc, PHOTO, None, np.zeros((64, 64), bool)) is None
    assert accept({**disc, "vessel": near}, PHOTO, None, far) is None


def test_every_reason_has_a_kind_and_names_its_channel() -> None:
    fov = np.zeros((64, 64), bool)
    two = eye()["fovea"] | np.roll(eye()["fovea"], 20, axis=0)
    told = [
        accept(eye(optic_disc=fov), PHOTO),
        accept(eye(fovea=two), PHOTO),
        accept(eye(), PHOTO, fov),
        accept(eye(vessel=np.roll(eye()["vessel"], 3, axis=1)), PHOTO),
    ]
    assert [kind_of(str(reason)) for reason in told] == [
        ("missing", "optic_disc"),
        ("several", "fovea"),
        ("outside", "fovea"),
        ("unrooted", "optic_disc"),
    ]
    assert kind_of("too soft") is None


def test_what_is_looked_for_follows_the_channels() -> None:
    assert kinds_of(("cell",)) == []
    assert kinds_of(("vessel",)) == [("missing", "vessel")]
    assert [channel for _, channel in kinds_of(("fovea", "optic_disc"))].count("fovea") == 2
    assert unchecked(("optic_disc",), finder=False)
    for channels, finder in ((("optic_disc",), True), (("optic_disc", "vein"), False), (("cell",), False)):
        assert not unchecked(channels, finder=finder)
