"""The vessels that a segmenter finds on painted photographs, for filters to look at where label maps have none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from retina_core.channels import TREES
from retina_core.errors import ChannelError, WrongRoleError
from retina_core.formats.stage_card import StageCard, check_files, read_card
from retina_core.formats.stage_folder import load_stage
from retina_core.maps import resize
from retina_core.registry import Registry
from retina_core.roles import Segmenter

THRESHOLD = 0.5
"""Probability above which a pixel is a vessel, where the segmenter's folder names no other."""


@dataclass(frozen=True)
class VesselFinder:
    """A trained segmenter that knows a channel of vessels."""

    segmenter: Segmenter
    folder: Path
    card: StageCard

    @classmethod
    def load(cls, folder: Path, registry: Registry, device: str = "auto") -> Self:
        """The segmenter of a stage folder.

        Raises:
            StageFolderError, PluginError: the folder is damaged, or what made it is not installed.
            WrongRoleError: it holds another kind of stage.
            ChannelError: it knows no channel of vessels.
        """
        card = check_finder(folder)
        segmenter = load_stage(folder, role="segmenter", registry=registry, device=device)
        return cls(cast(Segmenter, segmenter), folder, card)

    def find(self, photo: NDArray[np.uint8], fov: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The vessels (h w) on a square photograph (h w c) inside its fov (h w), at the segmenter's own resolution and back.

        In float32 and one photograph at a time, so that the answer depends on nothing else.
        """
        size = self.segmenter.resolution or len(photo)
        picture = torch.from_numpy(photo.astype(np.float32) / 255).permute(2, 0, 1)[None]  # 1 c h w
        inside = torch.from_numpy(fov.astype(np.float32))[None, None]  # 1 1 h w
        with torch.no_grad():
            small = (resize(inside, size) > 0.5).float()
            found = self.segmenter.segment(resize(picture.contiguous(), size), small)  # 1 k r r
        whole = resize(found.float().cpu(), len(photo))[0].numpy()  # k h w
        trees = [place for place, channel in enumerate(self.segmenter.channels) if channel in TREES]
        cuts = self.segmenter.priors.thresholds
        marked = [whole[i] > cuts.get(self.segmenter.channels[i], THRESHOLD) for i in trees]
        return np.asarray(np.logical_or.reduce(marked) & fov)


def check_finder(folder: Path) -> StageCard:
    """The card of a folder that a ``VesselFinder`` can be loaded from; its weights are not read.

    Raises:
        StageFolderError, WrongRoleError, ChannelError: as ``VesselFinder.load``.
    """
    card = read_card(folder)
    if card.role != "segmenter":
        raise WrongRoleError(str(folder), "segmenter", [card.role], ["a folder that holds a segmenter"])
    if not has_vessels(card.channels):
        raise ChannelError("--vessels", ["vessel"], f"the segmenter {folder}", card.channels)
    check_files(folder, card)
    return card


def has_vessels(channels: Collection[str]) -> bool:
    """Whether one of the channels is of vessels."""
    return not TREES.isdisjoint(channels)
