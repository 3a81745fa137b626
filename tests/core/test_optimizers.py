"""Our Adam is torch's, whatever order weights, gradients and moments lie in."""

import pytest
import torch
from torch import Tensor, nn

from retina_core.optimizers import Adam, fused_adam

SHAPE = (12, 6, 4, 4)


def gradients(count: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(3)
    return [torch.randn(SHAPE, generator=rng) for _ in range(count)]


def fresh(channels_last: bool) -> nn.Parameter:
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return nn.Parameter(weight.contiguous(memory_format=layout))


def told(weight_decay: float) -> Tensor:
    """torch's own, one tensor at a time."""
    weight = fresh(channels_last=False)
    kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
    optimizer = kind([weight], lr=1e-2, weight_decay=weight_decay, foreach=False)
    for gradient in gradients(4):
        weight.grad = gradient
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("weights_last", [False, True])
@pytest.mark.parametrize("gradients_last", [False, True])
def test_any_layout_gives_torchs_weights(
    weight_decay: float, weights_last: bool, gradients_last: bool
) -> None:
    weight = fresh(weights_last)
    options = {"weight_decay": weight_decay, "decoupled_weight_decay": bool(weight_decay)}
    optimizer = Adam([weight], lr=1e-2, fused=True, **options)
    for gradient in gradients(4):
        layout = torch.channels_last if gradients_last else torch.contiguous_format
        weight.grad = gradient.contiguous(memory_format=layout)
        optimizer.step()
    assert torch.allclose(weight.detach(), told(weight_decay), atol=1e-6)
    assert weight.is_contiguous(memory_format=torch.channels_last) == weights_last


def test_moments_that_come_back_in_another_layout_are_laid_like_their_weight() -> None:
    weight = fresh(channels_last=True)
    optimizer = Adam([weight], lr=1e-2, fused=True)
    for step, gradient in enumerate(gradients(4)):
        if step == 2:
            state = optimizer.state[weight]
            for key in ("exp_avg", "exp_avg_sq"):
                state[key] = state[key].contiguous()
        weight.grad = gradient.contiguous(memory_format=torch.channels_last)
        optimizer.step()
    assert torch.allclose(weight.detach(), told(0.0), atol=1e-6)


def test_the_arithmetic_gets_tensors_without_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps torch's kernel from copying: it holds our override of a private method to its promise."""
    handed: list[Tensor] = []
    real = torch._fused_adam_

    def listen(*lists: list[Tensor], **options: object) -> None:
        handed.extend(tensor for tensors in lists[:4] for tensor in tensors)
        real(*lists, **options)

    monkeypatch.setattr(torch, "_fused_adam_", listen)
    convolution = nn.Conv2d(6, 12, 4).to(memory_format=torch.channels_last)
    optimizer = fused_adam(convolution, 1e-2, (0.5, 0.9))
    convolution(torch.randn(2, 6, 8, 8).contiguous(memory_format=torch.channels_last)).sum().backward()
    optimizer.step()
    assert len(handed) == 8
    assert all(tensor.is_contiguous() for tensor in handed)
