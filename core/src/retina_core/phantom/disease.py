"""All lesions of one eye, from a grade and its random streams."""

from types import MappingProxyType

from retina_core.phantom.anatomy import Anatomy
from retina_core.phantom.camera import Camera
from retina_core.phantom.exudates import hard_exudates, soft_exudates
from retina_core.phantom.lesions import (
    HAEMORRHAGE,
    HARD_EXUDATE,
    LESIONS,
    MICROANEURYSM,
    NEW_VESSELS,
    SOFT_EXUDATE,
    Disease,
    Spots,
    lesions_of,
)
from retina_core.phantom.new_vessels import grow_new_vessels
from retina_core.phantom.red_lesions import haemorrhages, microaneurysms
from retina_core.phantom.sites import Sites
from retina_core.phantom.streams import Streams
from retina_core.phantom.vessels import VesselTree


def draw_disease(streams: Streams, anatomy: Anatomy, camera: Camera, tree: VesselTree, grade: int) -> Disease:
    """What retinopathy of a grade (0 to 4) does to an eye, all of it in the camera's view."""
    has = lesions_of(grade)
    spots = dict.fromkeys(LESIONS[:4], Spots.joined([]))
    # Red dots give way to haemorrhages, from which they would not be told; the others lie in other layers.
    red = Sites(streams("lesions", 0), anatomy, camera)
    pale = Sites(streams("lesions", 1), anatomy, camera)
    if HAEMORRHAGE in has:
        spots[HAEMORRHAGE] = haemorrhages(red, grade)
    if MICROANEURYSM in has:
        spots[MICROANEURYSM] = microaneurysms(red, tree, grade)
    if HARD_EXUDATE in has:
        spots[HARD_EXUDATE] = hard_exudates(pale, grade)
    if SOFT_EXUDATE in has:
        spots[SOFT_EXUDATE] = soft_exudates(pale, grade)
    new = grow_new_vessels(streams("lesions", 2), anatomy, camera, tree) if NEW_VESSELS in has else ()
    return Disease(grade, MappingProxyType(spots), new)
