"""An experiment as a TOML file: what ``retina pipeline`` is told, so that it can be kept, shared and changed.

    preset = "quick"                 # top-level keys are the command's options
    evaluator = ["unet"]
    count = 100
    data = "CHASE_DB1"               # or a list of folders; or [data] with path = "CHASE_DB1" and settings

    [labels]                         # tables are the prefixes of --set
    stage = "dcgan"
    resolution = 128

    [translator]
    stage = "pix2pix"

    [unet]                           # settings of an evaluator
    seen_images = 4000

What the command line says goes before what the file says.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retina_cli.settings import Settings
from retina_core.errors import PathError, UnknownKeyError

MOST_BYTES = 2**20
"""What is read of a file."""
NAMED = {"labels": "stage", "translator": "stage", "pairs": "stage", "data": "path"}
"""Tables that say what they are about, and the key that they say it with; the rest of the table are settings."""
OPTIONS: dict[str, type | tuple[type, ...]] = {
    **{
        "labels": str,
        "translator": str,
        "pairs": str,
        "data": (str, list),
        "evaluator": (str, list),
        "reader": (str, list),
        "preset": str,
    },
    **{
        "init": str,
        "count": int,
        "seed": int,
        "out": str,
        "device": str,
        "precision": str,
        "track": (str, list),
    },
    **{"test_data": (str, list), "test_part": str, "test_reader": (str, list)},
    **{"protocol": str},
    **{"grade": (int, str), "unseen_grade": bool, "filter": (str, list), "vessels": str},
}
"""Top-level keys and what they hold."""
REPEATED = ("data", "evaluator", "filter", "reader", "test_data", "test_reader", "track")
PARAMETERS = {"filter": "filters"}
"""What the command's function calls an option where that is not its key."""


@dataclass(frozen=True)
class Experiment:
    """What a file says: options of the command, and settings by prefix."""

    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)


def read_experiment(path: Path) -> Experiment:
    """The experiment that a TOML file describes.

    Raises:
        PathError: it cannot be read, is not TOML, or an option holds something else than it should.
        UnknownKeyError: an option is unknown; names the nearest right one.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for without end
        raise PathError(path, "is no file", "name a TOML file")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise PathError(path, "is larger than 1 MiB", "name a TOML file")
        return _experiment(path, tomllib.loads(content.decode("utf-8-sig")))
    except OSError as error:
        raise PathError(path, error.strerror or str(error), "name a TOML file") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, UnicodeDecodeError, thousands of digits
        raise PathError(path, f"is not TOML: {error}", "mend it and run again") from None


def _experiment(path: Path, content: Mapping[str, Any]) -> Experiment:
    options = {key: value for key, value in content.items() if not isinstance(value, dict)}
    settings = {key: dict(value) for key, value in content.items() if isinstance(value, dict)}
    for prefix, key in NAMED.items():
        if key in settings.get(prefix, {}):
            options[prefix] = settings[prefix].pop(key)
    for key, value in options.items():
        if key not in OPTIONS:
            raise UnknownKeyError(str(path), key, OPTIONS)
        if not isinstance(value, OPTIONS[key]) or isinstance(value, bool) != (OPTIONS[key] is bool):
            raise PathError(path, f"{key} = {value!r:.200} is not {_described(key)}", "mend it and run again")
    for key in REPEATED:
        if isinstance(options.get(key), str):
            options[key] = [options[key]]
    return Experiment({PARAMETERS.get(key, key): value for key, value in options.items()}, settings)


def _described(key: str) -> str:
    words = {int: "a whole number", str: "text in quotes", bool: "true or false", list: "a list of them"}
    kinds = OPTIONS[key]
    return ", or ".join(words[kind] for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
