"""What a plugin announces: light records that are read without importing torch, numpy or pydantic."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

API_VERSION = "1.0"
"""Version of the hooks, roles and file formats, compared by ``packaging`` (PEP 440)."""

Role = Literal["label-generator", "image-translator", "pair-generator", "segmenter", "evaluator"]
ROLES: tuple[Role, ...] = get_args(Role)

RESERVED_NAMES = frozenset({"labels", "translator", "data", "pairs"})
"""Prefixes of ``--set``; no stage may take one as its name."""


class StageSpec(NamedTuple):
    """One stage that a plugin offers.

    ``target`` and ``config`` are ``"module:Class"`` strings, imported when the stage is used.
    A segmenter is offered as an evaluator of the same name too, by the core.
    """

    name: str
    role: Role
    target: str
    config: str
    summary: str
    paper: str = ""
    api: str = ""
    """Range of API versions that the stage was built for, e.g. ``">=1.0,<2"``; empty: any."""
    starter: str = ""
    """``"package:folder"`` of a trained stage that is shipped as package data; empty: none is."""


class ReaderSpec(NamedTuple):
    """One reader of a data set's layout; ``target`` is a ``"module:Class"`` of a ``Reader``."""

    name: str
    target: str
    summary: str
    api: str = ""


class FilterSpec(NamedTuple):
    """What generation draws again; ``target`` is a ``"module:function"``.

    ``accept(labels, photo)`` is shown each pair: label maps by channel, bool (h w), and the photograph, uint8 (h w c).
    It answers with the reason for which the pair is drawn again, or None. What has further parameters of these names is
    given more: ``fov``, bool (h w), what the camera filled; ``vessels``, bool (h w), what a segmenter found on the
    photograph where label maps have no channel of vessels, or None where none was named.
    """

    name: str
    target: str
    summary: str
    api: str = ""


class CommandSpec(NamedTuple):
    """One further command of ``retina``; ``target`` is a ``"module:command"`` of a ``click.Command``."""

    name: str
    target: str
    summary: str
    api: str = ""
