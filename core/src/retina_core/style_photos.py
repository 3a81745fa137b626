"""Photographs whose style is learnt, without annotations: found and checked before any work, drawn one for each step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from retina_core.config import StageConfig
from retina_core.data.checking import examine
from retina_core.data.pictures import SUFFIXES, FilePicture
from retina_core.data.prepare import PreparedSamples, prepare
from retina_core.data.sample import Dataset, Sample
from retina_core.data.threads import in_order
from retina_core.data.twins import across
from retina_core.errors import DatasetError, PathError
from retina_core.style_config import StyleConfig

if TYPE_CHECKING:
    from retina_core.training.context import StepContext


class StyleDraw(NamedTuple):
    """One style photograph as networks see it."""

    photos: Tensor
    """(1 c h w) in [0, 1], black outside the fov."""
    fov: Tensor
    """(1 1 h w), 0 or 1."""


@dataclass(frozen=True)
class StylePhotos:
    """Style photographs at working resolution."""

    prepared: PreparedSamples

    def __len__(self) -> int:
        return len(self.prepared)

    def draw(self, context: StepContext) -> StyleDraw:
        """The photograph of a step, as the seed and the images seen so far say: a resumed training draws the same."""
        choice = int(torch.randint(len(self), (), generator=context.rngs[0]))
        batch = self.prepared.batch([choice])
        photos = torch.from_numpy(batch.photos).to(context.device).float().div_(255)
        fov = torch.from_numpy(batch.fov).to(context.device).gt(127).float()
        return StyleDraw(photos.contiguous(memory_format=torch.channels_last), fov)


@dataclass(frozen=True)
class StyleSource:
    """A folder of photographs, or one photograph."""

    path: Path

    @cached_property
    def dataset(self) -> Dataset:
        """The photographs, each decoded once, in the order of their names.

        Raises:
            PathError: nothing is there, or no picture is in the folder.
            DatasetError: some of them cannot be read, or show no field of view; a line for each.
        """
        samples: list[Sample] = []
        problems: list[str] = []
        found = [self._sample(path) for path in self._files()]
        for sample, examined in zip(found, in_order(partial(examine, look=True), found), strict=True):
            problems += examined.problems
            samples.append(replace(sample, facts=examined.facts))
        if problems:
            raise DatasetError(self.path, problems)
        return Dataset("style photographs", "style", None, tuple(samples), ())

    @property
    def identity(self) -> list[str]:
        """Content hashes, sorted: what of it shapes the result of a training."""
        return self.dataset.seen()

    def refuse_tested(self, test: Dataset | None) -> None:
        """Refuse photographs that a run will be tested on: no stage sees those.

        Raises:
            DatasetError: names each.
        """
        if test is None or test.phantom:
            return
        same = dict.fromkeys(
            style for _, style in across(test.samples, self.dataset.samples)
        )  # an id is a file's name
        if same:
            raise DatasetError(
                self.path,
                [f"{name}: is in the test part, which no stage sees; leave it out" for name in same],
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What the provenance of a stage says: how many, and a hash of all of them; no path."""
        digest = hashlib.sha256("".join(self.identity).encode()).hexdigest()
        return {"photographs": len(self.dataset), "sha256": digest}

    def load(self, resolution: int) -> StylePhotos:
        """The photographs at ``resolution`` px, mapped from the cache."""
        return StylePhotos(prepare(self.dataset, (), resolution))

    def _files(self) -> list[Path]:
        advice = "give a folder of photographs, or one photograph, as style_photos"
        try:
            if not self.path.exists():
                raise PathError(self.path, "the style photographs are not there", advice)
            if not self.path.is_dir():
                return [self.path]
            files = sorted(p for p in self.path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        except OSError as error:
            raise PathError(self.path, f"cannot be read ({error.strerror})", advice) from None
        if not files:
            raise PathError(self.path, "the folder holds no picture", advice)
        return files

    def _sample(self, path: Path) -> Sample:
        root = self.path if self.path.is_dir() else self.path.parent
        return Sample(path.name, path.name, FilePicture(path, root), fov_rule="derive")


def style_source(config: StageConfig) -> StyleSource | None:
    """Where a stage's style photographs are; None where it learns no style."""
    if not isinstance(config, StyleConfig) or not config.transfers:
        return None
    return StyleSource(Path(config.style_photos).expanduser())
