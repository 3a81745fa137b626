"""One plugin read: imported, checked hook by hook and spec by spec, and never allowed to bring anything else down.

A plugin is taken whole or not at all. Whatever is wrong with it becomes one sentence, its ``reason``.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast, get_args

import pluggy

from retina_core.discovery import Announcement
from retina_core.errors import nearest
from retina_core.hookspecs import OFFER_HOOKS
from retina_core.specs import (
    API_VERSION,
    RESERVED_NAMES,
    ROLES,
    CommandSpec,
    FilterSpec,
    ReaderSpec,
    Role,
    StageSpec,
)

Spec = StageSpec | ReaderSpec | FilterSpec | CommandSpec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""A name is written in commands, folder names and TOML keys, and with a colon after its role."""
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Offer:
    """One spec and the plugin that offers it."""

    spec: Spec
    kind: str
    """A role, ``"reader"``, ``"filter"`` or ``"command"``."""
    plugin: Announcement
    derived: bool = False
    """Offered by the core on the plugin's behalf: the evaluator that every segmenter is."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: what it offers, or why it cannot be used."""

    announcement: Announcement
    offers: tuple[Offer, ...] = ()
    reason: str = ""
    """Empty where the plugin is sound; ``offers`` then stands, else it is what could still be read."""

    @property
    def status(self) -> str:
        return "broken" if self.reason else "ok"


class RejectionError(Exception):
    """Why one plugin is not taken; it becomes a row's reason and goes no further."""


def chosen_plugins(
    found: Iterable[Announcement], only: str | None
) -> tuple[list[Announcement], list[Plugin]]:
    """The plugins to load, and a broken row for each that was named but is not there."""
    entries = list(found)
    if only is None:
        return entries, []
    wanted = {name.strip() for name in only.split(",") if name.strip()}
    installed = {entry.name for entry in entries}
    missing = [
        Plugin(Announcement(name, "", "", ""), reason="RETINA_PLUGINS names it, but it is not installed")
        for name in sorted(wanted - installed)
    ]
    return [entry for entry in entries if entry.name in wanted], missing


def read_plugin(announcement: Announcement, manager: pluggy.PluginManager, module: object = None) -> Plugin:
    """Import and check one plugin and register its hooks with ``manager``; a broken one is not registered.

    Args:
        announcement: the entry point.
        manager: knows the hooks of ``hookspecs``.
        module: what holds the hooks, where it is already imported.
    """
    offers: tuple[Offer, ...] = ()
    try:
        module = import_target(announcement.target) if module is None else module
        _register(module, _registered_as(announcement), manager)
        offers = tuple(_offers(module, announcement, manager))
        for offer in offers:
            _check_api(offer.spec)
    except RejectionError as rejection:
        # Two distributions may announce one module; the first keeps it.
        if module is not None and manager.get_plugin(_registered_as(announcement)) is module:
            manager.unregister(module)
        return Plugin(announcement, offers, str(rejection))
    return Plugin(announcement, offers)


def import_target(target: str) -> object:
    """What ``"module:attribute"`` names.

    Raises:
        RejectionError: it cannot be imported, for whatever reason of its own.
    """
    module_name, _, attribute = target.partition(":")
    with _contained(f"cannot import {target}"):
        module = importlib.import_module(module_name)
        return getattr(module, attribute) if attribute else module


@contextlib.contextmanager
def _contained(what: str) -> Iterator[None]:
    """Turn anything that a plugin's code raises, ``SystemExit`` too, into a rejection; keep its prints off stdout."""
    try:
        # What a program reads from standard output must stay what we wrote there.
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        raise RejectionError(f"{what}: {type(error).__name__}{': ' if text else ''}{text}") from error


