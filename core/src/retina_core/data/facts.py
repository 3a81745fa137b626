"""What checking found out about samples, so that nothing is decoded twice to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retina_core.data.looks import Look


@dataclass(frozen=True)
class LabelFacts:
    """What checking found out about one label map."""

    digest: str
    """SHA-256 of the binary mask."""
    marked_px: int
    fov_share: float
    """Marked pixels in the field of view as a share of it, 0 to 1."""


@dataclass(frozen=True)
class SampleFacts:
    """What checking found out about a sample, so that nothing is decoded twice to know it."""

    fingerprint: str
    size: tuple[int, int]
    """Width and height, px."""
    grey: bool
    """The photograph has one channel, which is repeated to three."""
    fov_digest: str
    fov_share: float
    """The field of view as a share of the frame, 0 to 1."""
    labels: Mapping[str, LabelFacts]
    changes: tuple[str, ...] = ()
    """What was done to the photograph's pixels while they were read."""
    map_changes: tuple[str, ...] = ()
    """The same of its label maps and field of view, once for each."""
    look: Look | None = field(default=None, compare=False, repr=False)
    """What the photograph shows, small; None where nobody asked for it."""
