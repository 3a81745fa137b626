"""The file that holds VGG-19's weights: found, fetched where that is allowed, checked by its hash, and only then read."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from retina_core.errors import PathError, StorageError
from retina_core.formats.stage_card import sha256_of
from retina_core.perceptual.vgg19 import FIRST, VGG19, WIDTHS

FILE = "vgg19-dcbb9e9d.pth"
URL = f"https://download.pytorch.org/models/{FILE}"
SHA256 = "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
"""Of torchvision's file (574,673,361 bytes), whose name holds its beginning: the one pickle that is ever read."""
OWN = ".safetensors"
"""Ending of anybody's own weights."""
_UNREADABLE = (
    *(RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(pickle.UnpicklingError, SafetensorError),
)


@dataclass(frozen=True)
class WeightsFile:
    """A file whose content is known to be what it should be."""

    path: Path
    sha256: str

    @property
    def facts(self) -> dict[str, str]:
        """What a stage's provenance says: no path, which is of no use elsewhere."""
        return {"source": "vgg19", "file": self.path.name, "sha256": self.sha256}


def cached_file() -> Path:
    """Where torch keeps the file: in ``TORCH_HOME``, else in the user's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def find_weights(path: str, *, download: bool, say: Callable[[str], None]) -> WeightsFile:
    """The file at ``path``, or in torch's cache where that is empty; nothing of it is read but its hash.

    Args:
        download: fetch it into torch's cache where it is not there.
        say: told of a download.

    Raises:
        PathError: it is missing, cannot be fetched, or is another file than it says.
    """
    place = Path(path).expanduser() if path else cached_file()
    if not path and download and not place.exists():
        _fetch(place, say)
    if not os.path.isfile(place):  # Path.is_file raises for a name that is too long
        raise PathError(place, "the weights of VGG-19 are not there", _advice(path))
    try:
        digest = sha256_of(place)
    except OSError as error:
        raise PathError(place, f"cannot be read ({error.strerror})", _advice(path)) from None
    if place.suffix != OWN and digest != SHA256:
        reason = f"it is not torchvision's {FILE}, whole, and no other file of this kind is opened"
        advice = f"remove it and fetch {URL} again, or give other weights of VGG-19 as {OWN}"
        raise PathError(place, reason, advice)
    return WeightsFile(place, digest)


def _advice(path: str) -> str:
    where = (
        "give the right perceptual_path" if path else f"put {URL} there, name its place with perceptual_path"
    )
    allow = "" if path else ", allow its download (548 MiB) with perceptual_download=true"
    return f"{where}{allow}, or choose perceptual=segmenter, which needs no file"


def _fetch(place: Path, say: Callable[[str], None]) -> None:
    """Download torchvision's file, once for all processes of this machine; its hash is compared on the way."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):
            if not place.exists():
                say(f"vgg19: downloads {URL} (548 MiB) to {place}")
                torch.hub.download_url_to_file(URL, str(place), hash_prefix=SHA256, progress=False)
    except PermissionError as error:
        raise StorageError(place, error.strerror or str(error)) from error
    except (OSError, RuntimeError, ValueError) as error:  # no network, no room, another hash, a broken proxy
        reason = f"{URL} could not be downloaded ({' '.join(str(error).split()):.200})"
        raise PathError(place, reason, _advice("")) from None


def read_vgg19(file: WeightsFile) -> VGG19:
    """The network with the weights of a checked file; its widths are those of the file.

    Raises:
        PathError: the file is damaged, or holds another network.
    """
    try:
        found = _own_tensors(file.path) if file.path.suffix == OWN else _tensors(file.path)
    except _UNREADABLE as error:
        raise _refused(file, f"cannot be read ({' '.join(str(error).split()):.200})") from None
    widths = [_width(found, index, most) for index, most in zip(FIRST, WIDTHS, strict=True)]
    if 0 in widths:
        raise _refused(file, f"features.{FIRST[widths.index(0)]}.weight is missing or too wide")
    with torch.device("meta"):
        network = VGG19(widths)
    if problem := _mismatch(network.state_dict(), found):
        raise _refused(file, problem)
    network.load_state_dict({key: found[key].float() for key in network.state_dict()}, assign=True)
    return network


def _refused(file: WeightsFile, reason: str) -> PathError:
    advice = f"fetch {URL} again, or give weights under its names (features.0.weight, ...)"
    return PathError(file.path, f"holds no weights of VGG-19: {reason}", advice)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a pickle by name; torch's own reader builds tensors and dicts, and refuses all else.

    torchvision's file is older than torch's present format, which alone can be mapped instead of read.
    """
    mapped = zipfile.is_zipfile(path)
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(state, Mapping):
        raise TypeError("it is no table of weights")
    return {
        str(key): value.clone() for key, value in state.items() if _wanted(key) and torch.is_tensor(value)
    }


def _own_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key).clone() for key in file.keys() if _wanted(key)}  # noqa: SIM118  (no dict)


def _wanted(key: object) -> bool:
    """Whether a weight is read at all: the classifier alone takes 470 MiB."""
    head, _, rest = str(key).partition(".")
    return (
        head == "features" and rest.partition(".")[0].isdigit() and int(rest.partition(".")[0]) <= FIRST[-1]
    )


def _width(found: Mapping[str, Tensor], index: int, most: int) -> int:
    """Features of a block, told by its first convolution; 0 where it has none that could be VGG-19's."""
    weight = found.get(f"features.{index}.weight")
    return weight.shape[0] if weight is not None and weight.ndim == 4 and weight.shape[0] <= most else 0


def _mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What keeps weights from fitting, in words; empty where they fit."""
    for key, value in expected.items():
        if key not in found:
            return f"{key} is missing"
        if found[key].shape != value.shape:
            return f"{key} has shape {tuple(found[key].shape)} instead of {tuple(value.shape)}"
        if not found[key].is_floating_point() or not bool(torch.isfinite(found[key]).all()):
            return f"{key} holds values that are no finite numbers"
    return ""