def _register(module: object, label: str, manager: pluggy.PluginManager) -> None:
    """Register the hooks, refusing names and arguments that no hook has."""
    with _contained("its hooks cannot be registered"):
        manager.register(module, label)
    known = [name for name in vars(manager.hook) if _is_known(manager, name)]
    callers = manager.get_hookcallers(module) or []
    for caller in callers:
        if not caller.has_spec() and not all(impl.optionalhook for impl in _impls(caller, module)):
            raise RejectionError(f"no hook is called {caller.name!r}{nearest(caller.name, known)}")
        if any(impl.wrapper or impl.hookwrapper for impl in _impls(caller, module)):
            raise RejectionError(f"{caller.name} is a hook wrapper; write a plain function")
    with _contained("its hooks cannot be registered"):
        manager.check_pending()
    marked = {caller.name for caller in callers}
    for name in known:
        if name not in marked and callable(getattr(module, "__dict__", {}).get(name)):
            raise RejectionError(f"{name} is not marked with retina_core.api.hookimpl")
    if not callers:
        raise RejectionError("it implements no hook; mark functions with retina_core.api.hookimpl")


def _is_known(manager: pluggy.PluginManager, name: str) -> bool:
    caller = getattr(manager.hook, name)
    return isinstance(caller, pluggy.HookCaller) and caller.has_spec()


def _registered_as(announcement: Announcement) -> str:
    return f"{announcement.distribution}:{announcement.name}"


def _impls(caller: pluggy.HookCaller, module: object) -> list[pluggy.HookImpl]:
    return [impl for impl in caller.get_hookimpls() if impl.plugin is module]


def _offers(module: object, announcement: Announcement, manager: pluggy.PluginManager) -> Iterator[Offer]:
    """Every spec that the plugin returns, checked, and an evaluator for each segmenter that brings none."""
    offers: list[Offer] = []
    for hook, kind in OFFER_HOOKS.items():
        for impl in _impls(getattr(manager.hook, hook), module):
            offers += [Offer(spec, kind, announcement) for spec in _specs(hook, kind, impl.function)]
    own_evaluators = {offer.spec.name for offer in offers if offer.kind == "evaluator"}
    for offer in list(offers):
        spec = offer.spec
        if isinstance(spec, StageSpec) and spec.role == "segmenter" and spec.name not in own_evaluators:
            offers.append(Offer(spec._replace(role="evaluator"), "evaluator", announcement, derived=True))
    names = [(offer.kind, offer.spec.name) for offer in offers]
    for kind, name in names:
        if names.count((kind, name)) > 1:
            raise RejectionError(f"it offers two {kind}s called {name!r}")
    yield from offers


def _specs(hook: str, kind: str, function: Callable[[], object]) -> list[Spec]:
    """What one hook returns, as a list of specs that can be used."""
    wanted = {"reader": ReaderSpec, "filter": FilterSpec, "command": CommandSpec}.get(kind, StageSpec)
    with _contained(f"{hook} failed"):
        answer = function()
        # A spec is a tuple itself: one alone would be taken for a sequence of its own fields.
        listed = isinstance(answer, Iterable) and not isinstance(answer, Spec | str)
        specs = list(answer) if isinstance(answer, Iterable) and listed else []
    if not listed and answer is not None:
        raise RejectionError(f"{hook} returned {_an(type(answer))}, not a list of {wanted.__name__}")
    for spec in specs:
        if not isinstance(spec, wanted):
            raise RejectionError(
                f"{hook} returned a list with {_an(type(spec))} in it, not of {wanted.__name__}"
            )
        _check_spec(hook, kind, spec)
    return cast(list[Spec], specs)


def _an(kind: type) -> str:
    return _article(kind.__name__)


def _check_spec(hook: str, kind: str, spec: Any) -> None:
    for field, value in spec._asdict().items():
        if not isinstance(value, str):
            raise RejectionError(f"{hook}: {field} is {value!r}, not text")
    if not NAME.fullmatch(spec.name):
        raise RejectionError(f"{hook}: {spec.name!r} is no name (letters, digits, '-' and '_')")
    if not TARGET.fullmatch(spec.target):
        raise RejectionError(f"{hook}: {spec.name}: target {spec.target!r} is not 'module:Class'")
    if not spec.summary.strip():
        raise RejectionError(f"{hook}: {spec.name} has no summary")
    if isinstance(spec, StageSpec):
        _check_stage(hook, kind, spec)


