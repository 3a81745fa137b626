"""Experiment trackers behind one option; accelerate knows a dozen of them, and we none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retina_core.errors import InvalidValueError


class Trackers:
    """Sends each logged row to the trackers asked for."""

    def __init__(self, names: Sequence[str], folder: Path, run_name: str, config: Mapping[str, Any]) -> None:
        self._trackers = [_start(name, folder, run_name) for name in names]
        for tracker in self._trackers:
            tracker.store_init_configuration(
                {k: v for k, v in config.items() if isinstance(v, (int, float, str))}
            )

    def log(self, row: Mapping[str, float], seen_images: int) -> None:
        """Hand on one row of scalars."""
        for tracker in self._trackers:
            tracker.log(dict(row), step=seen_images)

    def finish(self) -> None:
        """Flush and close."""
        for tracker in self._trackers:
            tracker.finish()


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are unknown or not installed, before any work.

    Raises:
        InvalidValueError: names the tracker and what to install.
    """
    if not names:
        return
    try:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
    except ImportError:
        raise InvalidValueError(
            "training", "track", ",".join(names), 'run: pip install "retina-core[track]"'
        ) from None
    available = {str(kind) for kind in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise InvalidValueError(
                "training", "track", name, f"choose from {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}"
            )
        if name not in available:
            raise InvalidValueError("training", "track", name, f"run: pip install {name}")


def _start(name: str, folder: Path, run_name: str) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[name]
    tracker = kind(
        run_name, **({"logging_dir": str(folder / "trackers")} if kind.requires_logging_directory else {})
    )
    tracker.start()
    return tracker
