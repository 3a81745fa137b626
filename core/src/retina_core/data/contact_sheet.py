"""A sheet of small photographs with their labels drawn over them, to look at a data set at a glance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from retina_core.data.fov import crop_square, fov_box
from retina_core.data.pixels import Picture
from retina_core.data.sample import Dataset, Sample
from retina_core.data.threads import in_order
from retina_core.errors import StorageError

Colour = tuple[int, int, int]

COLOURS: Final[tuple[Colour, ...]] = (
    (0, 255, 255),
    (255, 255, 0),
    (0, 255, 80),
    (255, 90, 255),
    (255, 255, 255),
    (90, 140, 255),
    (255, 140, 0),
    (170, 255, 190),
    (255, 60, 60),
    (200, 160, 255),
)
"""One per channel in order, then again; chosen to stand out of the red of a retina."""

TILE_PX: Final = 384
_GAP_PX: Final = 8
_TEXT_PX: Final = 16
_LINE_PX: Final = 24


def contact_sheet(dataset: Dataset, path: Path, *, count: int = 12, columns: int = 4) -> Path:
    """Write a PNG of ``count`` samples, evenly spaced over the data set: outlines of labels over photographs.

    Each is cropped to its field of view. The legend names the colour of each channel.

    Raises:
        StorageError: it cannot be written there.
        ValueError: the data set has no samples.
    """
    if not dataset.samples:
        raise ValueError("a data set without samples has no contact sheet")
    places = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    shown = [dataset.samples[place] for place in places]
    tiles = list(in_order(lambda sample: tile(sample, dataset.channels), shown))
    sheet = _arrange(tiles, [_named(sample) for sample in shown], min(columns, len(shown)))
    _write_legend(sheet, dataset)
    _save(sheet, path)
    return path


def _named(sample: Sample) -> str:
    return sample.id if sample.grade is None else f"{sample.id}, grade {sample.grade}"


def tile(sample: Sample, channels: Sequence[str], side: int = TILE_PX) -> Picture:
    """A sample's photograph (side side 3), cropped to its fov, with the outlines of its labels."""
    photo = sample.photo_array()
    box = fov_box(sample.fov_array(photo))
    small = Image.fromarray(crop_square(photo, box)).resize((side, side), Image.Resampling.LANCZOS)
    drawn = np.array(small, dtype=np.float32)
    for place, channel in enumerate(channels):
        if sample.labels.get(channel) is None:
            continue
        crop = Image.fromarray(crop_square(sample.label_array(channel), box).astype(np.uint8) * 255)
        how = Image.Resampling.HAMMING if box.side > side else Image.Resampling.NEAREST
        line = _outline(np.asarray(crop.resize((side, side), how)))[:, :, None]
        drawn += line * (np.array(COLOURS[place % len(COLOURS)], dtype=np.float32) - drawn)
    return drawn.clip(0, 255).astype(np.uint8)


def _outline(coverage: Picture) -> NDArray[np.float32]:
    """How much of each pixel the outline of a label covers, 0 to 1: strong where coverage falls off."""
    share = coverage.astype(np.float32) / 255
    inner = ndimage.minimum_filter(share, size=3)
    return np.asarray(share - inner, dtype=np.float32)


def _arrange(tiles: Sequence[Picture], names: Sequence[str], columns: int) -> Image.Image:
    rows = -(-len(tiles) // columns)
    width = columns * (TILE_PX + _GAP_PX) + _GAP_PX
    height = rows * (TILE_PX + _LINE_PX + _GAP_PX) + _GAP_PX + _LINE_PX
    sheet = Image.new("RGB", (width, height), (16, 16, 16))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX)
    for place, (picture, name) in enumerate(zip(tiles, names, strict=True)):
        row, column = divmod(place, columns)
        left = _GAP_PX + column * (TILE_PX + _GAP_PX)
        top = _GAP_PX + row * (TILE_PX + _LINE_PX + _GAP_PX)
        sheet.paste(Image.fromarray(picture), (left, top))
        draw.text((left, top + TILE_PX + 2), _printable(name), fill=(220, 220, 220), font=font)
    return sheet


def _write_legend(sheet: Image.Image, dataset: Dataset) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX)
    left, top = _GAP_PX, sheet.height - _LINE_PX
    words = [(_printable(dataset.name), (220, 220, 220))]
    words += [(channel, COLOURS[place % len(COLOURS)]) for place, channel in enumerate(dataset.channels)]
    if dataset.phantom:
        words.append((", ".join(dataset.notes), (160, 160, 160)))
    for word, colour in words:
        draw.text((left, top), word, fill=colour, font=font)
        left += int(draw.textlength(word, font=font)) + 3 * _GAP_PX


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:48]


def _save(sheet: Image.Image, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(partial, format="PNG")
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # the first error is the one to tell
            partial.unlink()
