"""MI-GAN as an image translator and a segmenter: Iqbal and Ali 2018, J. Med. Syst. 42:231."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_migan.config import MIGANConfig as MIGANConfig
    from retina_migan.segmenter import MIGANSegmenter as MIGANSegmenter
    from retina_migan.segmenter_config import MIGANSegmenterConfig as MIGANSegmenterConfig
    from retina_migan.stage import MIGANTranslator as MIGANTranslator

__all__ = ["MIGANConfig", "MIGANSegmenter", "MIGANSegmenterConfig", "MIGANTranslator"]

_HOMES = {
    "MIGANConfig": "retina_migan.config",
    "MIGANSegmenter": "retina_migan.segmenter",
    "MIGANSegmenterConfig": "retina_migan.segmenter_config",
    "MIGANTranslator": "retina_migan.stage",
}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first used (PEP 562): reading ``plugin.py`` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
