"""One artificial eye: its photograph and the exact maps of what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from retina_core.grades import GRADES
from retina_core.phantom.anatomy import FOVEA_RADIUS_MM, Anatomy, draw_anatomy
from retina_core.phantom.camera import Camera, Side, draw_camera
from retina_core.phantom.disease import draw_disease
from retina_core.phantom.growth import grow_vessels
from retina_core.phantom.lesions import Disease
from retina_core.phantom.palette import draw_palette
from retina_core.phantom.photograph import Scene, photograph
from retina_core.phantom.raster import draw_vessels
from retina_core.phantom.stains import Stains, draw_stains
from retina_core.phantom.streams import stream
from retina_core.phantom.vessels import VesselTree

PHANTOM_VERSION: Final = 3
"""Part of the key of everything cached from phantoms: raised whenever any of their pixels change."""

CHANNELS: Final = ("vessel", "artery", "vein", "optic_disc", "optic_cup", "fovea")
"""The label maps of a healthy phantom, in order; one with a grade has those of ``LESIONS`` besides."""

LESIONS_VERSION: Final = 1
"""Part of the key of everything cached from phantoms with a grade: raised whenever any of their lesions change."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PhantomEye:
    """An artificial eye. It shows nobody's."""

    photo: NDArray[np.uint8]
    """(h w 3), black outside the field of view."""
    labels: Mapping[str, Mask]
    """A map (h w) for each of ``CHANNELS`` and, of an eye with a grade, of ``LESIONS``: the pixels in the field of view whose centres lie in it.

    Left out are the few pixels of a vessel that the field's edge cuts off from the disc.
    """
    fov: Mask
    """(h w) What the camera filled."""
    side: Side
    """Whose left or right eye it would be."""
    grade: int | None = None
    """Diabetic retinopathy, 0 to 4 (ICDR); None: healthy, and nobody asked."""


@dataclass(frozen=True)
class EyeModel:
    """The geometry of an eye, without any pixel: the same at every size of picture."""

    anatomy: Anatomy
    camera: Camera
    tree: VesselTree
    disease: Disease | None = None


def eye_model(seed: int, index: int, grade: int | None = None, *, framed: bool = False) -> EyeModel:
    """The geometry of eye ``index`` of ``seed``; ``framed``: its field of view is round and fills the picture.

    A ``grade`` gives it the lesions of retinopathy, and changes nothing else.
    """
    anatomy = draw_anatomy(stream(seed, index, "anatomy"))
    camera = draw_camera(stream(seed, index, "camera"), anatomy)
    if framed:
        camera = replace(camera, fill=1.0, cut=1.0)
    tree = grow_vessels(stream(seed, index, "vessels"), anatomy, camera)
    if grade is None:
        return EyeModel(anatomy, camera, tree)
    disease = draw_disease(partial(stream, seed, index), anatomy, camera, tree, grade)
    return EyeModel(anatomy, camera, tree, disease)


def phantom_eye(seed: int, index: int, image_px: int, grade: int | None = None) -> PhantomEye:
    """Eye ``index`` of ``seed`` in a square picture of ``image_px`` pixels a side.

    With a ``grade``, 0 to 4, it has the lesions of diabetic retinopathy; all else is as without one, and of grade 0 the
    photograph too.

    The same arguments give the same bytes; other sizes show the same eye. Below 64 pixels a small cup may
    fall between the pixels, so that its map is empty. Raises ``ValueError`` if a picture would have fewer
    than 16 pixels a side, for a negative seed or index, or another grade.
    """
    _refuse(image_px, grade)
    model = eye_model(seed, index, grade)
    artery, vein = (draw_vessels(model.tree, kind, model.camera, image_px) for kind in ("artery", "vein"))
    labels = _labels(model, artery.label, vein.label, image_px)
    stains = _stains(model, image_px)
    palette = draw_palette(stream(seed, index, "palette"))
    streams = partial(stream, seed, index)
    drawn = stains if grade else None
    scene = Scene(model.anatomy, model.camera, palette, artery, vein, streams, image_px, drawn)
    maps = _joined(labels, stains)
    return PhantomEye(photograph(scene), maps, model.camera.fov(image_px), model.camera.side, grade)


def phantom_labels(seed: int, index: int, image_px: int, grade: int | None = None) -> Mapping[str, Mask]:
    """The maps (h w) alone of ``CHANNELS`` and, with a grade, of ``LESIONS``, seen through a round field of view that fills the picture.

    So lie samples that were prepared for training, whatever their camera: vessels go on to the rim of the whole disc,
    to be masked by another camera's field of view. Refuses what ``phantom_eye`` does.
    """
    _refuse(image_px, grade)
    model = eye_model(seed, index, grade, framed=True)
    artery, vein = (draw_vessels(model.tree, kind, model.camera, image_px) for kind in ("artery", "vein"))
    return _joined(_labels(model, artery.label, vein.label, image_px), _stains(model, image_px))


def _refuse(image_px: int, grade: int | None) -> None:
    if image_px < 16:
        raise ValueError(f"a phantom needs at least 16 pixels a side, not {image_px}; try 64")
    if grade is not None and grade not in GRADES:
        raise ValueError(f"a phantom's grade is 0, 1, 2, 3 or 4, not {grade}")


def _stains(model: EyeModel, image_px: int) -> Stains | None:
    """The lesions of an eye that has a grade, on the pixels of a picture."""
    if model.disease is None:
        return None
    return draw_stains(model.disease, model.anatomy, model.camera, image_px)


def _joined(healthy: Mapping[str, Mask], stains: Stains | None) -> Mapping[str, Mask]:
    return healthy if stains is None else MappingProxyType({**healthy, **stains.labels})


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
