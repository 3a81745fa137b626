"""All that a ``plugin.py`` imports: the marker of hooks and the records that they return (no torch)."""

import pluggy

from retina_core.specs import API_VERSION, CommandSpec, FilterSpec, ReaderSpec, Role, StageSpec

hookimpl = pluggy.HookimplMarker("retina")
"""Marks a function of ``plugin.py`` as the implementation of the hook of its name."""

__all__ = ["API_VERSION", "CommandSpec", "FilterSpec", "ReaderSpec", "Role", "StageSpec", "hookimpl"]
