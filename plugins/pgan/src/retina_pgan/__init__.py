"""Progressive growing as a label generator: Karras et al. 2018, arXiv 1710.10196, as Andreini et al. 2019 use it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_pgan.config import PGANConfig as PGANConfig
    from retina_pgan.stage import PGANLabels as PGANLabels

__all__ = ["PGANConfig", "PGANLabels"]

_HOMES = {"PGANConfig": "retina_pgan.config", "PGANLabels": "retina_pgan.stage"}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
