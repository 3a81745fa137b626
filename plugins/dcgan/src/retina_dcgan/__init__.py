"""DCGAN as a label generator and as a pair generator: Radford et al. 2016, arXiv 1511.06434, as SynthMed uses it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_dcgan.config import DCGANConfig as DCGANConfig
    from retina_dcgan.config import DCGANPairsConfig as DCGANPairsConfig
    from retina_dcgan.stage import DCGANLabels as DCGANLabels
    from retina_dcgan.stage import DCGANPairs as DCGANPairs

_HOMES = {
    "DCGANConfig": "retina_dcgan.config",
    "DCGANLabels": "retina_dcgan.stage",
    "DCGANPairs": "retina_dcgan.stage",
    "DCGANPairsConfig": "retina_dcgan.config",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
