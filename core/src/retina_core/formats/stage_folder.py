"""A stage on disk: written whole, and loaded with one call that runs nothing of what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from retina_core.devices import resolve_device
from retina_core.errors import ConfigError, StageFolderError, WrongRoleError
from retina_core.formats.stage_card import (
    CARD,
    MODEL,
    PRIORS,
    SCHEMA,
    StageCard,
    check_files,
    read_card,
    sha256_of,
    write_seen,
)
from retina_core.formats.tensors import write_tensors
from retina_core.registry import Registry, Row
from retina_core.specs import API_VERSION, Role
from retina_core.stages import Priors, Stage


def save_stage(
    stage: Stage,
    folder: Path,
    *,
    plugin: Row,
    seen: Iterable[str],
    provenance: Mapping[str, Any],
    signatures: Mapping[str, str] | None = None,
) -> StageCard:
    """Write a stage: weights, priors, what it saw, and last its card."""
    _save_tensors(weights_of(stage), folder / MODEL)
    priors = stage.priors
    shares = torch.tensor([[grade, share] for grade, share in sorted(priors.grade_shares.items())]).reshape(
        -1, 2
    )
    _save_tensors({"fovs": priors.fovs, "grade_shares": shares}, folder / PRIORS)
    write_seen(folder, seen, signatures)
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
        shares={name: min(share, 1.0) for name, share in priors.shares.items()},  # a sum may be 1 + 2e-16
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
    stage = _built(folder, card, registry)
    stage.priors = _load_priors(folder, card)
    _take_weights(stage, load_tensors(folder, MODEL), folder)
    stage.folder = folder
    stage.move_to(resolve_device(device))
    stage.eval_mode()
    return stage


def _built(folder: Path, card: StageCard, registry: Registry) -> Stage:
    """The stage that the card describes, its weights not yet those of the folder."""
    spec = registry.stage(card.name, card.role)
    kind = registry.stage_class(spec)
    try:
        config = registry.config_class(spec).restore(spec.name, card.config)
    except ConfigError as error:
        raise StageFolderError(folder, f"{CARD}: config: {error}") from None
    _refuse_other_shapes(folder, lambda: cast(Stage, kind(config, card.channels)))
    try:
        return cast(Stage, kind(config, card.channels))
    except (ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError) as error:
        reason = f"{CARD}: no {spec.name} can be built from it ({type(error).__name__}: {error})"
        raise StageFolderError(folder, reason) from error


def _refuse_other_shapes(folder: Path, build: Callable[[], Stage]) -> None:
    """Refuse a config that asks for other weights than the file holds, before memory is taken for them.

    Built on torch's device ``meta``, which holds shapes only; a stage that cannot be is compared once it is built.
    """
    try:
        with safe_open(folder / MODEL, "pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  (no dict)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise StageFolderError(folder, f"{MODEL} cannot be read ({error})") from None
    try:
        with torch.device("meta"):
            expected = {key: tuple(value.shape) for key, value in weights_of(build()).items()}
    except (ValueError, TypeError, ArithmeticError, RuntimeError):  # NotImplementedError is a RuntimeError
        return
    if problem := _other_shape(expected, found):
        raise StageFolderError(folder, f"{MODEL} does not fit its config: {problem}")


def weights_of(stage: Stage) -> dict[str, Tensor]:
    """Network's name and weight's -> the live weight, not a copy."""
    return {
        f"{name}.{key}": value
        for name, network in stage.networks().items()
        for key, value in network.state_dict().items()
    }


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    write_tensors({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, path)


def load_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """What a safetensors file of a stage folder holds.

    Raises:
        StageFolderError: it cannot be read.
    """
    try:
        return load_file(folder / name)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise StageFolderError(folder, f"{name} cannot be read ({error})") from None


def _load_priors(folder: Path, card: StageCard) -> Priors:
    tensors = load_tensors(folder, PRIORS)
    fovs = tensors.get("fovs")
    if (
        fovs is None
        or fovs.ndim != 4
        or fovs.dtype != torch.uint8
        or fovs.shape[1] != 1
        or 0 in fovs.shape[1:]
    ):
        raise StageFolderError(folder, f"{PRIORS} holds no fields of view (m 1 h w)")
    return Priors(
        fovs=fovs
        if len(fovs)
        else torch.full((1, 1, 1, 1), 255, dtype=torch.uint8),  # none given: the full frame
        shares=card.shares,
        thresholds=card.thresholds,
        speck_shares=card.speck_shares,
        grade_shares=_grade_shares(folder, tensors.get("grade_shares")),
    )


def read_grade_shares(folder: Path) -> dict[int, float]:
    """Grade -> its share of what the stage in a folder learnt from; without loading the stage.

    Raises:
        StageFolderError: it cannot be read.
    """
    return _grade_shares(folder, load_tensors(folder, PRIORS).get("grade_shares"))


def _grade_shares(folder: Path, table: Tensor | None) -> dict[int, float]:
    if table is None:
        return {}
    rows = table.double().tolist() if table.ndim == 2 and table.shape[1] == 2 and len(table) <= 5 else None
    if rows is None or not all(grade in range(5) and 0 <= share <= 1 for grade, share in rows):
        raise StageFolderError(folder, f"{PRIORS} holds no shares of grades from 0 to 4")
    return {int(grade): float(share) for grade, share in rows}


def _take_weights(stage: Stage, weights: Mapping[str, Tensor], folder: Path) -> None:
    expected = weights_of(stage)
    if problem := _mismatch(expected, weights):
        raise StageFolderError(folder, f"{MODEL} does not fit its config: {problem}")
    for name, network in stage.networks().items():
        prefix = f"{name}."
        network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        )


def _mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps the weights from fitting, in words; empty where they fit."""
    if problem := _other_shape(_shapes(expected), _shapes(found)):
        return problem
    return next(filter(None, (unfit(key, value, found[key]) for key, value in expected.items())), "")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}


def _other_shape(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    for key in sorted(expected.keys() ^ found.keys()):
        return f"{key:.200} is {'missing' if key in expected else 'not asked for'}"
    for key, shape in expected.items():
        if shape != found[key]:
            return f"{key} has shape {found[key]} instead of {shape}"
    return ""


def unfit(key: str, expected: Tensor, found: Tensor) -> str:
    """Why values of the right shape cannot be taken: another kind of number, or not finite as the network has it."""
    if found.is_complex() or found.is_floating_point() != expected.is_floating_point():
        return f"{key} holds {found.dtype} instead of {expected.dtype}"
    if expected.is_floating_point() and not bool(torch.isfinite(found.to(expected.dtype)).all()):
        return f"{key} holds values that are not finite"
    return ""
