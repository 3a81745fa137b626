"""Which samples a step sees: a function of the seed and the images seen so far, and of nothing else.

So a resumed training needs no state of a sampler, and every process can work out its own part of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retina_core.data.prepare import PreparedSamples
from retina_core.errors import InvalidValueError
from retina_core.maps import match_threshold
from retina_core.randomness import sample_rng, sample_seed, uniform
from retina_core.stages import Batch, LearningStage, Phase

_PATCH_TRIES = 4
_PATCH_FOV_SHARE = 0.25
"""A patch with less of the eye than this teaches little; another place is tried."""
_SHARE_SAMPLES = 256
"""Samples from which a channel's share is taken; its standard error is then below 1 % of it."""


@dataclass(frozen=True)
class Course:
    """Samples to learn from, beginning at a number of seen images (FINETUNE changes them half-way)."""

    samples: PreparedSamples
    start: int = 0


class Feed:
    """Batches of prepared samples on the device.

    Raises:
        InvalidValueError: a config's ``held_out`` leaves nothing to train on.
    """

    def __init__(
        self, courses: Sequence[Course], stage: LearningStage, seed: int, *, holds_out: bool = True
    ) -> None:
        self._courses = sorted(courses, key=lambda course: course.start)
        self._seed, self._stage = seed, stage
        count = int(getattr(stage.config, "held_out", 0)) if holds_out else 0
        parts = [self._parted(which, len(one.samples), count) for which, one in enumerate(self._courses)]
        self._kept, self._held_out = [kept for kept, _ in parts], [held for _, held in parts]
        self._statistics: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._levels = [self._binary_levels(course.samples) for course in self._courses]

    @property
    def grades(self) -> tuple[int, ...]:
        """The grades that the samples of the first course have, in order."""
        return tuple(sorted({int(grade) for grade in self._courses[0].samples.grades if grade >= 0}))

    def indices(self, seen_images: int, count: int) -> tuple[int, list[int]]:
        """The course at this point, and the samples that the next ``count`` images are.

        A course begins with the first batch that starts at or after its image.
        """
        which = self._course_at(seen_images)
        kept = self._kept[which]
        found = []
        for position in range(seen_images, seen_images + count):
            epoch, place = divmod(position, len(kept))
            found.append(kept[_permutation(self._seed, f"order/{which}", epoch, len(kept))[place]])
        return which, found

    def batch(self, seen_images: int, phase: Phase, share: slice) -> tuple[Batch, list[torch.Generator]]:
        """One process' share of the next batch, and a generator for each of its samples."""
        which, found = self.indices(seen_images, phase.batch_size)
        positions = range(seen_images, seen_images + phase.batch_size)[share]
        rngs = [sample_rng(self._seed, f"train/{self._stage.name}", position) for position in positions]
        return self._load(which, found[share], phase, rngs), rngs

    def held_out(
        self, seen_images: int, phase: Phase, places: Sequence[int]
    ) -> tuple[Batch, list[torch.Generator]]:
        """Samples of the course at this point that no batch holds, and a generator for each.

        ``places`` count through them, over and over.
        """
        which = self._course_at(seen_images)
        held = self._held_out[which]
        rngs = [sample_rng(self._seed, f"held-out/{self._stage.name}", place) for place in places]
        return self._load(which, [held[place % len(held)] for place in places], phase, rngs), rngs

    def fixed(self, count: int, resolution: int) -> Batch:
        """The first samples of the first course, whole and unchanged, for previews."""
        phase = Phase(resolution, count, {})
        kept = self._kept[0]
        return self._load(0, [kept[i % len(kept)] for i in range(count)], phase, [])

    def begun(self, seen_images: int) -> int:
        """From how many seen images on there is what is learnt from now."""
        return self._courses[self._course_at(seen_images)].start

    def _course_at(self, seen_images: int) -> int:
        return max(i for i, course in enumerate(self._courses) if course.start <= max(seen_images, 0))

    def _parted(self, which: int, size: int, count: int) -> tuple[list[int], list[int]]:
        """A course's samples that are trained on, and the ``count`` that are kept out of it."""
        if count and count >= size:
            reason = f"there are {size} training samples, and some have to be left to train on"
            raise InvalidValueError(self._stage.name, "held_out", count, reason)
        order = _permutation(self._seed, f"held-out/{which}", 0, size)
        return sorted(order[count:]), sorted(order[:count])

    def _load(self, which: int, found: list[int], phase: Phase, rngs: list[torch.Generator]) -> Batch:
        samples = self._courses[which].samples
        windows = self._windows(samples, found, phase, rngs)
        device = self._stage.device
        labels = self._labels(samples, which, found, windows)
        fov = _stack(samples.fov, found, windows, device)
        photos = _stack(samples.photos, found, windows, device) if self._stage.reads_photos else labels[:, :0]
        layers = [_resized(x, phase) for x in (labels, fov, photos)]
        mean, std = self._photo_statistics(which, found)
        return Batch(
            labels=layers[0],
            fov=layers[1].gt_(0.5),
            photos=layers[2],
            present=torch.from_numpy(np.array(samples.present[found])).to(device),
            photo_mean=mean.to(device),
            photo_std=std.to(device),
            grades=torch.from_numpy(np.array(samples.grades[found])).long().to(device),
        )

    def _labels(
        self, samples: PreparedSamples, which: int, found: list[int], windows: list[Window]
    ) -> Tensor:
        soft = _stack(samples.labels, found, windows, self._stage.device)  # b k h w
        if self._stage.label_form == "soft":
            return soft
        return (soft > self._levels[which].to(soft.device)).float()

    def _binary_levels(self, samples: PreparedSamples) -> Tensor:
        """(k 1 1): coverage above which a pixel is set, so that the share of set pixels is the true one.

        At half coverage, vessels thinner than a pixel of the working resolution would all be lost.
        """
        if self._stage.label_form == "soft":
            return torch.zeros(0)
        values = [self._coverage(samples, i) for i in range(len(samples.channels))]
        return torch.tensor([match_threshold(v, float(v.mean())) if len(v) else 0.5 for v in values]).view(
            -1, 1, 1
        )

    @staticmethod
    def _coverage(samples: PreparedSamples, channel: int) -> Tensor:
        """A channel's values (n) in [0, 1] inside the fov of some samples that are annotated for it."""
        some = np.flatnonzero(samples.present[:, channel])[:_SHARE_SAMPLES]
        soft = torch.from_numpy(np.array(samples.labels[some, channel])).float() / 255  # n h w
        return soft[torch.from_numpy(np.array(samples.fov[some, 0])) > 127]

    def _windows(
        self, samples: PreparedSamples, found: list[int], phase: Phase, rngs: list[torch.Generator]
    ) -> list[Window]:
        side = samples.photos.shape[-1]
        patch = phase.patch_px
        if not patch or patch >= side or not rngs:
            return [(slice(0, side), slice(0, side))] * len(found)
        corners = (uniform(rngs, _PATCH_TRIES, 2) * (side - patch + 1)).long().tolist()
        return [self._window(samples, i, tries, patch) for i, tries in zip(found, corners, strict=True)]

    def _window(self, samples: PreparedSamples, index: int, tries: list[list[int]], patch: int) -> Window:
        for top, left in tries:
            window = (slice(top, top + patch), slice(left, left + patch))
            if float((samples.fov[index, 0][window] > 127).mean()) >= _PATCH_FOV_SHARE:
                break
        return window

    def _photo_statistics(self, which: int, found: list[int]) -> tuple[Tensor, Tensor]:
        """Mean and deviation (b c 1 1) of each whole photograph inside its fov, worked out once a photograph."""
        if not self._stage.reads_photos:
            nothing = torch.zeros(len(found), 0, 1, 1)
            return nothing, nothing
        samples = self._courses[which].samples
        for index in found:
            if (which, index) not in self._statistics:
                photo = torch.from_numpy(np.array(samples.photos[index])).float()[None].div_(255)
                fov = (torch.from_numpy(np.array(samples.fov[index]))[None] > 127).float()
                self._statistics[which, index] = photo_statistics(photo, fov)
        pairs = [self._statistics[which, index] for index in found]
        return torch.cat([mean for mean, _ in pairs]), torch.cat([std for _, std in pairs])


