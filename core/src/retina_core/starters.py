"""Starters: small trained stages that plugins ship as package data, so that a first run need not wait for a training.

A starter is an ordinary stage folder, in half precision and with few fields of view, trained on the phantoms of a seed
that nothing else is trained or tested on (``--preset starter``). It is packed with::

    python -m retina_core.starters FOLDER OUT

which ``make starters`` does for the plugins of this repository.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from retina_core.errors import PathError, RetinaError
from retina_core.formats.atomic import replacing, replacing_folder
from retina_core.formats.stage_card import (
    CARD,
    MODEL,
    PRIORS,
    SEEN,
    StageCard,
    check_files,
    read_card,
    read_seen,
    sha256_of,
)
from retina_core.formats.stage_folder import load_tensors
from retina_core.formats.tensors import write_tensors
from retina_core.training.log import LOG

COMMAND: Final = "make starters"
"""What makes the starters of this repository."""

MOST_BYTES: Final = 6_000_000
"""Of all files of a starter together: a package that is installed in a moment."""

FOV_BYTES: Final = 2**18
"""Of the fields of view that it keeps: four of 256 px, sixteen of 128 px."""

_FILES: Final = (MODEL, PRIORS, SEEN, CARD)
"""What a stage folder holds that can be used; the card last, which says that it is whole."""


def pack_starter(folder: Path, out: Path, *, command: str = COMMAND) -> StageCard:
    """Write a trained stage as a starter: weights halved, few fields of view, neither checkpoints nor previews.

    Args:
        folder: the stage, trained on phantoms alone.
        out: where the starter is written, whole or not at all; what lay there is replaced.
        command: what makes it anew, which its card says.

    Raises:
        StageFolderError: ``folder`` is damaged, or no stage folder.
        PathError: the stage saw more than phantoms, a weight is too large for half precision, or the whole would be
            larger than ``MOST_BYTES``.
    """
    card = read_card(folder)
    check_files(folder, card)
    read_seen(folder)
    if card.provenance.get("phantom") is not True:
        raise PathError(folder, "was not trained on phantoms", "a starter shows nobody's eye")
    with replacing_folder(out) as packed:
        write_tensors(_halved(load_tensors(folder, MODEL), folder), packed / MODEL)
        priors = load_tensors(folder, PRIORS)
        write_tensors({**priors, "fovs": _few(priors["fovs"])}, packed / PRIORS)
        for name in (SEEN, LOG):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, packed / name)
        provenance = {key: value for key, value in card.provenance.items() if key != "request"}
        made = {"starter": f"{card.distribution} {card.version}", "made_by": command}
        files = {name: sha256_of(packed / name) for name in (MODEL, PRIORS)}
        starter = card.model_copy(update={"files": files, "provenance": {**provenance, **made}})
        starter.write(packed)
        _refuse_large(packed, folder)
    return starter


def copy_starter(starter: Path, out: Path) -> StageCard:
    """Write a starter as the stage of a run, as it is; its card says so.

    Raises:
        StageFolderError: the starter is damaged.
        StorageError: ``out`` cannot be written.
    """
    card = read_card(starter)
    check_files(starter, card)
    for name in (LOG, *_FILES[:-1]):
        if (starter / name).is_file():
            with replacing(out / name) as temporary:
                shutil.copyfile(starter / name, temporary)
    copied = card.model_copy(update={"provenance": {**card.provenance, "used": "as it is"}})
    copied.write(out)
    return copied


def origin_of(folder: Path) -> str:
    """What a stage's folder is called where a training begins with it: ``the starter of retina-pgan 0.1.0``, or its path."""
    starter = read_card(folder).provenance.get("starter")
    return f"the starter of {starter}" if starter else str(folder)


def _halved(weights: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    for key, value in halves.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise PathError(folder, f"{key} is too large for half precision", "train it with smaller weights")
    return halves


def _few(fovs: Tensor) -> Tensor:
    """As many fields of view (m 1 h w) as are allowed, spread over all."""
    most = max(1, FOV_BYTES // max(fovs[0].numel(), 1)) if len(fovs) else 1
    every = -(-len(fovs) // most) or 1
    return fovs[::every].clone()


def _refuse_large(packed: Path, folder: Path) -> None:
    size = sum(path.stat().st_size for path in packed.iterdir())
    if size > MOST_BYTES:
        reason = f"is {size / 1e6:.1f} MB as a starter, which has {MOST_BYTES / 1e6:.0f} MB at most"
        raise PathError(folder, reason, "train it with narrower networks")


def main(words: list[str]) -> int:
    """Pack the stage folder that the first word names into the second; the exit status."""
    if len(words) != 2:
        sys.stderr.write(
            "Error: give the folder of a trained stage, and where its starter is to be written\n"
        )
        return 2
    try:
        pack_starter(Path(words[0]), Path(words[1]))
    except RetinaError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
