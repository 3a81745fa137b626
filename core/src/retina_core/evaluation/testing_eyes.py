"""A segmenter on whole photographs: cropped to the fov, resized, segmented, and back at the original size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retina_core.config import Precision
from retina_core.data.fov import paste_back
from retina_core.data.prepare import PreparedSample, prepare_sample
from retina_core.data.sample import Sample
from retina_core.devices import autocast, resolve_precision
from retina_core.roles import Segmenter

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SegmentedEye:
    """One eye, one channel, at the photograph's original size."""

    sample: Sample
    channel: str
    probabilities: Plane
    """(h w)"""
    truth: Mask
    fov: Mask


def segmented_eyes(
    segmenter: Segmenter, samples: Sequence[Sample], channels: Sequence[str], precision: Precision = "auto"
) -> Iterator[SegmentedEye]:
    """Each sample's channels as the segmenter finds them; absent channels are left out. One eye in memory at a time."""
    for sample in samples:
        wanted = [channel for channel in channels if channel in sample.labels]
        fov = sample.fov_array()
        for channel, whole in whole_planes(segmenter, sample, wanted, precision):
            yield SegmentedEye(sample, channel, whole, sample.label_array(channel), fov)


def whole_planes(
    segmenter: Segmenter, sample: Sample, channels: Sequence[str], precision: Precision = "auto"
) -> Iterator[tuple[str, Plane]]:
    """Channel and probabilities (h w) at the photograph's original size, in the segmenter's order."""
    prepared = prepare_sample(sample, (), segmenter.resolution)
    found = _segment(segmenter, prepared, precision)  # k r r
    for place, channel in enumerate(segmenter.channels):
        if channel in channels:
            yield channel, np.clip(paste_back(found[place], prepared.box, prepared.size), 0, 1)


def ceiling_eyes(samples: Sequence[Sample], channel: str, resolution: int) -> Iterator[SegmentedEye]:
    """The true labels brought to a working resolution and back: what no segmenter that works there can pass."""
    for sample in samples:
        if channel in sample.labels:
            prepared = prepare_sample(sample, (channel,), resolution)
            there = prepared.labels[0].astype(np.float32) / 255
            back = np.clip(paste_back(there, prepared.box, prepared.size), 0, 1)
            yield SegmentedEye(sample, channel, back, sample.label_array(channel), sample.fov_array())


def _segment(segmenter: Segmenter, prepared: PreparedSample, precision: Precision) -> Plane:
    photo = torch.from_numpy(prepared.photo.astype(np.float32))[None] / 255  # 1 c r r
    fov = torch.from_numpy((prepared.fov > 127).astype(np.float32))[None]  # 1 1 r r
    chosen = resolve_precision(precision, segmenter.device)
    with torch.no_grad(), autocast(segmenter.device, chosen):
        found = segmenter.segment(photo, fov)  # 1 k r r
    return found[0].float().cpu().numpy()
