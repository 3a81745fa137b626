"""Settings that are lists, written with commas between."""

from __future__ import annotations

from typing import Any

from retina_core.grades import GRADES
from retina_core.names import channel_name


def words(value: Any) -> Any:
    """Text with commas as its words; anything else as it is."""
    return (
        tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value
    )


def numbers(value: Any) -> Any:
    """A number alone as one of one; text as its words."""
    return (value,) if isinstance(value, int) else words(value)


def grades(grades: tuple[int, ...]) -> tuple[int, ...]:
    """Grades of retinopathy. Raises ValueError for another number."""
    if not set(grades) <= set(GRADES):
        raise ValueError("a grade is 0, 1, 2, 3 or 4; write some of them with commas between")
    return grades


def channel_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of channels, composed. Raises ValueError for one that is none, or stands twice."""
    found = tuple(channel_name(name) for name in names)
    if len(set(found)) < len(found):
        raise ValueError("a channel is named twice")
    return found
