"""The settings of ``likeness``, apart from it so that reading them imports no torch."""

from retina_core.config import StageConfig, setting


class LikenessConfig(StageConfig):
    """What can be set about ``likeness``."""

    pairs: int = setting(
        12, "generated maps shown beside their nearest training map", unit="maps", ge=1, le=200
    )
    compared: int = setting(500, "synthetic pairs that are looked at", unit="pairs", ge=1)
