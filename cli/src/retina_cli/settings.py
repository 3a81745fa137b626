"""Settings as they are written on a command line: ``--set KEY=VALUE``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from retina_cli.options import named_stages
from retina_core.errors import UnknownKeyError
from retina_core.evaluation.added import ADDED

if TYPE_CHECKING:
    from retina_core.registry import Registry

Settings = dict[str, dict[str, object]]
"""Prefix -> key -> value: ``{"labels": {"resolution": "64"}}``."""


def series_request(
    registry: Registry,
    evaluator: str,
    texts: Iterable[str],
    *,
    labels: str | None,
    translator: str | None,
    pairs: str | None,
) -> dict[str, Any]:
    """What commands that train one segmenter several times ask of a request: stages, the segmenter, and settings of all.

    Raises:
        click.UsageError, click.BadParameter, UnknownKeyError, PluginError: as ``named_stages`` and ``parse_settings``.
    """
    stages = named_stages(registry, labels, translator, pairs)
    segmenter = registry.stage(evaluator, "segmenter").name
    settings = parse_settings(texts, [*stages, "data", segmenter, *ADDED])
    return {**stages, "evaluators": (segmenter,), "settings": settings}


def parse_settings(texts: Iterable[str], prefixes: Iterable[str], default: str | None = None) -> Settings:
    """``["labels.resolution=64"]`` as ``{"labels": {"resolution": "64"}}``; values stay text, which configs convert.

    Args:
        texts: what ``--set`` was given, in order; a later value replaces an earlier one.
        prefixes: what may stand before the dot.
        default: the prefix of a key without a dot; None: every key needs one.

    Raises:
        click.BadParameter: there is no ``=``, or no prefix where one is needed.
        UnknownKeyError: the prefix is unknown; names the nearest right one.
    """
    known = list(dict.fromkeys(prefixes))
    parsed: Settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        prefix, dot, name = key.strip().rpartition(".")
        if not dot and default is not None:
            prefix = default
        if not equals or not name or not prefix:
            form = "KEY=VALUE" if default is not None else f"{known[0]}.KEY=VALUE"
            raise click.BadParameter(
                f"{text!r} is not {form}", click.get_current_context(silent=True), param_hint="--set"
            )
        check_prefix(prefix, known)
        parsed.setdefault(prefix, {})[name] = _value(value.strip())
    return parsed


def check_prefix(prefix: str, known: Iterable[str], owner: str = "--set") -> None:
    """Refuse a prefix that nothing here answers to.

    Raises:
        UnknownKeyError
    """
    known = list(known)
    if prefix not in known:
        raise UnknownKeyError(owner, prefix, known)


def merged(*layers: Mapping[str, Mapping[str, object]]) -> Settings:
    """Several settings as one; later ones replace single values of earlier ones."""
    result: Settings = {}
    for layer in layers:
        for prefix, values in layer.items():
            result.setdefault(prefix, {}).update(values)
    return result


def _value(text: str) -> object:
    """The text, or the list that it spells: ``["vessel", "optic_disc"]``."""
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
