"""Pictures small enough to lie inside the report: photographs as JPEG, coloured label maps as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.channels import ANATOMY

SIDE_PX = 288
"""The longer side at most; 24 pairs come to about one megabyte."""

_BACKGROUND, _FOV = (9, 12, 16), (27, 33, 43)
COLOURS = {
    "optic_disc": (245, 178, 50),
    "optic_cup": (214, 110, 30),
    "fovea": (160, 120, 245),
    "vessel": (232, 236, 241),
    "artery": (240, 101, 101),
    "vein": (98, 158, 240),
    "soft_exudate": (70, 205, 225),
    "haemorrhage": (218, 40, 55),
    "hard_exudate": (255, 246, 150),
    "neovascularisation": (80, 215, 105),
    "microaneurysm": (255, 100, 235),
}
"""Channel -> colour, one picture of all, in the order in which they lie over each other: the disc under the vessels, the
smallest lesions on top."""
_OTHERS = ((120, 210, 210), (210, 170, 120), (190, 220, 110), (220, 150, 220))
_BEFORE_OTHERS = "vein"
"""What others lie on: they may be lesions as well."""
_SHADES = 6
"""Steps of a colour towards the field of view, where a small picture covers a part of a pixel."""


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
    ground = np.empty((*shapes.pop(), 3), np.uint8)
    ground[:] = _FOV
    if fov is not None:
        ground[~fov] = _BACKGROUND
    drawn = np.asarray(_smaller(Image.fromarray(ground)), np.float32)
    for channel in stacked(planes):
        cover = (
            np.asarray(_smaller(Image.fromarray(planes[channel].astype(np.uint8) * 255)), np.float32) / 255
        )
        # A lesion of one pixel has to be seen in a picture that is several times smaller.
        share = np.clip(cover * (1 if channel in ANATOMY else 2), 0, 1)[:, :, None]
        drawn += share * (np.array(colour_of(channel), np.float32) - drawn)
    picture = Image.fromarray(drawn.round().clip(0, 255).astype(np.uint8))
    return _address(
        picture.quantize(palette=_palette(planes), dither=Image.Dither.NONE), "PNG", optimize=True
    )


def stacked(channels: Iterable[str]) -> list[str]:
    """Channels in the order in which they are drawn over each other."""
    known = list(COLOURS)
    return sorted(channels, key=lambda one: known.index(one if one in known else _BEFORE_OTHERS))


def _palette(channels: Iterable[str]) -> Image.Image:
    """The colours of these channels, each in its shades: a palette of the commonest would lose a few small lesions."""
    steps = np.linspace(1 / _SHADES, 1, _SHADES)[:, None]
    shades = [(1 - steps) * _FOV + steps * colour_of(channel) for channel in list(channels)[:40]]
    between = [np.linspace(_BACKGROUND, _FOV, 3)]
    colours = np.concatenate([*between, *shades]).round().astype(np.uint8)
    held = Image.new("P", (1, 1))
    held.putpalette(colours.tobytes())
    return held


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
