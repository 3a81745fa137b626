"""From what ``--data`` names to a checked data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from retina_core.config import DataConfig
from retina_core.data.checking import Checked, check_dataset
from retina_core.data.combining import combined
from retina_core.data.excluding import excluded
from retina_core.data.readers.base import Reader
from retina_core.data.sample import Dataset
from retina_core.errors import (
    DatasetError,
    InvalidValueError,
    PathError,
    UnknownLayoutError,
    UnknownStageError,
)
from retina_core.specs import ReaderSpec

PHANTOM: Final = "phantom"
"""The source that needs no files."""


class Readers(Protocol):
    """What is asked of a registry here."""

    def readers(self) -> tuple[ReaderSpec, ...]:
        """All readers that are installed."""

    def reader_class(self, spec: ReaderSpec) -> type:
        """The class that a spec names."""


def open_dataset(
    source: str | Path | Sequence[str | Path],
    *,
    reader: str | Sequence[str] | None = None,
    registry: Readers | None = None,
    config: DataConfig | None = None,
) -> Dataset:
    """The samples of a folder, found by its layout or read by ``reader``; or ``"phantom"`` eyes; or of several folders.

    Every file is decoded and checked before this returns (phantoms are drawn when they are needed). Of several
    folders, ids begin with the name of the data set, each is split by itself, and ``reader`` is one for all or one
    for each.

    Raises:
        PathError: a path is not there, is a file, or is empty; or ``config.exclude`` cannot be read.
        UnknownLayoutError: no reader knows the layout, or several do.
        UnknownStageError: there is no reader of that name.
        InvalidValueError: ``config.channels`` names a channel that no sample has, ``config.exclude`` an unknown id; or
            folders cannot be combined.
        DatasetError: something is wrong with the files; one line for each.
    """
    checked = check_source(source, reader=reader, registry=registry, config=config)
    if checked.problems:
        raise DatasetError(told_source(source), checked.problems)
    return checked.dataset


def told_source(source: str | Path | Sequence[str | Path]) -> str:
    """One folder, or several, as a message calls them."""
    return " + ".join(str(one) for one in _several(source))


def check_source(
    source: str | Path | Sequence[str | Path],
    *,
    reader: str | Sequence[str] | None = None,
    registry: Readers | None = None,
    config: DataConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """As ``open_dataset``, but what is wrong with the files comes back beside the sound samples."""
    settings = config or DataConfig()
    problems: list[str] = []
    sources = _several(source)
    named = _named_readers(sources, reader)
    known = registry or _installed()
    read = [
        _read(Path(one), name, known, problems, settings, several=len(sources) > 1)
        for one, name in zip(sources, named, strict=True)
    ]
    dataset = read[0] if len(read) == 1 else combined(read, settings)
    if settings.exclude and not problems:
        dataset = excluded(dataset, settings.exclude)
    if dataset.phantom and not dataset.origins:
        return Checked(dataset, tuple(problems), ())
    for one in read:
        if not one.samples and not problems:
            problems.append(
                f"no photograph of the layout {one.reader!r} is in it; see: retina data inspect --help"
            )
    _refuse_unknown_channels(dataset, settings)
    checked = check_dataset(dataset, progress)
    return Checked(checked.dataset, (*problems, *checked.problems), checked.duplicates)


def _several(source: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [source] if isinstance(source, (str, Path)) else list(source)


def _named_readers(sources: Sequence[str | Path], reader: str | Sequence[str] | None) -> Sequence[str | None]:
    """Who is asked to read each source; what cannot be put together is refused before anything is read."""
    told = ",".join(map(str, sources))
    if not sources:
        raise InvalidValueError("data", "path", told, "name a folder, or phantom")
    named: list[str | None] = [reader] if reader is None or isinstance(reader, str) else list(reader)
    if len(named) not in {1, len(sources)}:
        reason = (
            f"there are {len(sources)} data sets; give one reader for all, or one for each in their order"
        )
        raise InvalidValueError("data", "reader", ",".join(map(str, named)), reason)
    if len(sources) > 1 and PHANTOM in {*map(str, sources), *named}:
        reason = "phantoms show no real eye; write some with retina data phantom, and combine that folder"
        raise InvalidValueError("data", "path", told, reason)
    places = [os.path.realpath(one) for one in sources]
    if twice := [str(one) for one, place in zip(sources, places, strict=True) if places.count(place) > 1]:
        raise InvalidValueError("data", "path", told, f"{twice[0]} is named twice; leave one out")
    return named * len(sources) if len(named) == 1 else named


def _read(
    folder: Path,
    reader: str | None,
    registry: Readers,
    problems: list[str],
    config: DataConfig,
    *,
    several: bool,
) -> Dataset:
    """One folder's samples, not yet checked; of several, problems begin with the folder."""
    found: list[str] = []
    try:
        dataset = _reader(folder, reader, registry).read(folder, found, config)
    except OSError as error:
        raise PathError(
            error.filename or folder, f"cannot be read ({error.strerror})", "make it readable"
        ) from error
    problems.extend(f"{folder}/{line}" if several else line for line in found)
    return dataset


def _installed() -> Readers:
    from retina_core.registry import Registry

    return Registry.discover()


def _reader(folder: Path, name: str | None, registry: Readers) -> Reader:
    """The reader that is named, or the only one that knows the folder's layout."""
    specs = {spec.name: spec for spec in registry.readers()}
    if name is not None and name not in specs:
        raise UnknownStageError("reader", name, specs)
    if name == PHANTOM or (name is None and str(folder) == PHANTOM):
        return _made(registry, specs[PHANTOM])
    _refuse_no_folder(folder)
    if name is not None:
        return _made(registry, specs[name])
    fitting = {spec.name: made for spec in specs.values() if (made := _made(registry, spec)).matches(folder)}
    if len(fitting) != 1:
        raise UnknownLayoutError(folder, sorted(fitting), sorted(specs))
    return fitting.popitem()[1]


def _made(registry: Readers, spec: ReaderSpec) -> Reader:
    made: Reader = registry.reader_class(spec)()
    return made


def _refuse_no_folder(folder: Path) -> None:
    advice = "give the folder that holds the photographs and labels"
    if not folder.exists():
        raise PathError(folder, "is not there", f"{advice}, or 'phantom'")
    if not folder.is_dir():
        raise PathError(folder, "is a file, not a folder", advice)
    if not any(folder.iterdir()):
        raise PathError(folder, "is an empty folder", advice)


def _refuse_unknown_channels(dataset: Dataset, config: DataConfig) -> None:
    have = sorted({channel for sample in dataset.samples for channel in sample.labels})
    unknown = [channel for channel in config.channels if channel not in have]
    if unknown and dataset.samples:
        reason = f"no sample has {', '.join(unknown)}; have: {', '.join(have) or 'none'}"
        raise InvalidValueError("data", "channels", ",".join(config.channels), reason)
