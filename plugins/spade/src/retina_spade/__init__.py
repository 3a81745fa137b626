"""SPADE as an image translator: Park et al. 2019, arXiv 1903.07291, as the two-step method of Son et al. uses it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_spade.config import SPADEConfig as SPADEConfig
    from retina_spade.stage import SPADETranslator as SPADETranslator

__all__ = ["SPADEConfig", "SPADETranslator"]

_HOMES = {"SPADEConfig": "retina_spade.config", "SPADETranslator": "retina_spade.stage"}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
