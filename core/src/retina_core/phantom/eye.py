"""One artificial eye: its photograph and the exact maps of what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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

PHANTOM_VERSION: Final = 3
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


def eye_model(seed: int, index: int, *, framed: bool = False) -> EyeModel:
    """The geometry of eye ``index`` of ``seed``; ``framed``: its field of view is round and fills the picture."""
    anatomy = draw_anatomy(stream(seed, index, "anatomy"))
    camera = draw_camera(stream(seed, index, "camera"), anatomy)
    if framed:
        camera = replace(camera, fill=1.0, cut=1.0)
    return EyeModel(anatomy, camera, grow_vessels(stream(seed, index, "vessels"), anatomy, camera))


def phantom_eye(seed: int, index: int, image_px: int) -> PhantomEye:
    """Eye ``index`` of ``seed`` in a square picture of ``image_px`` pixels a side.

    The same arguments give the same bytes; other sizes show the same eye. Below 64 pixels a small cup may
    fall between the pixels, so that its map is empty. Raises ``ValueError`` if a picture would have fewer
    than 16 pixels a side, or for a negative seed or index.
    """
    _refuse_small(image_px)
    model = eye_model(seed, index)
    artery, vein = (draw_vessels(model.tree, kind, model.camera, image_px) for kind in ("artery", "vein"))
    labels = _labels(model, artery.label, vein.label, image_px)
    palette = draw_palette(stream(seed, index, "palette"))
    scene = Scene(model.anatomy, model.camera, palette, artery, vein, partial(stream, seed, index), image_px)
    return PhantomEye(photograph(scene), labels, model.camera.fov(image_px), model.camera.side)


def phantom_labels(seed: int, index: int, image_px: int) -> Mapping[str, Mask]:
    """The maps (h w) of ``CHANNELS`` alone, seen through a round field of view that fills the picture.

    So lie samples that were prepared for training, whatever their camera: vessels go on to the rim of the whole disc,
    to be masked by another camera's field of view. Refuses what ``phantom_eye`` does.
    """
    _refuse_small(image_px)
    model = eye_model(seed, index, framed=True)
    artery, vein = (draw_vessels(model.tree, kind, model.camera, image_px) for kind in ("artery", "vein"))
    return _labels(model, artery.label, vein.label, image_px)


def _refuse_small(image_px: int) -> None:
    if image_px < 16:
        raise ValueError(f"a phantom needs at least 16 pixels a side, not {image_px}; try 64")


def _labels(model: EyeModel, artery: Mask, vein: Mask, image_px: int) -> Mapping[str, Mask]:
    """The maps of ``CHANNELS`` inside the field of view, from the vessels (h w) of each kind."""
    anatomy, fov = model.anatomy, model.camera.fov(image_px)
    x, y = model.camera.eye_coordinates(image_px)
    disc = anatomy.disc.distance(x, y) >= 0
    arteries, veins = (_hanging_on(disc, vessels & fov) for vessels in (artery, vein))
    labels = {
        "vessel": arteries | veins,
        "artery": arteries,
        "vein": veins,
        "optic_disc": disc,
        "optic_cup": anatomy.cup.distance(x, y) >= 0,
        "fovea": np.hypot(x - anatomy.fovea[0], y - anatomy.fovea[1]) <= FOVEA_RADIUS_MM,
    }
    return MappingProxyType({channel: labels[channel] & fov for channel in CHANNELS})


def _hanging_on(disc: Mask, vessels: Mask) -> Mask:
    """The vessels (h w) that a way through vessels leads to from the disc (h w)."""
    parts, count = label(vessels, np.ones((3, 3)))
    joined = np.zeros(count + 1, dtype=bool)
    joined[parts[disc & vessels]] = True
    return np.asarray(joined[parts])
