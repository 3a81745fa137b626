"""Which part of a photograph becomes the square that networks see, where a protocol says other than the core."""

from __future__ import annotations

from typing import Literal, NamedTuple

from retina_core.data.fov import Box, fov_box
from retina_core.data.masks import Mask

Part = Literal["fov", "centre", "whole"]
"""The smallest square around the field of view; the largest square about the frame's centre; the whole frame, stretched."""


class Framing(NamedTuple):
    """How one photograph is brought to working resolution."""

    part: Part = "fov"
    resampling: Literal["lanczos", "bicubic"] = "lanczos"
    """Of the photograph; label maps always count how much of each pixel is covered."""

    def box(self, fov: Mask) -> Box:
        """The part of a frame whose field of view is ``fov`` (h w).

        Raises ``ValueError`` for a field of view in which nothing is True.
        """
        height, width = fov.shape
        if self.part == "whole":
            return Box(0, 0, width, 0 if width == height else height)
        if self.part == "centre":
            side = min(height, width)
            return Box((width - side) // 2, (height - side) // 2, side)
        return fov_box(fov)


USUAL = Framing()
"""The core's own."""
