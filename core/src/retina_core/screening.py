"""What generation draws again: each pair is shown to the filters that are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self, cast

import numpy as np
from numpy.typing import NDArray

from retina_core.errors import BrokenPluginError
from retina_core.registry import Registry

ATTEMPTS: Final = 8
"""How often a pair is drawn at most. The last one is kept whatever a filter says, and its row says why."""

Filter = Callable[[Mapping[str, NDArray[np.bool_]], NDArray[np.uint8]], str | None]
"""``accept(labels, photo)``: label maps by channel (h w) and the photograph (h w c), to a reason or None."""


@dataclass(frozen=True)
class Screen:
    """Filters by name; none lets everything pass."""

    filters: Mapping[str, Filter]
    plugins: Mapping[str, str]
    """Filter -> the plugin that offers it, to be named where it fails."""

    @classmethod
    def installed(cls, registry: Registry) -> Self:
        """Every filter that is offered.

        Raises:
            BrokenPluginError: one cannot be imported.
        """
        specs = registry.filters()
        plugins = {spec.name: registry.plugin_of(spec).plugin for spec in specs}
        return cls({spec.name: cast(Filter, registry.filter_function(spec)) for spec in specs}, plugins)

    def reason(self, labels: Mapping[str, NDArray[np.bool_]], photo: NDArray[np.uint8]) -> str | None:
        """The first filter's that has one, ``"anatomy: no optic_disc"``.

        Raises:
            BrokenPluginError: a filter fails, or answers with something else than text or None.
        """
        for name, accept in self.filters.items():
            try:
                reason = accept(labels, photo)
            except Exception as error:  # whatever a plugin raises
                raise self._broken(name, f"failed: {type(error).__name__}: {error}") from error
            if reason is not None and not (isinstance(reason, str) and reason.strip()):
                raise self._broken(name, f"answered {reason!r}, not a reason or None")
            if reason is not None:
                return f"{name}: {' '.join(reason.split())}"
        return None

    def _broken(self, name: str, what: str) -> BrokenPluginError:
        return BrokenPluginError(self.plugins[name], f"its filter {name} {what}")
