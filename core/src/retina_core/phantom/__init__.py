"""A generator of artificial eyes: photographs with exact label maps, from no file, of no patient."""

from retina_core.phantom.eye import CHANNELS, PHANTOM_VERSION, PhantomEye, phantom_eye, phantom_labels

__all__ = ["CHANNELS", "PHANTOM_VERSION", "PhantomEye", "phantom_eye", "phantom_labels"]
