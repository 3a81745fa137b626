"""Label maps of an asked grade: Odena et al. 2017, arXiv 1610.09585, as Son et al. 2021 use it for lesions."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_acgan.config import ACGANConfig as ACGANConfig
    from retina_acgan.stage import ACGANLabels as ACGANLabels

__all__ = ["ACGANConfig", "ACGANLabels"]

_HOMES = {"ACGANConfig": "retina_acgan.config", "ACGANLabels": "retina_acgan.stage"}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
