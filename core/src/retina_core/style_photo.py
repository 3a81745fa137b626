"""The photograph that a synthetic set is painted in the manner of (``--style``)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from retina_core.data.pictures import FilePicture
from retina_core.data.prepare import prepare_sample
from retina_core.data.sample import Sample
from retina_core.data.signatures import signature_of
from retina_core.errors import InvalidValueError, PathError
from retina_core.roles import ImageTranslator


class StylePhoto(NamedTuple):
    """A photograph as translators take it, and what stands for it in files."""

    photo: Tensor
    """(c h w) in [0, 1], cropped to its field of view, black outside."""
    fingerprint: str
    """SHA-256 of its content, never its path: that would tell of the machine, and of nothing else."""
    signature: str = ""
    """What tells the picture however it was saved (``data.signatures``)."""


def read_style(path: Path, translator: ImageTranslator) -> StylePhoto:
    """The photograph at ``path``, prepared as those that ``translator`` learnt from.

    Raises:
        InvalidValueError: the translator paints in no given manner.
        PathError: the file cannot be read, or shows no field of view.
    """
    if not translator.takes_style:
        reason = f"{translator.name} of this folder takes no style; leave --style out or choose a translator that does"
        raise InvalidValueError("generate", "style", str(path), reason)
    sample = Sample(id="style", patient="style", photo=FilePicture(path), fov_rule="derive")
    if not sample.fov_array().any():
        raise PathError(path, "shows no field of view", "choose a photograph of a retina")
    prepared = prepare_sample(sample, (), translator.resolution)
    return StylePhoto(
        torch.from_numpy(prepared.photo).float() / 255, sample.fingerprint, signature_of(sample.look)
    )
