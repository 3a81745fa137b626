import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retina_core.formats.tree import load_tree, save_tree

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text(max_size=8))
TREES = st.recursive(
    LEAVES,
    lambda nodes: st.one_of(
        st.lists(nodes, max_size=3),
        st.tuples(nodes, nodes),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 9)), nodes, max_size=3),
    ),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[k], other[k]) for k in one)
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    return type(one) is type(other) and one == other


@given(tree=TREES)
def test_any_tree_comes_back_as_it_was(tree: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tree") / "state.safetensors"
    save_tree(tree, path)
    assert same(tree, load_tree(path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_tensors_keep_bits_and_layout(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.randn(2, 3, 4, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    save_tree({"x": [tensor, torch.tensor(3.0), torch.zeros(0, 3)]}, tmp_path / "state.safetensors")
    back = load_tree(tmp_path / "state.safetensors")["x"]
    assert torch.equal(back[0], tensor)
    assert back[0].stride() == tensor.stride()
    assert back[1].shape == ()
    assert back[2].shape == (0, 3)


def test_what_was_loaded_does_not_hold_on_to_the_file(tmp_path: Path) -> None:
    save_tree({"x": torch.ones(4)}, tmp_path / "state.safetensors")
    first = load_tree(tmp_path / "state.safetensors")["x"]
    first += 1
    assert torch.equal(load_tree(tmp_path / "state.safetensors")["x"], torch.ones(4))


def test_adam_goes_on_exactly_after_a_round_trip_of_channels_last_weights(tmp_path: Path) -> None:
    def new() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net, torch.optim.Adam(net.parameters(), 1e-2, fused=True)

    def steps(net: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int, start: int) -> None:
        for i in range(start, start + count):
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(i))
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

    straight, optimizer = new()
    steps(straight, optimizer, 6, 0)
    first, optimizer = new()
    steps(first, optimizer, 3, 0)
    save_tree({"net": dict(first.state_dict()), "opt": optimizer.state_dict()}, tmp_path / "s.safetensors")
    state = load_tree(tmp_path / "s.safetensors")
    second, optimizer = new()
    second.load_state_dict(state["net"])
    optimizer.load_state_dict(state["opt"])
    steps(second, optimizer, 3, 3)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("cut", [3, 50, -1])
def test_a_damaged_file_is_one_clear_error(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tree({"x": torch.ones(64)}, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"state\.safetensors is damaged"):
        load_tree(path)


def test_a_stride_that_needs_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tree({"x": torch.ones(2, 2)}, path)
    content = path.read_bytes()
    lying = content.replace(rb"[2, 1]", rb"[9, 1]")
    assert lying != content
    path.write_bytes(lying)
    with pytest.raises(ValueError, match="SHA-256"):
        load_tree(path)
    path.write_bytes(lying.replace(b"sha256", b"sha-1!"))  # a liar names no hash
    with pytest.raises(ValueError, match="stride"):
        load_tree(path)
