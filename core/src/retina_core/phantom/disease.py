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
    draw_count,
    lesions_of,
)
from retina_core.phantom.new_vessels import grow_new_vessels
from retina_core.phantom.red_lesions import haemorrhages, microaneurysms, severe_haemorrhages
from retina_core.phantom.sites import Sites
from retina_core.phantom.streams import Streams
from retina_core.phantom.vessels import VesselTree


def draw_disease(streams: Streams, anatomy: Anatomy, camera: Camera, tree: VesselTree, grade: int) -> Disease:
    """What retinopathy of a grade (0 to 4) does to an eye, all of it in the camera's view."""
    has = lesions_of(grade)
    spots = dict.fromkeys(LESIONS[:4], Spots.joined([]))

    def count(lesion: str) -> int:
        return draw_count(streams("lesions", LESIONS.index(lesion)), lesion, grade)

    # Red dots give way to haemorrhages, from which they would not be told; the others lie in other layers.
    red, hard, soft = (Sites(streams("lesions", part), anatomy, camera) for part in (10, 11, 12))
    if HAEMORRHAGE in has:
        spots[HAEMORRHAGE] = severe_haemorrhages(red) if grade == 3 else haemorrhages(red, count(HAEMORRHAGE))
    if MICROANEURYSM in has:
        spots[MICROANEURYSM] = microaneurysms(red, tree, count(MICROANEURYSM))
    if HARD_EXUDATE in has:
        spots[HARD_EXUDATE] = hard_exudates(hard, count(HARD_EXUDATE))
    if SOFT_EXUDATE in has:
        spots[SOFT_EXUDATE] = soft_exudates(soft, count(SOFT_EXUDATE))
    new = grow_new_vessels(streams("lesions", 13), anatomy, camera, tree) if NEW_VESSELS in has else ()
    return Disease(grade, MappingProxyType(spots), new)
