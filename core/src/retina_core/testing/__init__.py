"""Contracts: one class per role that checks every promise of ``retina_core.roles`` (extra ``retina-core[testing]``).

A plugin's test subclasses one in a few lines::

    class TestDCGAN(LabelGeneratorContract):
        stage = "dcgan"
        settings = {"resolution": 32, "width": 8}
"""

from retina_core.testing.drawing import DrawingContract
from retina_core.testing.evaluator import EvaluatorContract
from retina_core.testing.eyes import tiny_eyes
from retina_core.testing.label_generator import LabelGeneratorContract
from retina_core.testing.learning import LearningContract
from retina_core.testing.pair_generator import PairGeneratorContract
from retina_core.testing.segmenter import SegmenterContract
from retina_core.testing.stage import StageContract
from retina_core.testing.translator import ImageTranslatorContract

__all__ = [
    "DrawingContract",
    "EvaluatorContract",
    "ImageTranslatorContract",
    "LabelGeneratorContract",
    "LearningContract",
    "PairGeneratorContract",
    "SegmenterContract",
    "StageContract",
    "tiny_eyes",
]
