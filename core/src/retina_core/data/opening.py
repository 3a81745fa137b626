"""From what ``--data`` names to a checked data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from retina_core.config import DataConfig
from retina_core.data.checking import Checked, check_dataset
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
    source: str | Path,
    *,
    reader: str | None = None,
    registry: Readers | None = None,
    config: DataConfig | None = None,
) -> Dataset:
    """The samples of a folder, found by its layout or read by ``reader``; or ``"phantom"`` eyes.

    Every file is decoded and checked before this returns (phantoms are drawn when they are needed).

    Raises:
        PathError: the path is not there, is a file, or is empty.
        UnknownLayoutError: no reader knows the layout, or several do.
        UnknownStageError: there is no reader of that name.
        InvalidValueError: ``config.channels`` names a channel that no sample has.
        DatasetError: something is wrong with the files; one line for each.
    """
    checked = check_source(source, reader=reader, registry=registry, config=config)
    if checked.problems:
        raise DatasetError(source, checked.problems)
    return checked.dataset


def check_source(
    source: str | Path,
    *,
    reader: str | None = None,
    registry: Readers | None = None,
    config: DataConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """As ``open_dataset``, but what is wrong with the files comes back beside the sound samples."""
    settings = config or DataConfig()
    problems: list[str] = []
    folder = Path(source)
    try:
        chosen = _reader(folder, reader, registry or _installed())
        dataset = chosen.read(folder, problems, settings)
    except OSError as error:
        raise PathError(
            error.filename or folder, f"cannot be read ({error.strerror})", "make it readable"
        ) from error
    if dataset.phantom:
        return Checked(dataset, tuple(problems), ())
    if not dataset.samples and not problems:
        problems.append(
            f"no photograph of the layout {dataset.reader!r} is in it; see: retina data inspect --help"
        )
    _refuse_unknown_channels(dataset, settings)
    checked = check_dataset(dataset, progress)
    return Checked(checked.dataset, (*problems, *checked.problems), checked.duplicates)


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
