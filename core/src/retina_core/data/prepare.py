"""From photographs of any size to what networks train on: cropped to the fov, resized once, cached."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.checking import examine
from retina_core.data.fov import Box, crop_square
from retina_core.data.framing import USUAL
from retina_core.data.masks import Mask
from retina_core.data.pixels import Picture
from retina_core.data.sample import Dataset, Sample
from retina_core.data.tensor_file import Bytes, RowWriter, TensorFile
from retina_core.data.threads import in_order
from retina_core.errors import DatasetError

PREPARED_VERSION: Final = 1
"""Part of every cache key: raised whenever preparing gives other bytes."""


class PreparedSample(NamedTuple):
    """One sample at working resolution r, and where it lies in its photograph."""

    photo: Bytes
    """(3 r r) 0 to 255, black outside the fov."""
    labels: Bytes
    """(k r r) How much of each pixel is covered, 0 to 255; 0 outside the fov and for an absent channel."""
    fov: Bytes
    """(1 r r) 0 or 255."""
    box: Box
    """What was cropped, a square unless the sample's framing says other, for ``paste_back``."""
    size: tuple[int, int]
    """Width and height of the photograph, px."""


class PreparedBatch(NamedTuple):
    """Copies of some prepared samples, in the order that was asked for."""

    photos: Bytes  # b 3 h w
    labels: Bytes  # b k h w
    fov: Bytes  # b 1 h w
    present: NDArray[np.bool_]  # b k
    grades: NDArray[np.int64]  # b


@dataclass(frozen=True, eq=False)
class PreparedSamples:
    """All samples at working resolution, memory-mapped: touching one loads its pages only."""

    channels: tuple[str, ...]
    resolution: int
    ids: tuple[str, ...]
    photos: Bytes
    """(n 3 h w) 0 to 255, black outside the fov."""
    labels: Bytes
    """(n k h w) How much of each pixel is covered, 0 to 255."""
    fov: Bytes
    """(n 1 h w) 0 or 255."""
    present: NDArray[np.bool_]
    """(n k) Whether the channel is annotated; where it is not, its labels are 0 and mean nothing."""
    grades: NDArray[np.int64]
    """(n) 0 to 4, -1 where there is none."""
    fingerprints: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> PreparedBatch:
        """Copies of the samples at ``indices``. Raises ``IndexError`` for one that is not there."""
        rows = np.asarray(indices, dtype=np.int64)
        return PreparedBatch(
            np.asarray(self.photos[rows]),
            np.asarray(self.labels[rows]),
            np.asarray(self.fov[rows]),
            self.present[rows],
            self.grades[rows],
        )


def default_cache_dir() -> Path:
    """Where prepared samples are kept: ``RETINA_CACHE``, else the user's cache folder. It may be deleted."""
    if chosen := os.environ.get("RETINA_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "retina" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "retina"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retina"


def prepare(
    samples: Dataset | Sequence[Sample],
    channels: Sequence[str],
    resolution: int,
    cache_dir: Path | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedSamples:
    """The samples at ``resolution`` px, from the cache where the same content was prepared before.

    Memory does not grow with their number. ``progress`` is called with how many of how many are done.

    Raises:
        DatasetError: there are no samples, or some cannot be read.
        StorageError: the cache cannot be written.
    """
    chosen = tuple(samples)
    if not chosen:
        raise DatasetError("data", ["there are no samples; at least one is needed"])
    chosen = tuple(in_order(_with_facts, chosen))
    key = _cache_key(chosen, tuple(channels), resolution)
    layout = _layout(len(chosen), len(channels), resolution, key)
    path = (cache_dir or default_cache_dir()) / "prepared" / f"{key[:32]}.safetensors"
    tensors = layout.map(path) if layout.fits(path) else None
    if tensors is None or not _same_photos(chosen, tensors["fingerprints"]):
        tensors = None  # no file can be replaced while it is mapped on every system
        layout.write(path, lambda rows: _write_rows(rows, chosen, tuple(channels), resolution, progress))
        tensors = layout.map(path)
    return PreparedSamples(
        channels=tuple(channels),
        resolution=resolution,
        ids=tuple(sample.id for sample in chosen),
        photos=tensors["photos"],
        labels=tensors["labels"],
        fov=tensors["fov"],
        present=np.array([[name in sample.labels for name in channels] for sample in chosen], dtype=np.bool_),
        grades=np.array([-1 if sample.grade is None else sample.grade for sample in chosen], dtype=np.int64),
        fingerprints=tuple(row.tobytes().hex() for row in tensors["fingerprints"]),
    )


def _same_photos(samples: Sequence[Sample], fingerprints: Bytes) -> bool:
    """Whether a cache holds the hashes of its photographs, of those that are known without drawing them.

    They become ``seen.json``, so that a damaged cache must not change them.
    """
    return all(
        sample.facts is None or row.tobytes().hex() == sample.fingerprint
        for sample, row in zip(samples, fingerprints, strict=True)
    )


def prepare_sample(sample: Sample, channels: Sequence[str], resolution: int) -> PreparedSample:
    """One sample at ``resolution`` px, with the box that it was cropped to.

    Photographs are resized with an antialiased filter (Lanczos, unless the sample's framing says other), labels by the
    share of each pixel that they cover (Hamming: an area without the jumps of the box filter), or bilinear where they
    grow.

    Raises:
        PathError: a picture cannot be read, or a label is not a mask.
    """
    photo = sample.photo_array()
    return _prepared(sample, photo, tuple(channels), resolution)


def _prepared(sample: Sample, photo: Picture, channels: tuple[str, ...], resolution: int) -> PreparedSample:
    fov = sample.fov_array(photo)
    box = sample.framing.box(fov)
    small_fov = _coverage(fov, box, resolution) >= 128
    picture = Image.fromarray(crop_square(photo, box))
    how = Image.Resampling[sample.framing.resampling.upper()]
    resized = picture.resize((resolution, resolution), how, reducing_gap=3.0)
    small_photo = np.asarray(resized) * small_fov[:, :, None]
    labels = np.zeros((len(channels), resolution, resolution), dtype=np.uint8)
    for place, channel in enumerate(channels):
        if sample.labels.get(channel) is not None:
            labels[place] = _coverage(sample.label_array(channel), box, resolution) * small_fov
    return PreparedSample(
        np.ascontiguousarray(small_photo.transpose(2, 0, 1)),
        labels,
        small_fov[None].astype(np.uint8) * 255,
        box,
        (photo.shape[1], photo.shape[0]),
    )


def _coverage(mask: Mask, box: Box, resolution: int) -> Bytes:
    crop = Image.fromarray(crop_square(mask, box).astype(np.uint8) * 255)
    grows = resolution > min(box.side, box.height)
    how = Image.Resampling.BILINEAR if grows else Image.Resampling.HAMMING
    return np.asarray(crop.resize((resolution, resolution), how))


def _layout(count: int, channels: int, resolution: int, key: str) -> TensorFile:
    shapes = {
        "photos": (count, 3, resolution, resolution),
        "labels": (count, channels, resolution, resolution),
        "fov": (count, 1, resolution, resolution),
        "fingerprints": (count, 32),
    }
    return TensorFile(shapes, {"format": "retina-prepared", "key": key})


def _write_rows(
    rows: RowWriter,
    samples: tuple[Sample, ...],
    channels: tuple[str, ...],
    resolution: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    def work(sample: Sample) -> tuple[PreparedSample, str]:
        return prepare_sample(sample, channels, resolution), sample.fingerprint

    for row, (prepared, fingerprint) in enumerate(in_order(work, samples)):
        rows.write("photos", row, prepared.photo)
        rows.write("labels", row, prepared.labels)
        rows.write("fov", row, prepared.fov)
        rows.write("fingerprints", row, np.frombuffer(bytes.fromhex(fingerprint), dtype=np.uint8))
        if progress is not None:
            progress(row + 1, len(samples))


def _cache_key(samples: tuple[Sample, ...], channels: tuple[str, ...], resolution: int) -> str:
    """SHA-256 over the content of the samples, their order, and the settings."""
    digest = hashlib.sha256(f"prepared {PREPARED_VERSION} {resolution} {json.dumps(channels)}\n".encode())
    for sample in samples:
        digest.update(json.dumps(_content(sample, channels)).encode() + b"\n")
    return digest.hexdigest()


def _content(sample: Sample, channels: tuple[str, ...]) -> list[object]:
    """What the prepared bytes of a sample depend on."""
    framed = [] if sample.framing == USUAL else [list(sample.framing)]
    present = [channel in sample.labels for channel in channels]
    if sample.recipe is not None:
        return [sample.recipe, present, *framed]
    facts = _with_facts(sample).facts
    labels = facts.labels if facts else {}
    return [
        facts and facts.fingerprint,
        facts and facts.fov_digest,
        [labels[channel].digest if channel in labels else None for channel in channels],
        *framed,
    ]


def _with_facts(sample: Sample) -> Sample:
    """The sample with what stands for its content in the key; one that was opened or drawn has it already."""
    if sample.recipe is not None or sample.facts is not None:
        return sample
    found = examine(sample)
    if found.facts is None:
        raise DatasetError(sample.photo.name, found.problems)
    return replace(sample, facts=found.facts)