def _check_stage(hook: str, kind: str, spec: StageSpec) -> None:
    if spec.name in RESERVED_NAMES:
        raise RejectionError(f"{hook}: the name {spec.name!r} is reserved")
    if spec.role != kind:
        known = "" if spec.role in get_args(Role) else nearest(spec.role, ROLES)
        raise RejectionError(f"{hook}: {spec.name} has the role {spec.role!r}, not {kind!r}{known}")
    if not TARGET.fullmatch(spec.config):
        raise RejectionError(f"{hook}: {spec.name}: config {spec.config!r} is not 'module:Class'")
    if spec.starter and not TARGET.fullmatch(spec.starter):
        raise RejectionError(f"{hook}: {spec.name}: starter {spec.starter!r} is not 'package:folder'")


def _check_api(spec: Spec) -> None:
    """Refuse what was built for another version of the hooks, roles and formats."""
    if not spec.api or _fits_plainly(spec.api):
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(spec.api).contains(API_VERSION, prereleases=True)
    except InvalidSpecifier:
        reason = f"{spec.name}: {spec.api!r} is no range of versions, such as '>=1.0,<2'"
        raise RejectionError(reason) from None
    if not fits:
        raise RejectionError(
            f"{spec.name} was built for API {spec.api}; this is API {API_VERSION}: "
            "install a version of the plugin, or of retina-core, that fits"
        )


def _precedence(plugin: Plugin) -> tuple[bool, bool, str, str]:
    """Who keeps a name that two plugins offer: the plugin called so, from the distribution called so, then by name."""
    name, _, distribution, _ = plugin.announcement
    bears_own_name = name in {offer.spec.name for offer in plugin.offers}
    return not bears_own_name, distribution != f"retina-{name}", name, distribution


def _fits_plainly(api: str) -> bool:
    """Whether the API lies in a range of the usual form, ``>=1.0,<2``, read here.

    Importing packaging takes a quarter of ``retina --help``; it is asked about every other form and every refusal.
    """
    bounds = re.fullmatch(r">=([\d.]*\d),<([\d.]*\d)", api.replace(" ", ""))
    if not bounds or not re.fullmatch(r"[\d.]*\d", API_VERSION):
        return False
    low, here, high = (_release(text) for text in (bounds[1], API_VERSION, bounds[2]))
    return low <= here < high


def _release(version: str) -> list[int]:
    """``"1.10.0"`` as ``[1, 10]``, which compares as versions do."""
    numbers = [int(part or "0") for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers


def without_duplicates(
    core: Plugin,
    others: Iterable[Plugin],
    manager: pluggy.PluginManager,
    reserved_commands: Iterable[str] = (),
) -> Iterator[Plugin]:
    """The core's plugin and the others in order, each that offers a name already taken turned into a broken one."""
    taken = {("command", name): "the retina command itself" for name in reserved_commands}
    for plugin in (core, *sorted(others, key=_precedence)):
        clashes = [offer for offer in plugin.offers if (offer.kind, offer.spec.name) in taken]
        if plugin.reason or not clashes:
            yield plugin
            if not plugin.reason:
                taken |= {(offer.kind, offer.spec.name): _label(plugin) for offer in plugin.offers}
            continue
        offer = clashes[0]
        owner = taken[offer.kind, offer.spec.name]
        manager.unregister(name=_registered_as(plugin.announcement))
        reason = f"{_article(offer.kind)} called {offer.spec.name!r} is already offered by {owner}"
        yield Plugin(plugin.announcement, plugin.offers, reason)


def _label(plugin: Plugin) -> str:
    return f"plugin {plugin.announcement.name!r} of {plugin.announcement.distribution}"


def _article(kind: str) -> str:
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
