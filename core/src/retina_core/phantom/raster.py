"""Vessel trees drawn onto pixels: exact maps of where the vessels are, and how much blood light passes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retina_core.phantom.anatomy import Plane
from retina_core.phantom.camera import Camera
from retina_core.phantom.vessels import Kind, VesselTree

Floats = NDArray[np.float64]

THINNEST_PX = 0.53
"""The least half width that is drawn: a line of half a pixel touches a pixel centre in every column (or row)
that it crosses, so it never breaks up; the rest is margin for rounding."""

FAINTEST_PX = 0.25
"""The least half width of a vessel that is there at all: what is narrower than half a pixel darkens it by less than a
fifth of what a wide vessel does, and no grader marks what a photograph of that size does not show. At 128 px it
leaves vessels on 8 % of the frame, as at 256 px (CHASE_DB1: 7 %); with them, each a pixel wide, it would be 11 %."""
FAINTEST_AT_PX = 128
"""Smaller pictures, which are for tests alone, show the vessels that one of this size does."""

REFLEX_SHARE = 0.3
"""Spread of the central light reflex as a share of the vessel's radius: a stripe of about a third of its
width (Brinchmann-Hansen, The light reflex on retinal arteries and veins, Acta Ophthalmol. Suppl. 179,
1986)."""


@dataclass(frozen=True)
class Drawing:
    """The vessels of one kind on the pixels of a picture."""

    label: NDArray[np.bool_]
    """(h w) The pixels whose centres lie within a vessel."""
    blood: Plane
    """(h w) in [0, 1] The blood that light passes, 1 in the middle of the widest vessels."""
    reflex: Plane
    """(h w) in [0, 1] The light that the middle of the vessel gives back."""


@dataclass(frozen=True)
class Segments:
    """Straight pieces of centre lines on the picture."""

    start: Floats
    """(n 2) px"""
    along: Floats
    """(n 2) From the start to the end, px."""
    radius: Floats
    """(n) px"""
    radius_mm: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "Segments":
        """Some of them."""
        return Segments(self.start[chosen], self.along[chosen], self.radius[chosen], self.radius_mm[chosen])


def segments(tree: VesselTree, kind: Kind, camera: Camera, image_px: int) -> Segments:
    """All pieces of one kind's centre lines; each has the radius of its end that is farther from the disc."""
    vessels = [vessel for vessel in tree.vessels if vessel.kind == kind and len(vessel.points) > 1]
    start = camera.place(np.concatenate([vessel.points[:-1] for vessel in vessels]), image_px)
    end = camera.place(np.concatenate([vessel.points[1:] for vessel in vessels]), image_px)
    radius_mm = np.concatenate([vessel.radii[1:] for vessel in vessels])
    return Segments(start, end - start, radius_mm * camera.pixels_per_mm(image_px), radius_mm)


def faintest_px(image_px: int) -> float:
    """The least half width of a vessel, px, that a picture of this size shows."""
    return FAINTEST_PX * min(1.0, image_px / FAINTEST_AT_PX)


def draw_vessels(tree: VesselTree, kind: Kind, camera: Camera, image_px: int) -> Drawing:
    """One kind of vessel, not yet masked by the field of view."""
    pieces = segments(tree, kind, camera, image_px)
    return draw_segments(pieces.of(pieces.radius >= faintest_px(image_px)), camera, image_px)


def draw_segments(pieces: Segments, camera: Camera, image_px: int) -> Drawing:
    """Pieces of centre lines, each as wide as it is or, where that is less, ``THINNEST_PX``."""
    reach = (
        np.maximum(pieces.radius, THINNEST_PX) + 0.75 + np.hypot(pieces.along[:, 0], pieces.along[:, 1]) / 2
    )
    reach_px = np.ceil(reach).astype(np.intp)
    # Pieces may end a step outside the picture.
    margin = int(reach_px.max()) + int(np.ceil(0.12 * camera.pixels_per_mm(image_px))) + 2
    side = image_px + 2 * margin
    label = np.zeros(side * side, dtype=bool)
    blood, reflex = np.zeros((2, side * side), dtype=np.float32)
    for size in np.unique(reach_px):
        chosen = pieces.of(reach_px == size)
        rows, columns, distance = _distances(chosen, int(size))
        pixel = (rows + margin) * side + columns + margin
        radius = np.maximum(chosen.radius, THINNEST_PX)[:, None, None]
        inside = distance <= radius
        label[pixel[inside]] = True
        near = distance < radius + 0.5
        np.maximum.at(blood, pixel[near], _blood(distance, radius, chosen)[near])
        if size > 2:
            np.maximum.at(reflex, pixel[inside], _reflex(distance, radius)[inside])
    crop = (slice(margin, margin + image_px),) * 2
    shape = (side, side)
    return Drawing(label.reshape(shape)[crop], blood.reshape(shape)[crop], reflex.reshape(shape)[crop])


def _distances(pieces: Segments, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """The pixels around each piece: rows (n p 1), columns (n 1 p), distances (n p p)."""
    offsets = np.arange(-size, size + 1)
    middle = np.floor(pieces.start + pieces.along / 2).astype(np.intp)
    columns = (middle[:, 0, None] + offsets)[:, None, :]
    rows = (middle[:, 1, None] + offsets)[:, :, None]
    x = columns + 0.5 - pieces.start[:, 0, None, None]
    y = rows + 0.5 - pieces.start[:, 1, None, None]
    ahead_x, ahead_y = pieces.along[:, 0, None, None], pieces.along[:, 1, None, None]
    share = np.clip((x * ahead_x + y * ahead_y) / (ahead_x**2 + ahead_y**2), 0, 1)
    return rows, columns, np.hypot(x - share * ahead_x, y - share * ahead_y)


def _blood(distance: Floats, radius: Floats, pieces: Segments) -> Plane:
    """The chord through a round vessel, blurred by half a pixel; a line drawn too wide is as much paler."""
    chord = np.clip(1 - (distance / (radius + 0.5)) ** 2, 0, 1) ** 0.4
    depth = np.clip(pieces.radius_mm / 0.065, 0.15, 1.0) ** 0.75
    drawn = np.minimum(1.0, (pieces.radius + 0.08) / radius[:, 0, 0])
    return np.asarray(chord * (depth * drawn)[:, None, None], dtype=np.float32)


def _reflex(distance: Floats, radius: Floats) -> Plane:
    """A stripe in the middle, which fades where it is too narrow to be seen."""
    stripe = np.exp(-0.5 * (distance / (REFLEX_SHARE * radius)) ** 2)
    return np.asarray(stripe * np.clip(radius * REFLEX_SHARE * 1.6 - 0.35, 0, 1), dtype=np.float32)
