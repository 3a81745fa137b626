"""What is known of label channels by their names."""

from collections.abc import Iterable
from typing import Final

TREES: Final = frozenset({"vessel", "artery", "vein"})
"""Channels of lines that branch: they have a centreline, and must hold together."""
ANATOMY: Final = TREES | {"optic_disc", "optic_cup", "fovea"}
"""What every eye has. Any other channel is counted as a lesion is: an eye may have none of it, or hundreds."""

SPECKLED: Final = frozenset({"hard_exudate", "microaneurysm"})
"""Lesions that come as many points of a few pixels."""


def lesions_among(channels: Iterable[str]) -> tuple[str, ...]:
    """The channels that are no anatomy, in their order."""
    return tuple(channel for channel in channels if channel not in ANATOMY)
