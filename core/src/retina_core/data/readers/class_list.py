"""What the numbers in index pictures mean: ``classes.txt``, ``classes.json`` or ``classes.csv`` beside ``images/``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retina_core.data.map_pictures import ClassMap
from retina_core.data.pictures import FilePicture
from retina_core.formats.strict_json import parse_json
from retina_core.names import composed, shown

CLASS_LISTS: Final = ("classes.txt", "classes.json", "classes.csv")

BACKGROUND: Final = frozenset({"", "background", "_background_", "bg", "none", "unlabelled", "unlabeled"})
"""Names, in lower case, of classes that are no channel."""

_MOST_BYTES: Final = 2**20
_MOST_NUMBER: Final = 65_535
"""The largest value of a picture of 16 bits."""


@dataclass(frozen=True)
class Classes:
    """Names of classes by their numbers; number 0 is the background where it has no name."""

    file: str
    names: Mapping[int, str]

    def channels_of(self, maps: Mapping[str, FilePicture]) -> Iterator[tuple[str, Mapping[str, FilePicture]]]:
        """Each channel with its part of every index picture, by the pictures' names; in the order of numbers."""
        channels = {name for name in self.names.values() if name.lower() not in BACKGROUND}
        for channel in sorted(channels, key=list(self.names.values()).index):
            numbers = frozenset(number for number, name in self.names.items() if name == channel)
            yield (
                channel,
                {
                    eye: ClassMap(picture.path, picture.root, numbers, self.names, self.file)
                    for eye, picture in maps.items()
                },
            )


def read_classes(folder: Path, problems: list[str]) -> Classes | None:
    """The folder's list of classes, None if it has none; one that cannot be used is a line in ``problems``.

    ``classes.txt`` has one name per line, that of class 0, the background, first. ``classes.json`` is such a
    list, or an object of numbers and names (either way round). ``classes.csv`` has the columns index and name.
    """
    lists = [folder / name for name in CLASS_LISTS if (folder / name).is_file()]
    if not lists:
        return None
    chosen, *others = lists
    problems.extend(f"{other.name}: lies beside {chosen.name}; leave one of them out" for other in others)
    try:
        if chosen.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than a MiB")
        text = chosen.read_text(encoding="utf-8-sig")
        read = {".txt": _of_lines, ".json": _of_json, ".csv": _of_table}[chosen.suffix]
        names = {number: composed(name.strip()) for number, name in read(text).items()}
        if all(name.lower() in BACKGROUND for name in names.values()):
            raise ValueError("it names no class besides the background")
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"{chosen.name}: cannot be used as a list of classes: {error}")
        return Classes(chosen.name, {})
    names.setdefault(0, "background")
    return Classes(chosen.name, dict(sorted(names.items())))


def _of_lines(text: str) -> dict[int, str]:
    return _numbered(text.rstrip().split("\n"))


def _numbered(names: list[str]) -> dict[int, str]:
    """Names in the order of their numbers, from 0."""
    if names and names[0].strip().lower() not in BACKGROUND:
        advice = "begin with background, or write classes.csv with the columns index and name"
        raise ValueError(
            f"the first name is that of class 0, the background, not {shown(names[0])!r:.80}; {advice}"
        )
    return dict(enumerate(names))


def _of_json(text: str) -> dict[int, str]:
    content = parse_json(text)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return _numbered(content)
    if not isinstance(content, dict):
        raise ValueError('write a list of names, or an object as {"1": "vessel", "2": "optic_disc"}')
    turned = all(isinstance(value, int) for value in content.values())
    pairs = [(value, name) if turned else (name, value) for name, value in content.items()]
    return _unique(pairs)


def _of_table(text: str) -> dict[int, str]:
    rows = list(csv.DictReader(text.splitlines(), skipinitialspace=True, strict=True))
    columns = {name.strip().lower(): name for name in (rows[0] if rows else {}) if name}
    if not {"index", "name"} <= set(columns):
        raise ValueError(f"it has no columns index and name, but {', '.join(columns) or 'none'!r:.200}")
    return _unique([(row[columns["index"]], row[columns["name"]]) for row in rows])


def _unique(pairs: list[tuple[object, object]]) -> dict[int, str]:
    """Number -> name. Raises ValueError for what is no number, no name, or a number that is there twice."""
    names: dict[int, str] = {}
    for number, name in pairs:
        digits = str(number).strip()
        if (
            not (digits.isascii() and digits.isdigit())
            or isinstance(number, bool)
            or int(digits) > _MOST_NUMBER
        ):
            raise ValueError(f"{number!r:.80} is no number of a class; write 0 to {_MOST_NUMBER}")
        if not isinstance(name, str):
            raise ValueError(f"class {digits} has the name {name!r:.80}; write a word")
        if int(digits) in names:
            raise ValueError(f"it names class {digits} twice; leave one out")
        names[int(digits)] = name
    return names
