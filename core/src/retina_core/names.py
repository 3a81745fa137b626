"""Names that come from outside: shown so that a terminal stays as it is, and checked before they become paths."""

from __future__ import annotations

import unicodedata
from typing import Final

MOST_CHANNELS: Final = 64
"""Label channels of a stage: a network's first and last layer grow with them."""

LONGEST_NAME: Final = 64
"""Characters of a channel's name."""

_LONGEST_BYTES: Final = 200
"""File systems allow 255 for one part of a path."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible, but part of how Persian and Indian words are written."""

_RESERVED: Final = frozenset('/\\:*?"<>|,')
"""What a system forbids in a file's name, and the comma between the names of ``data.channels``."""

_DEVICES: Final = frozenset(
    ("con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10)))
)
"""What Windows takes for a device whatever its ending."""


def composed(text: str) -> str:
    """The text in composed form (NFC): an accent is part of its letter, whichever system wrote the name."""
    return unicodedata.normalize("NFC", text)


def shown(text: object) -> str:
    """The text with what cannot be printed (control characters, broken UTF-8) written as escapes."""
    return "".join(one if is_visible(one) else _escaped(one) for one in str(text))


def is_visible(text: str) -> bool:
    """Whether the text is free of control characters, line ends and broken UTF-8."""
    return text.isprintable() or not any(
        unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in text
    )


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")


def channel_name(text: str) -> str:
    """The name of a label channel, composed, which is also that of a folder on any system.

    Raises:
        ValueError: it cannot be one; says why.
    """
    name = composed(text)
    if not name:
        raise ValueError("a channel needs a name")
    if len(name) > LONGEST_NAME or len(name.encode("utf-8", "replace")) > _LONGEST_BYTES:
        raise ValueError(f"{shown(name[:LONGEST_NAME])!r}... is longer than {LONGEST_NAME} letters")
    if not all(one.isprintable() or one in _JOINERS for one in name) or _RESERVED & set(name):
        raise ValueError(f"{shown(name)!r} holds a character that no folder's name may hold")
    if name[0] in ".- " or name[-1] in ". ":
        raise ValueError(f"{name!r} begins or ends with a dot, a dash or a space")
    if name.partition(".")[0].lower() in _DEVICES:
        raise ValueError(f"{name!r} is the name of a device")
    if name.lower() == "fov":
        raise ValueError("'fov' is the field of view, which lies in the folder fov/")
    return name
