"""The fast mode paints what autocast paints, to the bit, and is chosen by the whole run, not by a part of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from retina_core import fast_mode
from retina_core.config import StageConfig
from retina_core.devices import autocast
from retina_core.fast_mode import choose_mode, fast, has_cpp_compiler, make_ready
from retina_core.stages import Stage

CPU = torch.device("cpu")


class Network(nn.Module):
    """A class of its own: torch does not compile a bare ``nn.Sequential``."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            spectral_norm(nn.Conv2d(8, 8, 3, padding=1)),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1),
        )

    def forward(self, labels: Tensor) -> Tensor:
        return torch.tanh(self.layers(labels))


class Painting(Stage):
    role = "image-translator"
    name = "painting"

    def __init__(self) -> None:
        super().__init__(StageConfig(), ("vessel",))
        torch.manual_seed(0)
        self.network = Network()
        self.move_to(CPU)
        self.eval_mode()

    def networks(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def paint(self) -> Tensor:
        labels = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        return self.network(labels)


def test_weights_kept_in_bf16_give_what_autocast_gives() -> None:
    kept, cast = Painting(), Painting()
    make_ready(kept, "bf16")
    with torch.no_grad(), autocast(CPU, "bf16"):
        told = cast.paint()
    with fast(kept, "bf16"):
        found = kept.paint()
    assert found.dtype == told.dtype
    assert torch.equal(found, told)


def test_products_are_kept_in_bf16_and_norms_in_float32() -> None:
    stage = Painting()
    make_ready(stage, "bf16")
    kinds = [next(layer.parameters()).dtype for layer in stage.network.layers if list(layer.parameters())]
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16, torch.bfloat16]
    assert not any(hasattr(layer, "parametrizations") for layer in stage.network.layers)


def test_fp32_stays_as_it_is() -> None:
    stage, told = Painting(), Painting().paint()
    make_ready(stage, "fp32")
    with fast(stage, "fp32"):
        assert torch.equal(stage.paint(), told)


def test_nothing_painted_can_be_trained_on() -> None:
    stage = Painting()
    stage.network.requires_grad_(True)
    with fast(stage, "fp32"):
        assert not stage.paint().requires_grad


@pytest.mark.parametrize("amx", [False, True])
def test_compiling_is_for_many_pictures_on_a_machine_where_it_helps(
    amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": amx})
    monkeypatch.setattr(fast_mode, "has_cpp_compiler", lambda: True)
    assert choose_mode("bf16", CPU, pictures=10_000, image_px=256) == ("compiled" if amx else "bf16")
    assert choose_mode("bf16", CPU, pictures=100, image_px=256) == "bf16"
    assert choose_mode("bf16", CPU, pictures=100, image_px=1024) == ("compiled" if amx else "bf16")
    assert choose_mode("fp32", CPU, pictures=10_000, image_px=256) == "fp32"


def test_nothing_is_compiled_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(fast_mode, "has_cpp_compiler", lambda: False)
    assert choose_mode("bf16", CPU, pictures=10_000, image_px=256) == "bf16"


@pytest.mark.slow
@pytest.mark.skipif(not has_cpp_compiler(), reason="torch finds no C++ compiler here")
def test_a_compiled_network_paints_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    compiled, eager = Painting(), Painting()
    make_ready(compiled, "compiled")
    make_ready(eager, "bf16")
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with fast(compiled, "compiled"):
        found = compiled.paint()
    with fast(eager, "bf16"):
        told = eager.paint()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1
    # One rounding of bf16 apart at most: fused layers keep what eager ones round between them.
    assert torch.allclose(found.float(), told.float(), atol=2 / 255)
