"""Photographs that show the same picture under other names: re-encoded, resized, slightly cropped, or a little lighter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from retina_core.data.looks import LOOK_PX, Look
from retina_core.data.split import families

if TYPE_CHECKING:
    from retina_core.data.sample import Sample

Plane = NDArray[np.float32]

SAME: Final = 0.62
"""Correlation from which two looks show the same picture. Measured on 640 photographs (IDRiD, CHASE_DB1, HRF): different
eyes reach .54; of 532 planted twins (JPEG quality 60, half size, cropped by 3 %, lighter, all of it) the least has .68,
and of the pairs that IDRiD holds .70."""

_COARSE_PX: Final = 24
_CANDIDATE: Final = 0.55
"""Correlation at 24 px from which a pair is looked at closely."""

_SCALES: Final = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06)
_REACH: Final = 4
"""Pixels of a look by which a pair is shifted at most to fit: 6 % of the eye."""

_COARSE_SCALES: Final = (0.95, 1.0, 1.05)
_COARSE_SHIFTS: Final = (-0.025, 0.0, 0.025)
"""Shares of the side."""

_MOST: Final = 20
"""Of the pairs of one look, those most alike at 24 px, that are looked at closely: pictures of a series are all alike."""

_BLOCK: Final = 512
"""Looks compared at once with as many others as ``_OTHERS``, so that memory does not grow with their product."""

_OTHERS: Final = 4096


class Pair(NamedTuple):
    """Two of the looks, by their places, and how well they fit."""

    first: int
    second: int
    likeness: float
    """Correlation where they fit best, at most 1."""


def among(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Ids of samples whose photographs show one picture, saved another way; of several, each with the first."""
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.fingerprint, sample)
    single = list(first.values())
    return [(single[a].id, single[b].id) for a, b, _ in same_pictures([sample.look for sample in single])]


def across(samples: Sequence[Sample], others: Sequence[Sample]) -> list[tuple[str, str]]:
    """Ids of one sample each whose photographs show one picture, whatever they hold and are called."""
    prints = {other.fingerprint: other.id for other in others}
    same = [(sample.id, prints[sample.fingerprint]) for sample in samples if sample.fingerprint in prints]
    rest = [sample for sample in samples if sample.fingerprint not in prints]
    alike = same_pictures([sample.look for sample in rest], [other.look for other in others])
    return [*same, *((rest[a].id, others[b].id) for a, b, _ in alike)]


def graded_by_twins(
    samples: Sequence[Sample], twins: Sequence[tuple[str, str]]
) -> tuple[list[Sample], list[str]]:
    """The samples, those without a grade with that of their twins where these agree; and what there is to say of it.

    A weak grade is none here: it is given to no twin, and gives way to a twin's.
    """
    family = families(twins)
    graders: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if _own_grade(sample) is not None and sample.id in family:
            graders[family[sample.id]].append(sample)
    agreed = {root: one[0] for root, one in graders.items() if len({sample.grade for sample in one}) == 1}
    found = []
    for sample in samples:
        twin = agreed.get(family.get(sample.id, ""))
        taken = _own_grade(sample) is None and twin is not None
        found.append(_graded_as(sample, twin) if taken and twin else sample)
    taken_by = sum(sample.grade_from is not None for sample in found)
    told = (
        [f"{taken_by} without a grade take that of the same picture under another name"] if taken_by else []
    )
    for one in graders.values():
        if len({sample.grade for sample in one}) > 1:
            said = ", ".join(f"{sample.id} {sample.grade}" for sample in one)
            told.append(f"one picture has several grades, and gives none to its twins: {said}")
    return found, told


def _own_grade(sample: Sample) -> int | None:
    """The grade that somebody gave."""
    return None if "grade" in sample.weak else sample.grade


def _graded_as(sample: Sample, twin: Sample) -> Sample:
    """The sample with its twin's grade, which is not weak."""
    kept = [pair for pair in zip(sample.weak, sample.weak_from, strict=True) if pair[0] != "grade"]
    weak, weak_from = tuple(one for one, _ in kept), tuple(one for _, one in kept)
    return replace(sample, grade=twin.grade, grade_from=twin.id, weak=weak, weak_from=weak_from)


def same_pictures(looks: Sequence[Look], others: Sequence[Look] | None = None) -> list[Pair]:
    """The pairs that show the same picture: among ``looks``, or of one each of ``looks`` and ``others``.

    Among looks, a picture that is there several times is paired with the first of them only, as far as it fits.
    """
    rows = [
        place for place, look in enumerate(looks) if look.any()
    ]  # without anything to see, none is like another
    columns = rows if others is None else [place for place, look in enumerate(others) if look.any()]
    beside = looks if others is None else others
    known: dict[int, int] = {}
    pairs = []
    found = _candidates([looks[i] for i in rows], [beside[j] for j in columns], among=others is None)
    for first, second in ((rows[i], columns[j]) for i, j in found):
        if others is None and known.get(first, first) == known.get(second, second):
            continue
        likeness = closeness(looks[first], beside[second])
        if likeness >= SAME:
            pairs.append(Pair(first, second, likeness))
            if others is None:
                _join(known, first, second)
    return pairs


