"""Another stage's weights as a beginning: layers matched by name, label channels by theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retina_core.config import StageConfig
from retina_core.errors import PluginError, StageFolderError
from retina_core.formats.stage_card import MODEL, StageCard, check_files, read_card
from retina_core.formats.stage_folder import load_tensors, unfit, weights_of
from retina_core.stages import LearningStage, Stage

NAMED = 4
"""Fresh layers that are named; of more there is only told how many."""


@dataclass(frozen=True)
class Adoption:
    """What a stage took from a folder, and what it has to learn from nothing."""

    channels: tuple[str, ...]
    """Label channels that were taken by their names."""
    fresh_channels: tuple[str, ...]
    """Those that the folder's stage does not know."""
    fresh: tuple[str, ...]
    """Layers, or networks, of which nothing could be taken: ``generator.blocks.256``."""
    px: tuple[int, int]
    """Resolution of the folder's stage, and of the one that took its weights."""

    def told(self, origin: str) -> str:
        """What was taken, in words: ``labels/: vessel taken, haemorrhage fresh; 128 px there, 256 px here``."""
        parts = []
        if self.fresh_channels:
            taken = f"{', '.join(self.channels)} taken, " if self.channels else ""
            parts.append(f"{taken}{', '.join(self.fresh_channels)} fresh")
        if self.px[0] != self.px[1]:
            parts.append(f"{self.px[0]} px there, {self.px[1]} px here")
        if self.fresh:
            more = len(self.fresh) - NAMED
            rest = f" and {more} more layers" if more > 0 else ""
            parts.append(f"fresh: {', '.join(self.fresh[:NAMED])}{rest}")
        return f"{origin}: {'; '.join(parts)}" if parts else f"all weights of {origin}"


def adopted_config(
    kind: type[StageConfig], owner: str, preset: str, settings: Mapping[str, Any] | None, folder: Path | None
) -> StageConfig:
    """The config of a stage that begins with the weights in ``folder``, so that they fit.

    Settings that shape the weights (``StageConfig.architecture``) come from there, unless ``settings`` has them.

    Raises:
        StageFolderError: the folder is damaged, or no stage folder.
        ConfigError: as ``StageConfig.resolve``.
    """
    theirs = read_card(folder).config if folder else {}
    shaping = {key: theirs[key] for key in kind.architecture if key in theirs}
    return kind.resolve(owner, preset, {**shaping, **(settings or {})})


def followed(config: StageConfig, plain: StageConfig) -> list[str]:
    """The settings of ``adopted_config`` that would have been others without a folder: ``["width 32"]``."""
    pairs = [(key, getattr(config, key), getattr(plain, key)) for key in config.architecture]
    return [f"{key} {there}" for key, there, here in pairs if there != here]


def adopt_weights(stage: Stage, folder: Path) -> Adoption:
    """Start a stage from another one's folder: take each weight that fits, leave the rest as it is, fresh.

    A weight fits where name and shape do. One that has a dimension for the label channels (``channel_dims``) is taken
    channel by channel, by the channels' names.

    Raises:
        StageFolderError: nothing fits, or the folder is damaged.
        PluginError: the folder holds another stage.
    """
    card = read_card(folder)
    if (card.role, card.name) != (stage.role, stage.name):
        raise PluginError(
            f"{folder} holds {card.role}:{card.name}, not {stage.role}:{stage.name}; choose another --init"
        )
    check_files(folder, card)
    taken = _fitting(stage, card, load_tensors(folder, MODEL), folder)
    mine = weights_of(stage)
    # Counters of batch normalisation are single numbers that always fit.
    if not any(mine[key].ndim for key in taken):
        raise StageFolderError(folder, f"no weight of it fits this {stage.name}")
    with torch.no_grad():
        for key, value in taken.items():
            mine[key].copy_(value)
    if isinstance(stage, LearningStage):
        stage.adopted(card.resolution)
    named = stage.channels if _channel_dims(stage) else ()
    return Adoption(
        tuple(channel for channel in named if channel in card.channels),
        tuple(channel for channel in named if channel not in card.channels),
        _fresh_layers(stage, taken),
        (card.resolution, stage.resolution),
    )


def _channel_dims(stage: Stage) -> Mapping[str, int]:
    return stage.channel_dims() if isinstance(stage, LearningStage) else {}


def _fitting(stage: Stage, card: StageCard, weights: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """What can be taken, each weight in the shape that the stage has it in."""
    dims, fitting = _channel_dims(stage), {}
    for key, mine in sorted(weights_of(stage).items()):
        if key not in weights:
            continue
        fitted = _fitted(mine, weights[key], dims.get(key), stage.channels, card.channels)
        if fitted is None:
            continue
        if problem := unfit(key, mine, weights[key]):
            raise StageFolderError(folder, problem)
        fitting[key] = fitted
    return fitting


def _fitted(
    mine: Tensor, theirs: Tensor, dim: int | None, here: Sequence[str], there: Sequence[str]
) -> Tensor | None:
    """A weight in the shape of ``mine``, its label channels in the order of ``here``; None where it does not fit."""
    if dim is None or tuple(here) == tuple(there):
        return theirs if theirs.shape == mine.shape else None
    others = mine.shape[dim] - len(here)
    sizes = list(theirs.shape)
    if len(sizes) != mine.ndim or sizes.pop(dim) - len(there) != others:
        return None
    if sizes != [size for place, size in enumerate(mine.shape) if place != dim % mine.ndim]:
        return None
    places = [(here.index(channel), there.index(channel)) for channel in here if channel in there]
    places += [(len(here) + place, len(there) + place) for place in range(others)]
    if not places:
        return None
    fitted = mine.detach().clone()
    for to, origin in places:
        fitted.select(dim, to).copy_(theirs.select(dim, origin))
    return fitted


def _fresh_layers(stage: Stage, taken: Iterable[str]) -> tuple[str, ...]:
    """The shortest names that stand for everything that learns and was not taken, and for nothing that was."""
    touched = {prefix for key in taken for prefix in _prefixes(key)}
    layers = {}
    for name, network in stage.networks().items():
        for key, _ in network.named_parameters(prefix=name):
            layers[next((prefix for prefix in _prefixes(key) if prefix not in touched), "")] = True
    return tuple(layer for layer in layers if layer)


def _prefixes(key: str) -> list[str]:
    """``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    parts = key.split(".")
    return [".".join(parts[: length + 1]) for length in range(len(parts))]
