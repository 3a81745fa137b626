"""U-Net as a segmenter, and so as an evaluator: Ronneberger et al. 2015, arXiv 1505.04597."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_unet.config import UNetConfig as UNetConfig
    from retina_unet.stage import UNetSegmenter as UNetSegmenter

__all__ = ["UNetConfig", "UNetSegmenter"]

_HOMES = {"UNetConfig": "retina_unet.config", "UNetSegmenter": "retina_unet.stage"}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
