"""The filter ``anatomy``: what every eye has and a generated map may lack."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.measure import label

from retina_core.channels import TREES

SINGLE: Final = ("optic_disc", "fovea")
"""Structures of which an eye has one."""
REACH_SHARE: Final = 1 / 32
"""How far from the disc a vessel may begin, as a part of the side: annotators stop at its rim, or a little before."""

UNROOTED: Final = "no vessel reaches the optic_disc"
KINDS: Final = {
    "missing": re.compile(r"no (\S.*)"),
    "several": re.compile(r"\d+ pieces of (\S.*)"),
    "outside": re.compile(r"(\S.*) outside the field of view"),
}
"""Kind of a reason -> the sentence that says it, and the channel in it."""

Mask = NDArray[np.bool_]


def accept(
    labels: Mapping[str, Mask],
    _photo: NDArray[np.uint8],
    fov: Mask | None = None,
    vessels: Mask | None = None,
) -> str | None:
    """Why a pair is drawn again; None where each channel of it is as in an eye. The photograph (h w c) is not looked at.

    Only channels that are there are asked about: one disc, one fovea, nothing outside the field of view, and vessels, of
    which one reaches the disc. A tree that a generator draws in pieces goes as specks, and leaves an eye without vessels.

    Args:
        labels: maps (h w) by channel.
        fov: (h w); None: not asked about.
        vessels: (h w) those that a segmenter found on the photograph, for label maps that have none.
    """
    return _single(labels) or _outside(labels, fov) or _rooted(labels, vessels)


def _single(labels: Mapping[str, Mask]) -> str | None:
    for channel in SINGLE:
        pieces = label(labels[channel], connectivity=2).max() if channel in labels else 1  # type: ignore[no-untyped-call]
        if pieces != 1:
            return f"no {channel}" if not pieces else f"{pieces} pieces of {channel}"
    return None


def _outside(labels: Mapping[str, Mask], fov: Mask | None) -> str | None:
    found = (one for one in sorted(labels) if fov is not None and (labels[one] & ~fov).any())
    return next((f"{channel} outside the field of view" for channel in found), None)


def _rooted(labels: Mapping[str, Mask], vessels: Mask | None) -> str | None:
    channels = sorted(TREES & set(labels))
    if missing := [channel for channel in channels if not labels[channel].any()]:
        return f"no {missing[0]}"
    trees = [labels[channel] for channel in channels]
    if not trees and vessels is not None and vessels.any():
        trees = [vessels]
    disc = labels.get("optic_disc")
    if disc is None or not trees:
        return None
    near = binary_dilation(disc, np.ones((3, 3)), iterations=max(round(REACH_SHARE * len(disc)), 1))
    return None if any((tree & near).any() for tree in trees) else UNROOTED


def unchecked(channels: Collection[str], *, finder: bool) -> str:
    """What is not looked at in maps of these channels for want of vessels; empty where nothing is left out.

    ``finder``: whether a segmenter finds the vessels of the photographs.
    """
    if "optic_disc" not in channels or finder or not TREES.isdisjoint(channels):
        return ""
    return "whether vessels reach the optic disc was not checked: no channel has them, and --vessels names no segmenter"


def kinds_of(channels: Collection[str]) -> list[tuple[str, str]]:
    """Kind and channel of what maps of these channels may be refused for, in the order in which it is looked for."""
    single = [(kind, channel) for channel in SINGLE if channel in channels for kind in ("missing", "several")]
    trees = [("missing", channel) for channel in sorted(TREES & set(channels))]
    return [*single, *trees, *([("unrooted", "optic_disc")] if "optic_disc" in channels else [])]


def kind_of(reason: str) -> tuple[str, str] | None:
    """Kind and channel of a reason that ``accept`` gave; None for any other text."""
    if reason == UNROOTED:
        return "unrooted", "optic_disc"
    found = ((kind, form.fullmatch(reason)) for kind, form in KINDS.items())
    return next(((kind, match[1]) for kind, match in found if match), None)
