"""One artificial eye: its photograph and the exact maps of what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from retina_core.phantom.anatomy import FOVEA_RADIUS_MM, Anatomy, draw_anatomy
from retina_core.phantom.camera import Camera, Side, draw_camera
from retina_core.phantom.growth import grow_vessels
from retina_core.phantom.palette import draw_palette
from retina_core.phantom.photograph import Scene, photograph
from retina_core.phantom.raster import draw_vessels
from retina_core.phantom.streams import stream
from retina_core.phantom.vessels import VesselTree

PHANTOM_VERSION: Final = 2
"""Part of the key of everything cached from phantoms: raised whenever any of their pixels change."""

CHANNELS: Final = ("vessel", "artery", "vein", "optic_disc", "optic_cup", "fovea")
"""The label maps of a phantom, in order."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PhantomEye:
    """An artificial eye. It shows nobody's."""

    photo: NDArray[np.uint8]
    """(h w 3), black outside the field of view."""
    labels: Mapping[str, Mask]
    """A map (h w) for each of ``CHANNELS``: the pixels in the field of view whose centres lie in it.

    Left out are the few pixels of a vessel that the field's edge cuts off from the disc.
    """
    fov: Mask
    """(h w) What the camera filled."""
    side: Side
    """Whose left or right eye it would be."""


@dataclass(frozen=True)
class EyeModel:
    """The geometry of an eye, without any pixel: the same at every size of picture."""

    anatomy: Anatomy
    camera: Camera
    tree: VesselTree


def eye_model(seed: int, index: int) -> EyeModel:
    """The geometry of eye ``index`` of ``seed``."""
    anatomy = draw_anatomy(stream(seed, index, "anatomy"))
    camera = draw_camera(stream(seed, index, "camera"), anatomy)
    return EyeModel(anatomy, camera, grow_vessels(stream(seed, index, "vessels"), anatomy, camera))


def phantom_eye(seed: int, index: int, image_px: int) -> PhantomEye:
    """Eye ``index`` of ``seed`` in a square picture of ``image_px`` pixels a side.

    The same arguments give the same bytes; other sizes show the same eye. Below 64 pixels a small cup may
    fall between the pixels, so that its map is empty. Raises ``ValueError`` if a picture would have fewer
    than 16 pixels a side, or for a negative seed or index.
    """
    if image_px < 16:
        raise ValueError(f"a phantom needs at least 16 pixels a side, not {image_px}; try 64")
    model = eye_model(seed, index)
    anatomy, camera = model.anatomy, model.camera
    artery, vein = (draw_vessels(model.tree, kind, camera, image_px) for kind in ("artery", "vein"))
    x, y = camera.eye_coordinates(image_px)
    fov = camera.fov(image_px)
    disc = anatomy.disc.distance(x, y) >= 0
    arteries, veins = (_hanging_on(disc, drawing.label & fov) for drawing in (artery, vein))
    labels = {
        "vessel": arteries | veins,
        "artery": arteries,
        "vein": veins,
        "optic_disc": disc,
        "optic_cup": anatomy.cup.distance(x, y) >= 0,
        "fovea": np.hypot(x - anatomy.fovea[0], y - anatomy.fovea[1]) <= FOVEA_RADIUS_MM,
    }
    palette = draw_palette(stream(seed, index, "palette"))
    scene = Scene(anatomy, camera, palette, artery, vein, partial(stream, seed, index), image_px)
    masked = {channel: labels[channel] & fov for channel in CHANNELS}
    return PhantomEye(photograph(scene), MappingProxyType(masked), fov, camera.side)


def _hanging_on(disc: Mask, vessels: Mask) -> Mask:
    """The vessels (h w) that a way through vessels leads to from the disc (h w)."""
    parts, count = label(vessels, np.ones((3, 3)))
    joined = np.zeros(count + 1, dtype=bool)
    joined[parts[disc & vessels]] = True
    return np.asarray(joined[parts])