Window = tuple[slice, slice]


def photo_statistics(photos: Tensor, fov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (b c 1 1) of photographs (b c h w) inside fov (b 1 h w), channel by channel."""
    area = fov.sum((2, 3), keepdim=True).clamp_min(1)
    mean = (photos * fov).sum((2, 3), keepdim=True) / area
    variance = ((photos - mean).square() * fov).sum((2, 3), keepdim=True) / area
    # A flat photograph has no deviation; a hundredth keeps its noise from being blown up. Bounded before the root,
    # whose gradient at 0 is infinite.
    return mean, variance.clamp_min(1e-4).sqrt()


def _stack(layer: np.ndarray, found: list[int], windows: list[Window], device: torch.device) -> Tensor:
    """Copies out of the mapped file, cut to their windows: float32 (b n h w) in [0, 1], channels last.

    They cross to the device as the bytes that they are, a quarter of what they become there. Each plane is written where
    it belongs at once: 2,000 samples of 256 px a second by one thread, 1,200 where they were stacked and then turned.
    """
    bytes_ = np.asarray(layer)  # a mapped file's own class makes each slice slow
    rows, columns = windows[0]
    channels, height, width = bytes_.shape[1], rows.stop - rows.start, columns.stop - columns.start
    planes = np.empty((len(found), height, width, channels), dtype=np.uint8)
    for place, (index, window) in enumerate(zip(found, windows, strict=True)):
        for channel in range(channels):
            planes[place, :, :, channel] = bytes_[index, channel][window]
    whole = torch.from_numpy(planes).to(device)
    # One channel is both first and last; networks are to meet the strides that torch gives it.
    turned = whole.view(-1, 1, height, width) if channels == 1 else whole.permute(0, 3, 1, 2)
    return turned.float().div_(255)


def _resized(layer: Tensor, phase: Phase) -> Tensor:
    """Brought down to the phase's resolution by averaging areas; as it is where it fits, or is a patch."""
    side = phase.patch_px or phase.resolution
    if layer.shape[-1] <= side or layer.shape[1] == 0:
        return layer[..., :side, :side] if layer.shape[1] == 0 else layer
    return F.interpolate(layer, (side, side), mode="area")


@lru_cache(maxsize=4)
def _permutation(seed: int, stream: str, epoch: int, size: int) -> list[int]:
    rng = torch.Generator().manual_seed(sample_seed(seed, stream, epoch))
    return torch.randperm(size, generator=rng).tolist()
