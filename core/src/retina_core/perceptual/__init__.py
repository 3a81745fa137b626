"""Features in which a painted photograph is held against the true one: VGG-19's, or those of a segmenter."""

from retina_core.perceptual.features import PerceptualFeatures as PerceptualFeatures
from retina_core.perceptual.features import SegmenterFeatures as SegmenterFeatures
from retina_core.perceptual.features import perceptual_distance as perceptual_distance

__all__ = ["PerceptualFeatures", "SegmenterFeatures", "perceptual_distance"]
