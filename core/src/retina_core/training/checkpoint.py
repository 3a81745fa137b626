"""Checkpoints from which a training goes on exactly: each complete in a folder of its own.

checkpoints/0000012800/state.safetensors   networks, optimizers, averages, extra state
checkpoints/latest.json                     the pointer; renaming it into place commits a checkpoint
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from retina_core.errors import RunFolderError, StageFolderError
from retina_core.formats.atomic import replacing_folder, write_json
from retina_core.formats.strict_json import load_json
from retina_core.formats.tree import load_tree, save_tree
from retina_core.training.context import Learner

KEPT = 2
"""The last good one and the one before."""


class Checkpoints:
    """The checkpoints of one training; ``request`` is the hash of all that shapes its result."""

    def __init__(self, folder: Path, request: str, maps: str = "") -> None:
        """``maps``: hash of what samples are annotated with; empty: it is not looked at."""
        self.folder, self.request, self.maps = folder / "checkpoints", request, maps

    @property
    def latest(self) -> Path | None:
        """The folder of the last complete checkpoint."""
        pointer = self._pointer()
        return self.folder / str(pointer["folder"]) if pointer else None

    def save(self, learner: Learner, seen_images: int) -> Path:
        """Write and commit a checkpoint, where it is not there already; older ones but the one before are removed."""
        target = self.folder / f"{seen_images:010d}"
        if target == self.latest:  # a kill while it was written anew would leave none
            return target
        with replacing_folder(target) as temporary:
            save_tree(_state(learner, seen_images), temporary / "state.safetensors")
        pointer = {
            "schema": 1,
            "folder": target.name,
            "seen_images": seen_images,
            "request": self.request,
            **({"maps": self.maps} if self.maps else {}),
            **_machine(learner),
        }
        write_json(self.folder / "latest.json", pointer)
        self._tidy(target)
        return target

    def _tidy(self, latest: Path) -> None:
        """Remove all but the last checkpoints: older ones, and any that a kill left half written or half removed."""
        there = [path for path in self.folder.iterdir() if path.is_dir()]
        kept = sorted(path.name for path in there if path.name.isdigit() and path.name <= latest.name)[-KEPT:]
        for path in there:
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def resume(self, learner: Learner) -> tuple[int, list[str]]:
        """Bring a learner to the last checkpoint.

        Returns:
            The images seen so far (0 without a checkpoint), and what differs from the process that wrote it, since
            other thread or process counts give other sums, and so other last bits.

        Raises:
            RunFolderError: the checkpoint belongs to another request.
            StageFolderError: the checkpoint is damaged.
        """
        pointer = self._pointer()
        if not pointer:
            return 0, []
        if pointer.get("request") != self.request or pointer.get("maps", self.maps) != self.maps:
            raise RunFolderError(
                self.folder.parent,
                "it holds a training with other data or settings",
                "choose another --out, or repeat the settings that it was begun with",
            )
        try:
            state = load_tree(self.folder / str(pointer["folder"]) / "state.safetensors")
            _restore(learner, state)
            seen_images = int(state["seen_images"])
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())  # torch names every key on a line of its own
            raise StageFolderError(self.folder / str(pointer["folder"]), f"{reason:.500}") from None
        if learner.processes.first:
            self._tidy(self.folder / str(pointer["folder"]))
        return seen_images, _differences(pointer, learner)

    def _pointer(self) -> dict[str, Any]:
        try:
            raw = load_json(self.folder / "latest.json")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StageFolderError(self.folder, f"latest.json cannot be read ({error})") from None
        name = str(raw.get("folder", "")) if isinstance(raw, dict) else ""
        if not name.isdigit():
            raise StageFolderError(self.folder, "latest.json names no checkpoint")
        return dict(raw)


def _state(learner: Learner, seen_images: int) -> dict[str, Any]:
    return {
        "seen_images": seen_images,
        "networks": {name: dict(network.state_dict()) for name, network in learner.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in learner.optimizers.items()},
        "averages": {name: average.weights for name, average in learner.averages.items()},
        "extra": learner.stage.extra_state(),
        **({"validation": learner.validation.state()} if learner.validation else {}),
    }


def _restore(learner: Learner, state: Mapping[str, Any]) -> None:
    for name, network in learner.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in learner.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
        _match_layout(optimizer)
    for name, average in learner.averages.items():
        average.load(state["averages"][name])
    if learner.validation:
        learner.validation.load(state["validation"])
    learner.stage.load_extra_state(state["extra"])


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give state tensors the strides of their weights: fused optimizers walk both as raw memory."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            entry = optimizer.state.get(parameter, {})
            for key, value in entry.items():
                if (
                    torch.is_tensor(value)
                    and value.shape == parameter.shape
                    and value.stride() != parameter.stride()
                ):
                    entry[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _differences(pointer: Mapping[str, Any], learner: Learner) -> list[str]:
    return [
        f"{name}: {pointer[name]} before, {value} now; the result will differ in its last bits"
        for name, value in _machine(learner).items()
        if name in pointer and pointer[name] != value
    ]


def _machine(learner: Learner) -> dict[str, Any]:
    """What the last bits of a sum depend on."""
    return {
        "threads": torch.get_num_threads(),
        "processes": learner.processes.world,
        "device": learner.stage.device.type,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }
