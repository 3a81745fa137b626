"""Where soft maps become labels: the one place that resizes, masks, thresholds, joins and removes specks.

Which channel is cut how, ``cutting.py`` says. Of a tree's map, its own mean nearby is taken off first (``relief``): a generator is unsure where thin vessels run, and draws
a haze there, which is as bright as the faintest of the lines that it is sure of. Cut as they are, maps with as much marked as
real ones have clumps and combs where the haze is; in relief, lines of their own width.

A tree's threshold has two levels (hysteresis, Canny 1986, section VIII): what lies above the upper one is marked, and what
lies above the lower one where it is connected to that. Cut at one level, thin vessels break into dashes. What is loose even
then is joined to its tree along the way on which the generator is least sure that there is nothing, if that is short: of 34
pieces a map of phantoms' vessels fell into, one is left.

The order matters. Thresholding first throws away what the resize would have kept: perfect CHASE_DB1 labels
that go to 128 px and back come out at Dice .80 when they stay soft on the way, at .73 when they are cut
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import apply_hysteresis_threshold
from skimage.graph import MCP_Geometric
from skimage.measure import label
from torch import Tensor
from torch.nn.functional import interpolate


class Cut(NamedTuple):
    """How one channel's soft map becomes labels."""

    threshold: float
    """What lies above is marked."""
    weak: float = 1.0
    """What lies above this part of the threshold is marked too where it is connected to what is marked."""
    relief_px: float = 0.0
    """First, the map's mean over so many pixels around each (a Gaussian's deviation) is taken off it; 0: it is not."""
    join_px: float = 0.0
    """Pieces are joined over ways of at most so many pixels; 0: none are."""
    speck_px: int = 0
    """Connected pieces (by side or corner) of fewer pixels than this are removed."""
    single: bool = False
    """Of several pieces the one that is surest, by the sum of its soft values, is kept."""


def finish(soft: Tensor, size_px: int, fov: Tensor, cuts: Sequence[Cut]) -> Tensor:
    """Labels (b k H W) in {0, 1} from soft maps (b k h w) in [0, 1], with H = W = ``size_px``.

    Args:
        soft: maps at the size that they were drawn at.
        size_px: side of the labels; larger ones are interpolated (bilinear), smaller ones averaged (area).
        fov: (b 1 H W) in {0, 1}; another size is resized. Nothing is marked outside.
        cuts: one per channel.

    Each map is worked on alone, on the CPU in float32, so that it is the same whatever else is in the batch and
    whichever device drew it; the result lies on the device of ``soft``.

    Raises:
        ValueError: shapes do not fit.
    """
    b, k = soft.shape[:2]
    if len(cuts) != k or fov.shape[:2] != (b, 1):
        raise ValueError(f"{tuple(soft.shape)} maps, {len(cuts)} cuts and {tuple(fov.shape)} fov do not fit")
    maps = resize(soft.detach().float().cpu().contiguous(), size_px) if b else soft.cpu()
    inside = resize(fov.detach().float().cpu().contiguous(), size_px) > 0.5 if b else fov
    done = torch.zeros(b, k, size_px, size_px)
    for i in range(b):
        for j, cut in enumerate(cuts):
            done[i, j] = torch.from_numpy(_labelled(maps[i, j].numpy(), inside[i, 0].numpy(), cut))
    return done.to(soft.device)


def _labelled(soft: NDArray[np.float32], inside: NDArray[np.bool_], cut: Cut) -> NDArray[np.bool_]:
    """Labels of one map (h w) in its fov (h w)."""
    if cut.relief_px > 0:
        soft = relief(soft, cut.relief_px)
    marked = mark(soft, inside, cut.threshold, cut.weak)
    if cut.join_px > 0:
        doubt = 1 - np.clip(soft / max(cut.threshold * cut.weak, 1e-6), 0, 1)
        marked = join(marked, np.where(inside, doubt, np.inf), cut.join_px)
    if cut.single:
        marked = surest_piece(marked, soft)
    return remove_specks(marked, cut.speck_px) if cut.speck_px > 1 else marked


