"""The settings of ``grades``, apart from it so that reading them imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from retina_core.config import setting
from retina_core.grading.settings import GraderSettings


class GradesConfig(GraderSettings):
    """What can be set about ``grades``: how maps are counted, and the classifier that is asked about them."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"resolution": 96, "seen_images": 6_000},
        "standard": {},
        "paper": {},
    }
    count_px: int = setting(
        0,
        "side at which lesions are counted; 0: that of the generated maps",
        unit="px",
        ge=0,
        le=4096,
    )
    parts: int = setting(
        5,
        "parts of the real training maps, each held out in turn from a classifier that learns from the others, as many "
        "trainings more; 0: test eyes alone say how well real maps show their grade",
        ge=0,
        le=100,
    )
    compared: int = setting(1_000, "generated maps that are looked at", unit="maps", ge=2)
