"""Where the files are that a table names: found whichever way accents are stored, and held to their folder."""

from __future__ import annotations

import os
from functools import cache, partial
from pathlib import Path

from retina_core.names import composed


class Place:
    """A data set's folder, asked for the files that its table names."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = Path(os.path.realpath(root))
        self._entries = cache(_entries)
        self._inside = cache(partial(_inside, self._real))

    def of(self, name: str) -> Path:
        """The path of a file; where it is not there, that of one whose name is the same letters (NFC)."""
        path = self._root / name
        if os.path.lexists(path):
            return path
        found = self._root
        for part in Path(name).parts:
            found /= self._entries(found).get(composed(part), part)
        return found

    def leads_out(self, path: Path) -> bool:
        """Whether a file of the folder lies elsewhere in truth, by links on the way to it."""
        return not (self._inside(path.parent) and (not path.is_symlink() or self._inside(path)))


def _entries(folder: Path) -> dict[str, str]:
    """Composed name -> name as it is stored."""
    return {composed(entry): entry for entry in os.listdir(folder)} if folder.is_dir() else {}


def _inside(root: Path, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)
