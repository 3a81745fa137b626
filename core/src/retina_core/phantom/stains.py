"""Lesions drawn onto pixels: exact maps of where they are, and how they change the light of a photograph."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retina_core.phantom.anatomy import Anatomy, Plane
from retina_core.phantom.camera import Camera
from retina_core.phantom.lesions import (
    HAEMORRHAGE,
    HARD_EXUDATE,
    LESIONS,
    MICROANEURYSM,
    NEW_VESSELS,
    SOFT_EXUDATE,
    Disease,
    Floats,
    Spots,
)
from retina_core.phantom.raster import THINNEST_PX, Drawing, draw_segments, segments
from retina_core.phantom.vessels import VesselTree

Mask = NDArray[np.bool_]

FEATHER: Final[Mapping[str, float]] = {
    MICROANEURYSM: 0.3,
    HAEMORRHAGE: 0.45,
    HARD_EXUDATE: 0.12,
    SOFT_EXUDATE: 0.85,
}
"""How wide the edge is over which a lesion fades, as a share of its width; never less than a pixel."""

LOOKS: Final[Mapping[str, tuple[float, float, float]]] = {
    MICROANEURYSM: (-0.34, -0.8, -0.4),
    HAEMORRHAGE: (-0.4, -0.85, -0.45),
    HARD_EXUDATE: (0.3, 0.5, 0.5),
    SOFT_EXUDATE: (0.36, 0.7, 1.3),
    NEW_VESSELS: (-0.36, -1.0, -0.6),
}
"""What each adds to the exponents of light (red, green, blue) in its middle. In IDRiD the medians over all that is
marked, blurred edges and faint ones with it, have these signs and a third of these sizes."""

LIPID: Final = (1.3, 0.75, -0.75)
"""The exponents of a hard exudate's own bright yellow, (0.98, 0.88, 0.38) as displayed."""

LIPID_SHARE: Final = 0.65
"""How much of that it shows, rather than of the light around it: it reflects where the fundus absorbs."""

NEW_VESSEL_GAIN: Final = 1.8
"""New vessels show more than healthy ones of their width, in front of which they lie."""


@dataclass(frozen=True)
class Stain:
    """The lesions of one kind on the pixels of a picture."""

    label: Mask
    """(h w) The pixels whose centres lie within a lesion, and of each lesion at least the pixel of its middle."""
    cover: Plane
    """(h w) How strongly each pixel is stained, about 0 to 1."""


@dataclass(frozen=True)
class Stains:
    """All lesions of an eye on the pixels of a picture."""

    labels: Mapping[str, Mask]
    """A map (h w) for each of ``LESIONS``, inside the field of view; all but the new vessels off the disc."""
    covers: Mapping[str, Plane]
    """The same for what a photograph shows, for the lesions that there are."""


def draw_stains(disease: Disease, anatomy: Anatomy, camera: Camera, image_px: int) -> Stains:
    """A disease's lesions as ``camera`` sees them in a picture of so many pixels a side."""
    stains = {
        lesion: draw_spots(spots, FEATHER[lesion], camera, image_px)
        for lesion, spots in disease.spots.items()
    }
    if disease.new_vessels:
        drawing = draw_tangles(disease.new_vessels, camera, image_px)
        stains[NEW_VESSELS] = Stain(drawing.label, np.clip(NEW_VESSEL_GAIN * drawing.blood, 0, 1))
    fov = camera.fov(image_px)
    retina = fov & (anatomy.disc.distance(*camera.eye_coordinates(image_px)) < 0)
    nothing = np.zeros_like(fov)
    labels = {
        lesion: stains[lesion].label & (fov if lesion == NEW_VESSELS else retina)
        if lesion in stains
        else nothing
        for lesion in LESIONS
    }
    covers = {lesion: stain.cover for lesion, stain in stains.items() if stain.label.any()}
    return Stains(MappingProxyType(labels), MappingProxyType(covers))


def stained(fundus: Plane, vessels: Plane, stains: Stains) -> Plane:
    """The exponents of light (c h w) of fundus and vessels together with the lesions in, under and over them."""
    nothing = np.float32(0)
    # Hard exudates lie under the vessels, cotton-wool spots over them.
    lipid = np.clip(LIPID_SHARE * stains.covers.get(HARD_EXUDATE, nothing), 0, 0.9)
    hidden = np.clip(0.75 * stains.covers.get(SOFT_EXUDATE, nothing), 0, 0.9)
    exponent = fundus + lipid * (_exponents(LIPID) - fundus) + vessels * (1 - hidden)
    for lesion, cover in stains.covers.items():
        exponent = exponent + cover * _exponents(LOOKS[lesion])
    return np.asarray(exponent, dtype=np.float32)


