"""JSON that may come from anywhere: of bounded size, and refused where readers would disagree on what it says."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final, NoReturn

from retina_core.names import is_visible

MOST_BYTES: Final = 64 * 2**20
"""What is read of a file: 64 MiB hold the hashes of 900,000 seen photographs."""

_ESCAPED: Final = re.compile(r"\\u(?:00[01789]|[dD][89a-fA-F])")
"""May spell a control character or half of a surrogate pair."""


def load_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it is not there, is no regular file, or may not be read.
        ValueError: it is no JSON that can be relied on; says why.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise OSError("it is no file")
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes // 2**20} MiB")
    return parse_json(content.decode("utf-8-sig"))


def parse_json(text: str) -> Any:
    """The value that a JSON text spells.

    Raises:
        ValueError: it is no JSON, is nested deeper than a reader can follow, names a key twice, or holds NaN,
            infinity, control characters or broken Unicode.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _ESCAPED.search(text):
        _refuse_invisible(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        first, *_ = (key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"it names {first!r:.80} twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}")


def _refuse_invisible(value: Any) -> None:
    """Refuse text that would steer a terminal or cannot be written down again; lines and tabs may stay."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting.extend(node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, str) and not is_visible(re.sub(r"[\t\r\n]", "", node)):
            raise ValueError(f"it holds text that cannot be printed ({node!r:.80})")
