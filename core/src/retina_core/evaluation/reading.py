"""Files of a run that are read back: damaged ones are refused with what to do, never half believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from retina_core.errors import RunFolderError

T = TypeVar("T")


def read_checked(path: Path, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of a JSON file.

    Raises:
        RunFolderError: the file is missing, is no JSON, or ``parse`` raises ``ValueError``.
    """
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RunFolderError(path, error.strerror or str(error), "evaluate the run again") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # UnicodeDecodeError, JSONDecodeError, pydantic's ValidationError
        reason = str(error).replace("\n", " ")
        raise RunFolderError(
            path, f"is damaged ({reason})", "delete it and evaluate the run again"
        ) from error