def draw_tangles(tangles: tuple[VesselTree, ...], camera: Camera, image_px: int) -> Drawing:
    """New vessels, of which even the thinnest are drawn: what is there was seen by someone who looked closely."""
    joined = VesselTree(tuple(vessel for tangle in tangles for vessel in tangle.vessels), ())
    return draw_segments(segments(joined, "vein", camera, image_px), camera, image_px)


def draw_spots(spots: Spots, feather: float, camera: Camera, image_px: int) -> Stain:
    """Lesions of one kind, not yet masked by the field of view."""
    scale = camera.pixels_per_mm(image_px)
    centre = camera.place(spots.centre, image_px)
    ahead = np.stack([np.cos(spots.angle), np.sin(spots.angle)], axis=1)
    # The camera may mirror the eye, and tilts it.
    course = camera.place(spots.centre + ahead, image_px) - centre
    course = course / scale
    reach_px = np.ceil(1.5 * np.maximum(spots.half_length * scale, THINNEST_PX) + 1).astype(np.intp)
    margin = int(reach_px.max(initial=1)) + 2
    side = image_px + 2 * margin
    label, cover = np.zeros(side * side, dtype=bool), np.zeros(side * side, dtype=np.float32)
    for size in np.unique(reach_px):
        chosen = reach_px == size
        rows, columns, along, across = _around(centre[chosen], course[chosen], int(size))
        depth, width = _depth(spots.of(chosen), along, across, scale)
        pixel = (rows + margin) * side + columns + margin
        label[pixel[depth >= 0]] = True
        label[pixel[:, size, size]] = True
        edge = np.maximum(1.0, feather * width)
        fade = np.clip(depth / edge + 0.5, 0, 1)
        shown = fade * fade * (3 - 2 * fade) * _strength(spots.of(chosen), scale)
        np.maximum.at(cover, pixel, shown.astype(np.float32))
    crop = (slice(margin, margin + image_px),) * 2
    return Stain(label.reshape(side, side)[crop], cover.reshape(side, side)[crop])


def _around(
    centre: Floats, course: Floats, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """The pixels around each lesion: rows (n p 1), columns (n 1 p), and how far each lies along and across it, px."""
    offsets = np.arange(-size, size + 1)
    middle = np.floor(centre).astype(np.intp)
    columns = (middle[:, 0, None] + offsets)[:, None, :]
    rows = (middle[:, 1, None] + offsets)[:, :, None]
    x, y = columns + 0.5 - centre[:, 0, None, None], rows + 0.5 - centre[:, 1, None, None]
    ahead_x, ahead_y = course[:, 0, None, None], course[:, 1, None, None]
    return rows, columns, x * ahead_x + y * ahead_y, y * ahead_x - x * ahead_y


def _depth(spots: Spots, along: Floats, across: Floats, scale: float) -> tuple[Floats, Floats]:
    """How deep each pixel lies within its lesion (n p p), negative outside, and the lesion's half width (n 1 1), px."""
    length = np.maximum(spots.half_length * scale, THINNEST_PX)[:, None, None]
    width = np.maximum(spots.half_width * scale, THINNEST_PX)[:, None, None]
    v = across / width
    # Strands side by side, some longer than others.
    strands = np.sin(4.6 * v + spots.phase[:, 0, None, None]) + 0.6 * np.sin(
        9.1 * v + spots.phase[:, 1, None, None]
    )
    u = along / (length * (1 + spots.fray[:, None, None] * strands / 1.6))
    angle = np.arctan2(v, u)
    radius = np.ones_like(angle)
    for place, harmonic in enumerate(range(2, 6)):
        amplitude, phase = spots.wobble[:, place, None, None], spots.phase[:, place, None, None]
        radius += amplitude * np.cos(harmonic * angle + phase)
    return (radius - np.hypot(u, v)) * width, width


def _strength(spots: Spots, scale: float) -> Floats:
    """How strongly each lesion shows (n 1 1): less where it is drawn wider than it is."""
    shown = np.clip(spots.half_width * scale / THINNEST_PX, 0.4, 1)
    return (spots.strength * shown)[:, None, None]


def _exponents(colour: tuple[float, float, float]) -> Plane:
    return np.array(colour, dtype=np.float32)[:, None, None]