def closeness(look: Look, other: Look) -> float:
    """Correlation of two looks where they fit best, over small changes of size and place; at most 1."""
    if look.tobytes() > other.tobytes():  # whichever is named first: a split and an evaluation must agree
        look, other = other, look
    scaled = _SIZES @ look.astype(np.float32) @ _SIZES.transpose(0, 2, 1)  # s h w
    fixed = other.astype(np.float32)
    spectrum = np.conj(fft.rfft2(scaled)) * fft.rfft2(fixed)
    shifts = fft.irfft2(spectrum, scaled.shape[1:])[:, _NEAR[:, None], _NEAR[None, :]]  # s 9 9
    best = shifts.reshape(len(scaled), -1).argmax(axis=1)
    rows, columns = _NEAR[best // len(_NEAR)], _NEAR[best % len(_NEAR)]
    return max(_overlap(*pair) for pair in _placed(scaled, rows, columns, fixed))


def _placed(
    scaled: Plane, rows: NDArray[np.int64], columns: NDArray[np.int64], fixed: Plane
) -> Iterator[tuple[Plane, Plane]]:
    """Each size of a look, moved to where it fits best, beside the other look."""
    for plane, down, right in zip(scaled, rows, columns, strict=True):
        yield np.roll(plane, (down, right), (0, 1)), fixed


def _overlap(one: Plane, other: Plane) -> float:
    """Correlation over the pixels that lie in both."""
    both = (one != 0) & (other != 0)
    a, b = one[both], other[both]
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    # Half of the frame: less is a corner, in which chance is strong.
    return float(a @ b) / length if length and 2 * both.sum() >= LOOK_PX**2 / 2 else 0.0


def _candidates(looks: Sequence[Look], others: Sequence[Look], *, among: bool) -> Iterator[tuple[int, int]]:
    """Places of pairs whose looks at 24 px are alike, over few changes of size and place."""
    if not len(looks) or not len(others):
        return
    # Block by block: all looks of 20,000 photographs at once, as floats, took half a GiB.
    blocks = (np.stack(others[start : start + _BLOCK]) for start in range(0, len(others), _BLOCK))
    fixed = np.concatenate([_unit(resampled(block, 1.0, 0.0, 0.0, _COARSE_PX)) for block in blocks])
    for start in range(0, len(looks), _BLOCK):
        moved = _moved(np.stack(looks[start : start + _BLOCK]))
        likeness, columns = _nearest(moved, fixed, own=start if among else None)
        for row, (values, places) in enumerate(zip(likeness, columns, strict=True)):
            yield from (
                (start + row, int(place))
                for value, place in zip(values, places, strict=True)
                if value >= _CANDIDATE
            )


def _moved(block: NDArray[np.int8]) -> list[Plane]:
    """Looks (n 64 64) as vectors (n 576) of length 1, over few changes of size and place."""
    return [
        _unit(resampled(block, scale, down, right, _COARSE_PX))
        for scale in _COARSE_SCALES
        for down in _COARSE_SHIFTS
        for right in _COARSE_SHIFTS
    ]


def _nearest(moved: Sequence[Plane], fixed: Plane, *, own: int | None) -> tuple[Plane, NDArray[np.int64]]:
    """Correlations and places in ``fixed`` (m 576) of the ``_MOST`` that are most like each of n looks: (n _MOST) both.

    Looks that are those of ``fixed`` from ``own`` on are each held against later ones alone.
    """
    rows = len(moved[0])
    likeness, columns = np.empty((rows, 0), np.float32), np.empty((rows, 0), np.int64)
    for left in range(own or 0, len(fixed), _OTHERS):
        others = fixed[left : left + _OTHERS].T
        best = moved[0] @ others
        for one in moved[1:]:
            np.maximum(best, one @ others, out=best)
        places = np.arange(left, left + best.shape[1])
        if own is not None:
            best[places <= own + np.arange(rows)[:, None]] = -1.0
        likeness = np.concatenate([likeness, best], axis=1)
        columns = np.concatenate([columns, np.broadcast_to(places, best.shape)], axis=1)
        kept = np.argsort(-likeness, axis=1, kind="stable")[:, :_MOST]
        likeness = np.take_along_axis(likeness, kept, axis=1)
        columns = np.take_along_axis(columns, kept, axis=1)
    return likeness, columns


def resampled(looks: NDArray[np.int8], scale: float, down: float, right: float, side: int) -> Plane:
    """Looks (n 64 64) at another size and place: (n s s). Shifts are shares of the side."""
    rows, columns = _weights(side, scale, down), _weights(side, scale, right)
    found: Plane = rows @ looks.astype(np.float32) @ columns.T
    return found


def _weights(side: int, scale: float, shift: float) -> Plane:
    """(s 64): how much of each row of a look each new row holds, by eight bilinear samples of it."""
    samples = (np.arange(side * 8) + 0.5) / (side * 8)
    places = ((samples - 0.5) * scale + 0.5 + shift) * LOOK_PX - 0.5
    near = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(LOOK_PX)[None, :]))
    return np.asarray(near.reshape(side, 8, LOOK_PX).mean(axis=1), dtype=np.float32)


def _unit(planes: Plane) -> Plane:
    """Planes (n s s) as vectors (n s*s) of length 1."""
    flat = planes.reshape(len(planes), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return np.asarray(flat / lengths, dtype=np.float32)


def _join(known: dict[int, int], first: int, second: int) -> None:
    """Note that two places, and all that go with them, show one picture: the lowest stands for it."""
    a, b = known.get(first, first), known.get(second, second)
    least, other = min(a, b), max(a, b)
    for place in [other, *(place for place, root in known.items() if root == other)]:
        known[place] = least


_SIZES: Final = np.stack([_weights(LOOK_PX, scale, 0.0) for scale in _SCALES])
_NEAR: Final = np.r_[0 : _REACH + 1, -_REACH:0]
