"""A generator of artificial eyes: photographs with exact label maps, from no file, of no patient."""

from retina_core.grades import GRADES
from retina_core.phantom.eye import (
    CHANNELS,
    LESIONS_VERSION,
    PHANTOM_VERSION,
    PhantomEye,
    phantom_eye,
    phantom_labels,
)
from retina_core.phantom.lesions import LESIONS, dealt_grade, lesions_of_any

__all__ = [
    "CHANNELS",
    "GRADES",
    "LESIONS",
    "LESIONS_VERSION",
    "PHANTOM_VERSION",
    "PhantomEye",
    "dealt_grade",
    "lesions_of_any",
    "phantom_eye",
    "phantom_labels",
]
