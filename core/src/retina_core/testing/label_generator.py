"""What a label generator promises that learns."""

from __future__ import annotations

from retina_core.testing.drawing import DrawingContract
from retina_core.testing.learning import LearningContract


class LabelGeneratorContract(DrawingContract, LearningContract):
    """Subclass with ``stage`` and a tiny ``settings``."""
