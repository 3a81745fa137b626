"""Phantoms as a label generator: the maps of artificial eyes, drawn without training."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_phantom.config import PhantomConfig as PhantomConfig
    from retina_phantom.stage import PhantomLabels as PhantomLabels

__all__ = ["PhantomConfig", "PhantomLabels"]

_HOMES = {"PhantomConfig": "retina_phantom.config", "PhantomLabels": "retina_phantom.stage"}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
