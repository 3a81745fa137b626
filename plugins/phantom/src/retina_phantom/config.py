"""What little there is to set: nothing is learnt."""

from collections.abc import Mapping
from typing import Any, ClassVar

from retina_core.config import PRESETS, StageConfig, setting


class PhantomConfig(StageConfig):
    """What can be set about ``phantom``."""

    resolution: int = setting(
        256,
        "side of the maps that it draws; for a translator they have the translator's",
        unit="px",
        ge=32,
        le=4096,
    )

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {} for name in PRESETS}
