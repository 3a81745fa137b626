"""Nested state (dicts, lists, numbers, tensors) as one safetensors file, exact to the bit and without pickle.

The tensors lie in the file; its metadata holds the tree around them as JSON. A tensor's strides are stored too:
fused optimizers walk raw memory, so a state tensor that came back in another layout than its weight would
update the weights wrongly without an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from retina_core.formats.atomic import replacing


def save_tree(tree: Any, path: Path) -> None:
    """Write a tree of dicts, lists, tuples, tensors, numbers, text and None; whole or not at all."""
    tensors: dict[str, Tensor] = {}
    skeleton = _flatten(tree, tensors, "")
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"tree": json.dumps(skeleton, allow_nan=False)})


def load_tree(path: Path) -> Any:
    """Read what ``save_tree`` wrote; every tensor owns its memory.

    Raises:
        ValueError: the file is damaged, truncated or not of this kind.
    """
    try:
        with safe_open(path, "pt") as file:
            # A tensor of the library is a view of the mapped file: clone, so that nothing holds on to the file.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (safe_open is no dict)
            skeleton = json.loads((file.metadata() or {})["tree"])
        return _unflatten(skeleton, tensors)
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError, RuntimeError) as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error


def _flatten(node: Any, tensors: dict[str, Tensor], path: str) -> Any:
    if isinstance(node, Tensor):
        value = node.detach().cpu()
        tensors[path or "."] = value.contiguous().clone()
        return {"$tensor": path or ".", "stride": list(value.stride())}
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


def _unflatten(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "$tensor" in node:
        return _with_stride(tensors[node["$tensor"]], tuple(node["stride"]))
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
