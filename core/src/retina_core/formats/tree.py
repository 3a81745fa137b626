"""Nested state (dicts, lists, numbers, tensors) as one safetensors file, exact to the bit and without pickle.

The tensors lie in the file; its metadata holds the tree around them as JSON. A tensor's strides are stored too:
fused optimizers walk raw memory, so a state tensor that came back in another layout than its weight would
update the weights wrongly without an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from retina_core.formats.tensors import write_tensors

_DAMAGES = (
    SafetensorError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # of torch, and RecursionError
)
"""What reading a damaged file may raise."""


def save_tree(tree: Any, path: Path) -> None:
    """Write a tree of dicts, lists, tuples, tensors, numbers, text and None; whole or not at all."""
    tensors: dict[str, Tensor] = {}
    skeleton = _flatten(tree, tensors, "")
    text = json.dumps(skeleton, allow_nan=False)
    write_tensors(tensors, path, {"tree": text, "sha256": _digest(text, tensors)})


def load_tree(path: Path) -> Any:
    """Read what ``save_tree`` wrote; every tensor owns its memory.

    Raises:
        ValueError: the file is damaged, truncated or not of this kind.
    """
    try:
        if not path.is_file():  # a pipe would be waited for without end
            raise FileNotFoundError("there is no such file")
        with safe_open(path, "pt") as file:
            # A tensor of the library is a view of the mapped file: clone, so that nothing holds on to the file.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (safe_open is no dict)
            metadata = file.metadata() or {}
        if metadata.get("sha256", "") not in {"", _digest(metadata["tree"], tensors)}:
            raise ValueError("its SHA-256 is not the one that it names")
        return _unflatten(json.loads(metadata["tree"]), tensors)
    except _DAMAGES as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error


def _digest(tree: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a file holds: a bit that flipped on a disk would otherwise train on unseen."""
    digest = hashlib.sha256(tree.encode())
    for key, value in sorted(tensors.items()):
        digest.update(f"\n{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flatten(node: Any, tensors: dict[str, Tensor], path: str) -> Any:
    if isinstance(node, Tensor):
        value = node.detach().cpu()
        # As it lies in memory, which for a network in any layout needs no copy of it.
        order = sorted(range(value.ndim), key=value.stride, reverse=True)
        tensors[path or "."] = _packed(value.permute(order), tensors)
        return {"$tensor": path or ".", "stride": list(value.stride()), "order": order}
    if isinstance(node, dict):
        # A list of pairs, because JSON would turn integer keys into text.
        return {"$dict": [[key, _flatten(value, tensors, f"{path}/{key}")] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        kind = "$list" if isinstance(node, list) else "$tuple"
        return {kind: [_flatten(value, tensors, f"{path}/{i}") for i, value in enumerate(node)]}
    if isinstance(node, float):
        return {"$float": node.hex()}
    if node is None or isinstance(node, (bool, int, str)):
        return node
    raise TypeError(f"{path}: a {type(node).__name__} cannot be stored")


def _packed(value: Tensor, others: Mapping[str, Tensor]) -> Tensor:
    """Contiguous, and sharing memory with none of the others, which the file format refuses."""
    storage = value.untyped_storage()
    alone = storage.nbytes() == value.nbytes and all(
        storage.data_ptr() != other.untyped_storage().data_ptr() for other in others.values()
    )
    return value if alone and value.is_contiguous() else value.contiguous().clone()


def _unflatten(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "$tensor" in node:
        tensor = tensors[node["$tensor"]]
        order = node.get("order", range(tensor.ndim))
        back = [order.index(dim) for dim in range(tensor.ndim)]
        return _with_stride(tensor.permute(back), tuple(node["stride"]))
    if "$float" in node:
        return float.fromhex(node["$float"])
    if "$dict" in node:
        return {key: _unflatten(value, tensors) for key, value in node["$dict"]}
    if "$list" in node:
        return [_unflatten(value, tensors) for value in node["$list"]]
    return tuple(_unflatten(value, tensors) for value in node["$tuple"])


def _with_stride(tensor: Tensor, stride: tuple[int, ...]) -> Tensor:
    """The tensor in the layout that it had; a stride that needs more memory than the tensor has is refused."""
    if tensor.stride() == stride:
        return tensor
    reach = sum((size - 1) * step for size, step in zip(tensor.shape, stride, strict=True)) + 1
    if reach > tensor.numel() or min(stride, default=0) < 0:
        raise ValueError(f"stride {stride} does not fit the shape {tuple(tensor.shape)}")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
