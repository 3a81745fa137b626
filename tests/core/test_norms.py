"""Instance normalisation gives torch's values and, unlike torch's, right gradients in every layout."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_core.norms import InstanceNorm2d

LAYOUTS = {"channels-first": torch.contiguous_format, "channels-last": torch.channels_last}


def by_definition(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5) * weight[:, None, None] + bias[:, None, None]


def tensors(batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    x, gradient = (torch.randn(batch, 6, 8, 8, generator=rng) for _ in range(2))
    return x, gradient, torch.randn(6, generator=rng), torch.randn(6, generator=rng)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", LAYOUTS)
def test_values_and_gradients_are_those_of_the_definition(
    batch: int, layout: str, gradient_layout: str
) -> None:
    x, gradient, weight, bias = tensors(batch)
    norm = InstanceNorm2d(6, affine=True)
    with torch.no_grad():
        norm.weight.copy_(weight)
        norm.bias.copy_(bias)
    here = x.contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    made = norm(here)
    made.backward(gradient.contiguous(memory_format=LAYOUTS[gradient_layout]))

    there = [value.detach().double().requires_grad_() for value in (x, weight, bias)]
    told = by_definition(*there)
    told.backward(gradient.double())
    assert torch.allclose(made.double(), told, atol=1e-5)
    for mine, truth in zip((here, norm.weight, norm.bias), there, strict=True):
        assert torch.allclose(mine.grad.double(), truth.grad, atol=1e-4)


def test_channels_last_stays_channels_last() -> None:
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    assert InstanceNorm2d(4, affine=True)(x).is_contiguous(memory_format=torch.channels_last)


def test_it_has_the_weights_of_torchs_own() -> None:
    ours, theirs = InstanceNorm2d(4, affine=True), nn.InstanceNorm2d(4, affine=True)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 4, 8, 8)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_why_torchs_own_will_not_do() -> None:
    """When this fails, torch was mended: look whether ``norms.py`` is still worth having."""
    x, gradient, weight, bias = tensors(batch=1)
    found = []
    for layout in LAYOUTS.values():
        here = x.clone().requires_grad_()
        F.instance_norm(here, weight=weight, bias=bias).backward(gradient.contiguous(memory_format=layout))
        found.append(here.grad)
    assert (found[0] - found[1]).abs().max() > 0.1
