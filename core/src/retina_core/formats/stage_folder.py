"""A stage on disk: written whole, and loaded with one call that runs nothing of what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retina_core.devices import resolve_device
from retina_core.errors import PluginError, StageFolderError, WrongRoleError
from retina_core.formats.atomic import replacing
from retina_core.formats.stage_card import (
    MODEL,
    PRIORS,
    SCHEMA,
    StageCard,
    check_files,
    read_card,
    sha256_of,
    write_seen,
)
from retina_core.registry import Registry, Row
from retina_core.specs import API_VERSION, Role
from retina_core.stages import Priors, Stage


def save_stage(
    stage: Stage, folder: Path, *, plugin: Row, seen: Iterable[str], provenance: Mapping[str, Any]
) -> StageCard:
    """Write a stage: weights, priors, what it saw, and last its card."""
    _save_tensors(_weights_of(stage), folder / MODEL)
    priors = stage.priors
    shares = torch.tensor([[grade, share] for grade, share in sorted(priors.grade_shares.items())]).reshape(
        -1, 2
    )
    _save_tensors({"fovs": priors.fovs, "grade_shares": shares}, folder / PRIORS)
    write_seen(folder, seen)
    card = StageCard(
        schema=SCHEMA,
        role=stage.role,
        name=stage.name,
        plugin=plugin.plugin,
        distribution=plugin.distribution,
        version=plugin.version,
        api_version=API_VERSION,
        config=stage.config.model_dump(mode="json"),
        channels=stage.channels,
        image_channels=int(getattr(stage, "image_channels", 3)),
        resolution=stage.resolution,
        thresholds=dict(priors.thresholds),
        shares=dict(priors.shares),
        speck_shares=dict(priors.speck_shares),
        files={name: sha256_of(folder / name) for name in (MODEL, PRIORS)},
        provenance=dict(provenance),
    )
    card.write(folder)
    return card


def load_stage(
    folder: Path | str, *, role: Role | None = None, registry: Registry | None = None, device: str = "auto"
) -> Stage:
    """The stage that a folder holds, ready to be used.

    Args:
        role: refuse a stage that plays another one.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        StageFolderError: the folder is damaged, or no stage folder.
        PluginError: the plugin that made it is not installed, or broken.
    """
    folder = Path(folder)
    registry = registry or Registry.discover()
    card = read_card(folder)
    if role is not None and card.role != role:
        raise WrongRoleError(str(folder), role, [card.role], [f"a folder that holds a {role}"])
    check_files(folder, card)
    spec = registry.stage(card.name, card.role)
    config = registry.config_class(spec).restore(spec.name, card.config)
    stage = cast(Stage, registry.stage_class(spec)(config, card.channels))
    stage.priors = _load_priors(folder, card)
    _take_weights(stage, _load_tensors(folder, MODEL), folder)
    stage.folder = folder
    stage.move_to(resolve_device(device))
    stage.eval_mode()
    return stage


def _weights_of(stage: Stage) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, network in stage.networks().items()
        for key, value in network.state_dict().items()
    }


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    with replacing(path) as temporary:
        save_file(
            {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, temporary
        )


def _load_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    try:
        return load_file(folder / name)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise StageFolderError(folder, f"{name} cannot be read ({error})") from None


def _load_priors(folder: Path, card: StageCard) -> Priors:
    tensors = _load_tensors(folder, PRIORS)
    fovs = tensors.get("fovs")
    if fovs is None or fovs.ndim != 4 or fovs.dtype != torch.uint8:
        raise StageFolderError(folder, f"{PRIORS} holds no fields of view")
    shares = tensors.get("grade_shares", torch.zeros(0, 2)).reshape(-1, 2)
    return Priors(
        fovs=fovs,
        shares=card.shares,
        thresholds=card.thresholds,
        speck_shares=card.speck_shares,
        grade_shares={int(grade): float(share) for grade, share in shares.tolist()},
    )


def _take_weights(stage: Stage, weights: Mapping[str, Tensor], folder: Path) -> None:
    expected = _weights_of(stage)
    if problem := _mismatch(expected, weights):
        raise StageFolderError(folder, f"{MODEL} does not fit its config: {problem}")
    for name, network in stage.networks().items():
        prefix = f"{name}."
        network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        )


def _mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps the weights from fitting, in words; empty where they fit."""
    for key in expected.keys() ^ found.keys():
        return f"{key} is {'missing' if key in expected else 'not asked for'}"
    for key, value in expected.items():
        if value.shape != found[key].shape:
            return f"{key} has shape {tuple(found[key].shape)} instead of {tuple(value.shape)}"
        if found[key].is_floating_point() and not bool(torch.isfinite(found[key]).all()):
            return f"{key} holds values that are not finite"
    return ""


def adopt_weights(stage: Stage, folder: Path) -> list[str]:
    """Start a stage from another one's folder: take each weight whose name and shape fit, leave the rest fresh.

    Returns:
        The names of the weights that stay fresh (other channels, another resolution).

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
    weights = _load_tensors(folder, MODEL)
    mine = _weights_of(stage)
    fitting = {key for key, value in mine.items() if key in weights and weights[key].shape == value.shape}
    # Counters of batch normalisation are single numbers that always fit.
    if not any(mine[key].ndim for key in fitting):
        raise StageFolderError(folder, f"no weight of it fits this {stage.name}")
    for key in fitting:
        if weights[key].is_floating_point() and not bool(torch.isfinite(weights[key]).all()):
            raise StageFolderError(folder, f"{key} holds values that are not finite")
    with torch.no_grad():
        for key in fitting:
            mine[key].copy_(weights[key])
    return [key for key in mine if key not in fitting]
