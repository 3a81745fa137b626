"""What is installed: stages, readers, commands and observers, found without importing torch.

``Registry.discover()`` never raises. A plugin that cannot be used is a row with its reason, and an error only when
somebody asks for it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pluggy

from retina_core import builtin, hookspecs
from retina_core.discovery import Announcement, distribution_version, installed_plugins, package_folder
from retina_core.errors import AmbiguousStageError, BrokenPluginError, UnknownStageError, WrongRoleError
from retina_core.offers import (
    Offer,
    Plugin,
    RejectionError,
    Spec,
    chosen_plugins,
    import_target,
    read_plugin,
    without_duplicates,
)
from retina_core.specs import ROLES, CommandSpec, FilterSpec, ReaderSpec, Role, StageSpec

if TYPE_CHECKING:
    from retina_core.config import StageConfig

LISTED_KINDS = (*ROLES, "reader", "filter")
"""Kinds of rows, in the order in which they are listed."""


class Row(NamedTuple):
    """One line of ``retina list``."""

    role: str | None
    """A role, ``"reader"``, ``"filter"``, or None for a broken plugin."""
    name: str
    plugin: str
    """The entry point that offers it."""
    distribution: str
    """What pip installs it by."""
    version: str
    summary: str
    paper: str
    status: str
    """``"ok"`` or ``"broken"``."""
    reason: str
    """Why a broken plugin cannot be used; empty for the others."""


class Registry:
    """The plugins of one process. Nothing is global: whoever needs a registry is handed one."""

    def __init__(self, plugins: Iterable[Plugin], manager: pluggy.PluginManager) -> None:
        self.plugins: tuple[Plugin, ...] = tuple(plugins)
        """The core's own first, then as they were read."""
        self._manager = manager
        self._offers: dict[tuple[str, str], Offer] = {
            (offer.kind, offer.spec.name): offer for plugin in self._in_use() for offer in plugin.offers
        }

    @classmethod
    def discover(
        cls,
        announcements: Iterable[Announcement] | None = None,
        *,
        only: str | None = None,
        reserved_commands: Iterable[str] = (),
    ) -> Registry:
        """Read every installed plugin. Never raises.

        Args:
            announcements: entry points to read instead of the installed ones.
            only: comma-separated plugins to load, others are left alone; default ``RETINA_PLUGINS``, where that is
                set. The empty text loads none.
            reserved_commands: names that no plugin's command may take.
        """
        found = installed_plugins() if announcements is None else tuple(announcements)
        only = os.environ.get("RETINA_PLUGINS") if only is None else only
        chosen, missing = chosen_plugins(found, only)
        manager = _manager()
        read = [read_plugin(entry, manager) for entry in sorted(set(chosen))]
        return cls._from_read(read + missing, manager, reserved_commands)

    @classmethod
    def of(cls, **modules: object) -> Registry:
        """A registry of the core's readers and these modules (or objects with hooks), nothing installed: for tests."""
        manager = _manager()
        entries = [(Announcement(name, "", name, ""), module) for name, module in sorted(modules.items())]
        return cls._from_read([read_plugin(entry, manager, module) for entry, module in entries], manager)

    @classmethod
    def _from_read(
        cls, read: list[Plugin], manager: pluggy.PluginManager, reserved_commands: Iterable[str] = ()
    ) -> Registry:
        own = Announcement("core", builtin.__name__, "retina-core", distribution_version("retina-core"))
        core = read_plugin(own, manager, builtin)
        return cls(without_duplicates(core, read, manager, reserved_commands), manager)

    def _in_use(self) -> Iterator[Plugin]:
        return (plugin for plugin in self.plugins if not plugin.reason)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Stages, readers and filters by role and name, then broken plugins by name."""
        offers = [offer for offer in self._offers.values() if offer.kind in LISTED_KINDS]
        offers.sort(key=lambda offer: (LISTED_KINDS.index(offer.kind), offer.spec.name))
        broken = sorted(plugin for plugin in map(_broken_row, self.plugins) if plugin)
        return (*(_row(offer) for offer in offers), *broken)

    @property
    def hook(self) -> pluggy.HookRelay:
        """The relay of pluggy; ``announce`` is the safe way to call observers."""
        return self._manager.hook

    def announce(self, hook: str, **values: object) -> None:
        """Tell every observer of ``hook``; one that fails becomes a warning, and the work goes on."""
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                impl.function(*(values[name] for name in impl.argnames))
            except Exception as error:  # an observer must never end a training
                reason = f"plugin {impl.plugin_name!r}: {hook} failed: {type(error).__name__}: {error}"
                warnings.warn(reason, RuntimeWarning, stacklevel=2)

    def stage(self, reference: str, role: Role | None = None) -> StageSpec:
        """The stage that ``"dcgan"`` or ``"label-generator:dcgan"`` means, in ``role`` where that is given.

        Raises:
            UnknownStageError, WrongRoleError, AmbiguousStageError, BrokenPluginError
        """
        prefix, colon, name = reference.rpartition(":")
        if not colon:
            return self._in_role(name, role) if role else self._in_any_role(name)
        if prefix not in ROLES:
            raise UnknownStageError(None, reference, (f"{r}:{n}" for r, n in self._offers if r in ROLES))
        if role and role != prefix:
            raise WrongRoleError(name, role, [prefix], self.names(role))
        return self._in_role(name, prefix)

    def reference(self, spec: StageSpec) -> str:
        """What a stage is called in a command: its name, with the role before it where another role has the name too."""
        return f"{spec.role}:{spec.name}" if len(self._called(spec.name)) > 1 else spec.name

    def names(self, kind: str) -> list[str]:
        """What can be had in a role, or as ``"reader"``, ``"filter"`` or ``"command"``, sorted."""
        return sorted(name for offered, name in self._offers if offered == kind)

    def _in_role(self, name: str, role: Role) -> StageSpec:
        if (role, name) in self._offers:
            return cast(StageSpec, self._offers[role, name].spec)
        self._refuse_broken(name, role)
        actual = [other for other in ROLES if (other, name) in self._offers]
        if actual:
            raise WrongRoleError(name, role, actual, self.names(role))
        self._refuse_broken(name)
        raise UnknownStageError(role, name, self.names(role))

    def _in_any_role(self, name: str) -> StageSpec:
        own = self._called(name)
        if len(own) > 1:
            raise AmbiguousStageError(name, [offer.kind for offer in own])
        if not own:
            self._refuse_broken(name)
            raise UnknownStageError(None, name, {n for role, n in self._offers if role in ROLES})
        return cast(StageSpec, own[0].spec)

    def _called(self, name: str) -> list[Offer]:
        """The stages of a name. A segmenter is an evaluator through the core; its bare name means the segmenter."""
        offers = [self._offers[role, name] for role in ROLES if (role, name) in self._offers]
        return [offer for offer in offers if not offer.derived]

    def _refuse_broken(self, name: str, kind: str | None = None) -> None:
        """Raise if a broken plugin bears the name or (of that kind, if given) offers something that does."""
        for plugin in self.plugins:
            named = {offer.spec.name for offer in plugin.offers if kind in {None, offer.kind}}
            if plugin.reason and name in (named if kind else {plugin.announcement.name, *named}):
                raise BrokenPluginError(plugin.announcement.name, plugin.reason)

    def stage_class(self, spec: StageSpec) -> type:
        """The class that plays the role; imports torch.

        Raises:
            BrokenPluginError: the module cannot be imported, or has no such class.
        """
        return self._class(spec, spec.target)

    def config_class(self, spec: StageSpec) -> type[StageConfig]:
        """The stage's typed settings; imports no torch where the plugin keeps its ``config.py`` free of it.

        Raises:
            BrokenPluginError: the module cannot be imported, or has no such ``StageConfig``.
        """
        from retina_core.config import StageConfig

        found = self._class(spec, spec.config)
        if not issubclass(found, StageConfig):
            raise BrokenPluginError(self._plugin_name(spec), f"{spec.config} is not a StageConfig")
        return found

    def starter(self, spec: StageSpec) -> Path | None:
        """The folder of the trained stage that the plugin ships; None where it ships none. Imports no torch.

        Raises:
            BrokenPluginError: it names one that is not there.
        """
        folder = package_folder(spec.starter) if spec.starter else None
        if spec.starter and folder is None:
            raise BrokenPluginError(self._plugin_name(spec), f"its starter {spec.starter} is not there")
        return folder

    def reader(self, name: str) -> ReaderSpec:
        """The reader of this name.

        Raises:
            UnknownStageError, BrokenPluginError
        """
        if ("reader", name) not in self._offers:
            self._refuse_broken(name)
            raise UnknownStageError("reader", name, self.names("reader"))
        return cast(ReaderSpec, self._offers["reader", name].spec)

    def readers(self) -> tuple[ReaderSpec, ...]:
        """Every reader, by name."""
        return tuple(cast(ReaderSpec, self._offers["reader", name].spec) for name in self.names("reader"))

    def reader_class(self, spec: ReaderSpec) -> type:
        """The class that reads the layout.

        Raises:
            BrokenPluginError
        """
        return self._class(spec, spec.target)

    def filters(self) -> tuple[FilterSpec, ...]:
        """Every filter of what is generated, by name."""
        return tuple(cast(FilterSpec, self._offers["filter", name].spec) for name in self.names("filter"))

    def filter_function(self, spec: FilterSpec) -> object:
        """The function itself.

        Raises:
            BrokenPluginError
        """
        found = self._imported(spec, spec.target)
        if not callable(found):
            raise BrokenPluginError(self._plugin_name(spec), f"{spec.target} is not a function")
        return found

    def commands(self) -> tuple[CommandSpec, ...]:
        """Every further command, by name."""
        return tuple(cast(CommandSpec, self._offers["command", name].spec) for name in self.names("command"))

    def command(self, spec: CommandSpec) -> object:
        """The command itself.

        Raises:
            BrokenPluginError
        """
        return self._imported(spec, spec.target)

    def plugin_of(self, spec: Spec) -> Row:
        """The row of what ``spec`` describes: its plugin, distribution and version.

        Raises:
            LookupError: the spec is not of this registry.
        """
        for offer in self._offers.values():
            if offer.spec == spec:
                return _row(offer)
        raise LookupError(f"{spec.name!r} is not in this registry")

    def _class(self, spec: Spec, target: str) -> type[Any]:
        found = self._imported(spec, target)
        if not isinstance(found, type):
            raise BrokenPluginError(self._plugin_name(spec), f"{target} is not a class")
        return found

    def _imported(self, spec: Spec, target: str) -> object:
        try:
            return import_target(target)
        except RejectionError as rejection:
            raise BrokenPluginError(self._plugin_name(spec), str(rejection)) from rejection.__cause__

    def _plugin_name(self, spec: Spec) -> str:
        return self.plugin_of(spec).plugin


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("retina")
    manager.add_hookspecs(hookspecs)
    return manager


def _row(offer: Offer) -> Row:
    plugin = offer.plugin
    paper = getattr(offer.spec, "paper", "")
    source = (plugin.name, plugin.distribution, plugin.version)
    return Row(offer.kind, offer.spec.name, *source, offer.spec.summary, paper, "ok", "")


def _broken_row(plugin: Plugin) -> Row | None:
    if not plugin.reason:
        return None
    name, _, distribution, version = plugin.announcement
    return Row(None, name, name, distribution, version, "", "", "broken", plugin.reason)
