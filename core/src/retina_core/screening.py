"""What generation draws again: each pair is shown to the filters that are installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, cast

import numpy as np
from numpy.typing import NDArray

from retina_core import anatomy_filter
from retina_core.errors import BrokenPluginError, UnknownStageError
from retina_core.registry import Registry
from retina_core.vessel_finder import VesselFinder, has_vessels

ATTEMPTS: Final = 8
"""How often a pair is drawn at most. The last one is kept whatever a filter says, and its row says why."""

EXTRAS: Final = ("fov", "vessels")
"""What a filter is given besides, where it has parameters of these names after its first two."""

Filter = Callable[..., str | None]
"""``accept(labels, photo)``: label maps by channel (h w) and the photograph (h w c), to a reason or None."""

Labels = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Screen:
    """Filters by name; none lets everything pass."""

    filters: Mapping[str, Filter]
    plugins: Mapping[str, str]
    """Filter -> the plugin that offers it, to be named where it fails."""
    finder: VesselFinder | None = None
    """What finds the vessels of photographs whose label maps have none."""
    left_out: Sequence[str] = ()
    """Filters that are installed, and were not asked for."""

    @classmethod
    def installed(
        cls, registry: Registry, names: Collection[str] | None = None, finder: VesselFinder | None = None
    ) -> Self:
        """Every filter that is offered, or those of some names.

        Raises:
            UnknownStageError: no filter has the name.
            BrokenPluginError: one cannot be imported.
        """
        offered = registry.filters()
        known = {spec.name for spec in offered}
        wanted = known if names is None else set(names)
        for name in sorted(wanted - known):
            raise UnknownStageError("filter", name, known)
        chosen = [spec for spec in offered if spec.name in wanted]
        plugins = {spec.name: registry.plugin_of(spec).plugin for spec in chosen}
        filters = {spec.name: cast(Filter, registry.filter_function(spec)) for spec in chosen}
        return cls(filters, plugins, finder, [spec.name for spec in offered if spec.name not in filters])

    def for_channels(self, channels: Collection[str]) -> Screen:
        """This screen for label maps of these channels: without a finder where it has nothing to do."""
        asked = any("vessels" in _extras(accept) for accept in self.filters.values())
        idle = has_vessels(channels) or not asked
        return replace(self, finder=None if idle else self.finder)

    def facts(self) -> dict[str, Any]:
        """What the rows of a synthetic set say of it; nothing where all filters looked and no segmenter did."""
        chosen = {"filters": sorted(self.filters)} if self.left_out else {}
        return chosen | ({"vessels_stage": self.finder.card.facts()} if self.finder else {})

    def unchecked(self, channels: Collection[str]) -> str:
        """What the filter of the core would have looked at and could not; empty where there is nothing."""
        if "anatomy" not in self.filters:
            return ""
        return anatomy_filter.unchecked(channels, finder=self.finder is not None)

    def remarks(self, channels: Collection[str]) -> list[str]:
        """What the card of a set of these channels says of it: what was not looked at, and who found the vessels."""
        said = []
        if self.left_out:
            looked = ", ".join(self.filters) or "none"
            said.append(
                f"Filters that looked at each pair: {looked} (not asked: {', '.join(self.left_out)})."
            )
        if self.finder:
            said.append(
                f"Vessels, which no label map has, were found on each photograph by {self.finder.card.name}; pairs whose "
                "vessels do not reach the disc were drawn again."
            )
        if missing := self.unchecked(channels):
            said.append(f"{missing[0].upper()}{missing[1:]}.")
        return said

    def reason(self, labels: Labels, photo: NDArray[np.uint8], fov: NDArray[np.bool_]) -> str | None:
        """The first filter's that has one, ``"anatomy: no optic_disc"``.

        Args:
            labels: maps (h w) by channel.
            photo: (h w c)
            fov: (h w)

        Raises:
            BrokenPluginError: a filter fails, or answers with something else than text or None.
        """
        known: dict[str, Any] = {"fov": fov}
        for name, accept in self.filters.items():
            extras = _extras(accept)
            if "vessels" in extras and "vessels" not in known:
                known["vessels"] = self.finder.find(photo, fov) if self.finder else None
            try:
                reason = accept(labels, photo, **{extra: known[extra] for extra in extras})
            except Exception as error:  # whatever a plugin raises
                raise self._broken(name, f"failed: {type(error).__name__}: {error}") from error
            if reason is not None and not (isinstance(reason, str) and reason.strip()):
                raise self._broken(name, f"answered {reason!r}, not a reason or None")
            if reason is not None:
                return f"{name}: {' '.join(reason.split())}"
        return None

    def _broken(self, name: str, what: str) -> BrokenPluginError:
        return BrokenPluginError(self.plugins[name], f"its filter {name} {what}")


def _extras(accept: Filter) -> list[str]:
    """Which of the ``EXTRAS`` a filter has parameters for, after label maps and photograph."""
    try:
        parameters = list(inspect.signature(accept).parameters.values())[2:]
    except (ValueError, TypeError):  # a function of C may not tell
        return []
    by_name = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return [extra for extra in EXTRAS if extra in by_name]
