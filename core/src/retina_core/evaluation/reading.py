"""Files of a run that are read back: damaged ones are refused with what to do, never half believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from retina_core.errors import RunFolderError
from retina_core.formats.strict_json import load_json

T = TypeVar("T")


def read_checked(path: Path, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of a JSON file.

    Raises:
        RunFolderError: the file is missing, is no JSON, or ``parse`` raises ``ValueError``.
    """
    try:
        return parse(load_json(path))
    except OSError as error:
        raise RunFolderError(path, error.strerror or str(error), "evaluate the run again") from error
    except ValueError as error:  # of the JSON, of its encoding, or pydantic's
        reason = str(error).replace("\n", " ")
        raise RunFolderError(
            path, f"is damaged ({reason})", "delete it and evaluate the run again"
        ) from error