def surest_piece(marked: NDArray[np.bool_], soft: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The connected piece of a map (h w) whose soft values (h w) have the largest sum, alone."""
    pieces = label(marked, connectivity=2)  # type: ignore[no-untyped-call]
    sums = np.bincount(pieces.ravel(), weights=soft.ravel())
    sums[0] = 0  # the background
    return np.asarray(marked & (pieces == sums.argmax()), dtype=np.bool_)


def relief(soft: NDArray[np.float32], nearby_px: float) -> NDArray[np.float32]:
    """A soft map (h w) in [0, 1] less its mean nearby, 0 where that is more: lines stand out, what is even does not."""
    return np.asarray(np.clip(soft - gaussian_filter(soft, nearby_px), 0, 1), dtype=np.float32)


def mark(
    soft: NDArray[np.float32], inside: NDArray[np.bool_], cut: float, weak: float = 1.0
) -> NDArray[np.bool_]:
    """What a soft map (h w) marks inside the fov (h w): above ``cut``, or above its ``weak`` part and connected."""
    if weak >= 1:
        return np.asarray((soft > cut) & inside)
    found = apply_hysteresis_threshold(np.where(inside, soft, 0), cut * weak, cut)  # type: ignore[no-untyped-call]
    return np.asarray(found, dtype=np.bool_)


def join(marked: NDArray[np.bool_], doubt: NDArray[np.floating], longest_px: float) -> NDArray[np.bool_]:
    """The map (h w) with its pieces joined to the largest, each along its cheapest way if that is short enough.

    A pixel of the way costs 1 + ``doubt`` (h w; infinite where there is no way), one that is marked nothing: so a piece
    may be reached by way of others.
    """
    pieces = label(marked, connectivity=2)  # type: ignore[no-untyped-call]
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    if np.count_nonzero(areas) < 2:
        return marked
    ways = MCP_Geometric(np.where(marked, 1e-6, 1 + doubt))
    lengths, _ = ways.find_costs(np.argwhere(pieces == areas.argmax()))
    joined = marked.copy()
    for piece in set(np.flatnonzero(areas)) - {areas.argmax()}:
        ends = np.argwhere(pieces == piece)
        nearest = ends[lengths[tuple(ends.T)].argmin()]
        if lengths[tuple(nearest)] <= longest_px:
            joined[tuple(np.transpose(ways.traceback(nearest)))] = True
    return joined


def match_marks(
    soft: NDArray[np.float32],
    inside: NDArray[np.bool_],
    share: float,
    weak: float = 1.0,
) -> float:
    """The threshold in [0, 1] at which maps (n h w) mark about ``share`` of their fov (n h w), by bisection.

    The higher the threshold, the less is marked; 1/2000 is near enough, a vessel map's own share varies by 1/100.
    """
    low, high = 0.0, 1.0
    area = max(int(inside.sum()), 1)
    for _ in range(11):
        middle = (low + high) / 2
        maps = zip(soft, inside, strict=True)
        marked = sum(int(mark(one, where, middle, weak).sum()) for one, where in maps)
        low, high = (middle, high) if marked > share * area else (low, middle)
    return (low + high) / 2


def resize(maps: Tensor, size_px: int) -> Tensor:
    """Soft maps (b k h w) at ``size_px``: bilinear where they grow, means of areas where they shrink."""
    if maps.shape[-2:] == (size_px, size_px):
        return maps
    if max(maps.shape[-2:]) > size_px:
        return interpolate(maps, (size_px, size_px), mode="area")
    return interpolate(maps, (size_px, size_px), mode="bilinear", align_corners=False)


def remove_specks(marked: NDArray[np.bool_], speck_px: int) -> NDArray[np.bool_]:
    """The map (h w) without pieces of fewer than ``speck_px`` pixels; a shared corner connects."""
    pieces = label(marked, connectivity=2)  # type: ignore[no-untyped-call]  # it has no types
    keep = np.bincount(pieces.ravel()) >= speck_px
    keep[0] = False  # the background
    return np.asarray(keep[pieces], dtype=np.bool_)


def match_threshold(values: Tensor, share: float) -> float:
    """The threshold in [0, 1] above which a share of the values lies that is as near as can be to ``share``.

    It lies midway between the lowest value above and the highest below, and never lower than 0: a pixel of 0
    is not marked whatever the share. A larger share never gives a higher threshold. Values that are all equal
    (an untrained or collapsed generator) are all above or all below, whichever is nearer.

    Args:
        values: soft values inside the fov, any shape, in [0, 1].
        share: part of them to mark, in [0, 1].

    Raises:
        ValueError: there is no value, or one that is not finite, or a share outside [0, 1].
    """
    flat = values.detach().float().flatten().cpu()
    if not len(flat) or not torch.isfinite(flat).all() or not 0 <= share <= 1:
        raise ValueError(
            f"no threshold for a share of {share} of {len(flat)} values: give finite values and a share"
        )
    wanted = share * len(flat)
    rank = min(int(wanted), len(flat) - 1)
    pivot = flat.kthvalue(len(flat) - rank).values  # rank values are at least as high, ties aside
    above, reaching = int((flat > pivot).sum()), int((flat >= pivot).sum())
    marks_pivot = pivot > 0 and reaching - wanted <= wanted - above
    marked = flat >= pivot if marks_pivot else flat > pivot
    lowest = float(flat[marked].min()) if marked.any() else 1.0
    highest = float(flat[~marked].max()) if not marked.all() else 0.0
    return _between(highest, lowest)


def _between(below: float, above: float) -> float:
    """The middle, or ``below`` itself where float32 has no number between."""
    middle = float(np.float32((below + above) / 2))
    return middle if below <= middle < above else below
