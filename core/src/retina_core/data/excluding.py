"""Samples that are left out by name (``data.exclude``): those whose annotators disagree, say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError, PathError
from retina_core.names import composed

_COMMENT: Final = "#"
_ADVICE: Final = "name a text file with one id per line"
MOST_BYTES: Final = 16 * 2**20
"""What is read of a list: some hundred thousand ids."""


def read_exclusions(path: Path | str) -> tuple[str, ...]:
    """The ids of a text file, one per line, as they stand; ``#`` begins a comment.

    Raises:
        PathError: it is not there, is no file, or no UTF-8 text.
    """
    path = Path(path)
    if not path.is_file():
        raise PathError(path, "is a folder" if path.is_dir() else "is not there", _ADVICE)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PathError(path, f"is larger than {MOST_BYTES // 2**20} MiB", _ADVICE)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PathError(path, f"cannot be read ({error.strerror})", _ADVICE) from None
    except UnicodeDecodeError:
        raise PathError(path, "is no UTF-8 text", _ADVICE) from None
    return tuple(dict.fromkeys(_ids(text)))


def excluded(dataset: Dataset, path: Path | str) -> Dataset:
    """The data set without the samples that a file names, by their ids; of combined sets, by their own where that is one.

    Raises:
        PathError: as ``read_exclusions``.
        InvalidValueError: no sample has such an id, or several sets have it.
    """
    names = read_exclusions(path)
    gone = {_found(dataset, name, path) for name in names}
    kept = dataset.with_samples([sample for sample in dataset.samples if sample.id not in gone])
    return replace(kept, excluded=tuple(sorted(gone)))


def _ids(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if name := composed(line.partition(_COMMENT)[0].strip()):
            yield name


def _found(dataset: Dataset, name: str, path: Path | str) -> str:
    """The id that is meant."""
    ids = [sample.id for sample in dataset.samples]
    if name in ids:
        return name
    own = [
        sample.id for sample in dataset.samples if sample.origin and sample.id == f"{sample.origin}-{name}"
    ]
    if len(own) == 1:
        return own[0]
    raise InvalidValueError("data", "exclude", str(path), _unknown(name, own, ids))


def _unknown(name: str, own: Sequence[str], ids: Sequence[str]) -> str:
    from difflib import get_close_matches

    if own:
        return f"several samples are called {name!r:.80}: write {' or '.join(own)}"
    near = get_close_matches(name, ids, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"no sample is called {name!r:.80}{meant} (retina data inspect --json lists the ids)"
