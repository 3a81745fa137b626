"""Pictures small enough to lie inside the report: photographs as JPEG, coloured label maps as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 288
"""The longer side at most; 24 pairs come to about one megabyte."""

_BACKGROUND, _FOV = (9, 12, 16), (27, 33, 43)
COLOURS = {
    "vessel": (232, 236, 241),
    "artery": (240, 101, 101),
    "vein": (98, 158, 240),
    "optic_disc": (245, 197, 66),
    "optic_cup": (240, 140, 46),
    "fovea": (160, 120, 245),
    "microaneurysm": (255, 90, 170),
    "haemorrhage": (205, 50, 95),
    "hard_exudate": (255, 243, 160),
    "soft_exudate": (170, 235, 190),
}
"""Channel -> colour, one picture of all; the disc lies under the vessels."""
_OTHERS = ((120, 210, 210), (210, 170, 120), (190, 220, 110), (220, 150, 220))
_UNDERNEATH = ("optic_disc", "optic_cup", "fovea")


def colour_of(channel: str) -> tuple[int, int, int]:
    """The channel's colour; always the same one for names that we do not know."""
    return COLOURS.get(channel) or _OTHERS[sum(channel.encode()) % len(_OTHERS)]


def embedded_photo(path: Path) -> str | None:
    """A photograph as a ``data:`` address; None where it cannot be read."""
    picture = _read(path, "RGB")
    return None if picture is None else _address(_smaller(picture), "JPEG", quality=86)


def embedded_array(photo: NDArray[np.uint8]) -> str:
    """A photograph (h w 3) as a ``data:`` address."""
    return _address(_smaller(Image.fromarray(photo)), "JPEG", quality=86)


def embedded_map(path: Path) -> str | None:
    """A label map, as its file shows it; None where it cannot be read."""
    picture = _read(path, "L")
    return None if picture is None else _address(_smaller(picture), "PNG", optimize=True)


def embedded_labels(maps: Mapping[str, Path], fov: Path | None) -> str | None:
    """The label maps of one sample in their colours over each other; None where one cannot be read."""
    read = {channel: _read(path, "L") for channel, path in maps.items()}
    planes = {channel: np.asarray(picture) > 127 for channel, picture in read.items() if picture is not None}
    if not planes or len(planes) < len(maps):
        return None
    field = _read(fov, "L") if fov else None
    return embedded_planes(planes, None if field is None else np.asarray(field) > 127)


def embedded_planes(planes: Mapping[str, NDArray[np.bool_]], fov: NDArray[np.bool_] | None) -> str | None:
    """Label maps (h w) in their colours over each other; None where their sizes differ."""
    shapes = {plane.shape for plane in [*planes.values(), *([] if fov is None else [fov])]}
    if len(shapes) != 1:
        return None
    drawn = np.empty((*shapes.pop(), 3), np.uint8)
    drawn[:] = _FOV
    if fov is not None:
        drawn[~fov] = _BACKGROUND
    for channel in stacked(planes):
        drawn[planes[channel]] = colour_of(channel)
    small = _smaller(Image.fromarray(drawn)).quantize(48, dither=Image.Dither.NONE)
    return _address(small, "PNG", optimize=True)


def stacked(channels: Iterable[str]) -> list[str]:
    """Channels in the order in which they are drawn over each other."""
    return sorted(channels, key=lambda channel: channel not in _UNDERNEATH)


def _read(path: Path, mode: str) -> Image.Image | None:
    try:
        with Image.open(path) as picture:
            return picture.convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # a damaged picture leaves a gap in the report, not no report


def _smaller(picture: Image.Image) -> Image.Image:
    scale = SIDE_PX / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _address(picture: Image.Image, kind: str, **options: int) -> str:
    written = io.BytesIO()
    picture.save(written, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(written.getvalue()).decode()}"
