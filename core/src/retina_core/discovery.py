"""Which plugins are installed: the entry points of the group ``retina``, read in about a millisecond.

``importlib.metadata`` takes 35 ms to import, a third of what ``retina --help`` may take, so the files that it would
read are read here: ``entry_points.txt`` of every ``*.dist-info`` and ``*.egg-info`` on ``sys.path``, which is where
wheels and editable installs put them. Where distributions can lie elsewhere (a zip file on the path, an importer
that finds distributions of its own), ``importlib.metadata`` is asked instead.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

GROUP = "retina"


class Announcement(NamedTuple):
    """One entry point: a plugin that is installed, not yet imported."""

    name: str
    target: str
    """``"module"`` or ``"module:attribute"``."""
    distribution: str
    version: str


def installed_plugins(path: Sequence[str] | None = None) -> tuple[Announcement, ...]:
    """Every entry point of the group ``retina`` on ``path`` (default ``sys.path``), each distribution once."""
    folders = [folder or os.getcwd() for folder in (sys.path if path is None else path)]
    if path is None and _needs_importlib(folders):
        return tuple(_from_importlib())
    return tuple(_from_folders(folders))


def distribution_version(name: str) -> str:
    """Version of the first distribution of this name on ``sys.path``; empty where it is not installed."""
    wanted = _normalised(name)
    for folder in _metadata_folders([folder or os.getcwd() for folder in sys.path]):
        if _distribution_of(folder) == wanted:
            return _name_and_version(folder)[1]
    return ""


def package_folder(target: str) -> Path | None:
    """The folder that ``"package:folder"`` names, inside a package that is installed and not imported; None: no such."""
    from importlib.util import find_spec

    package, _, folder = target.partition(":")
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = (found.submodule_search_locations or ()) if found else ()
    return next((Path(place, folder).resolve() for place in places if Path(place, folder).is_dir()), None)


def _needs_importlib(folders: Sequence[str]) -> bool:
    """Whether a distribution could lie where reading folders does not find it."""
    finders = [finder for finder in sys.meta_path if finder is not PathFinder]
    return any(hasattr(finder, "find_distributions") for finder in finders) or any(
        # The standard library's own zip is on every path, and holds no distributions.
        os.path.isfile(folder) and not re.fullmatch(r"python\d+\.zip", os.path.basename(folder))
        for folder in folders
    )


def _from_importlib() -> Iterator[Announcement]:
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        yield Announcement(entry.name, _without_extras(entry.value), name, version)


def _from_folders(folders: Sequence[str]) -> Iterator[Announcement]:
    for folder in _metadata_folders(folders):
        try:
            text = (folder / "entry_points.txt").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # most distributions have none
        entries = list(_entries(text))
        if entries:
            distribution, version = _name_and_version(folder)
            yield from (Announcement(name, target, distribution, version) for name, target in entries)


def _metadata_folders(folders: Sequence[str]) -> Iterator[Path]:
    """The metadata folder of each distribution; the first on the path hides later ones, as when importing."""
    seen: set[str] = set()
    for folder in folders:
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except OSError:
            continue
        for name in names:
            # pip renames what it is about to remove to "~name"; a killed pip leaves it there.
            if name.endswith((".dist-info", ".egg-info")) and not name.startswith("~"):
                distribution = _distribution_of(Path(name))
                if distribution not in seen:
                    seen.add(distribution)
                    yield Path(folder, name)


def _distribution_of(metadata_folder: Path) -> str:
    return _normalised(metadata_folder.name.rsplit(".", 1)[0].split("-")[0])


def _normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name_and_version(metadata_folder: Path) -> tuple[str, str]:
    """The ``Name`` and ``Version`` headers of the distribution's metadata."""
    found = {"Name": _distribution_of(metadata_folder), "Version": ""}
    for file in ("METADATA", "PKG-INFO"):
        try:
            head = (metadata_folder / file).read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
        except OSError:
            continue
        found.update(re.findall(r"^(Name|Version): *(.+?)\s*$", head, flags=re.MULTILINE))
        break
    return found["Name"], found["Version"]


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """``name = target`` lines of the group's section."""
    if f"[{GROUP}]" not in text:
        return
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
            name, target = line.split("=", 1)
            yield name.strip(), _without_extras(target)


def _without_extras(target: str) -> str:
    """``"module:attribute [extra]"`` without the extras that it names."""
    return target.split("[", 1)[0].strip()
