"""pix2pix as an image translator: Isola et al. 2017, arXiv 1611.07004, as stage II of SynthMed uses it, and pix2pixHD."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_pix2pix.config import Pix2PixConfig as Pix2PixConfig
    from retina_pix2pix.stage import Pix2PixTranslator as Pix2PixTranslator

__all__ = ["Pix2PixConfig", "Pix2PixTranslator"]

_HOMES = {"Pix2PixConfig": "retina_pix2pix.config", "Pix2PixTranslator": "retina_pix2pix.stage"}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
