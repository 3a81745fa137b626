"""Random numbers that belong to one sample each, so that no sample depends on its batch, machine or order.

Sample *i* of a run draws from its own CPU ``torch.Generator``; numbers are drawn on the CPU and moved, so that
every device starts from the same noise. Nothing here, and nothing in a stage, reads the global generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_MASK32 = 0xFFFFFFFF


def _scatter32(value: int) -> int:
    """A bijection of 32-bit integers that leaves no pattern (the finalizer of MurmurHash3, Appleby 2011)."""
    value ^= value >> 16
    value = value * 0x85EBCA6B & _MASK32
    value ^= value >> 13
    value = value * 0xC2B2AE35 & _MASK32
    return value ^ value >> 16


def sample_seed(seed: int, stream: str, index: int, attempt: int = 0) -> int:
    """A 32-bit seed for sample ``index`` of one stream of a run.

    A CPU generator keeps 32 bits of its seed, so a plain hash would give two of 77,000 samples the same noise
    with even odds. Within one (seed, stream, attempt) the map from index to seed is a bijection: no two of the
    first 2**32 samples share theirs.
    """
    key = hashlib.sha256(f"{seed}/{stream}/{attempt}".encode()).digest()
    return _scatter32(index & _MASK32) ^ int.from_bytes(key[:4], "little")


def sample_rng(seed: int, stream: str, index: int, attempt: int = 0) -> torch.Generator:
    """The generator of sample ``index``."""
    return torch.Generator().manual_seed(sample_seed(seed, stream, index, attempt))


def sample_rngs(seed: int, count: int, *, start: int = 0, stream: str = "sample") -> list[torch.Generator]:
    """Generators of the samples ``start`` to ``start + count - 1`` of a run."""
    return [sample_rng(seed, stream, index) for index in range(start, start + count)]


def normal(rngs: Sequence[torch.Generator], *shape: int) -> Tensor:
    """Standard normal numbers (b *shape), row *i* from ``rngs[i]``, float32 on the CPU."""
    return torch.stack([torch.randn(shape, generator=rng) for rng in rngs])


def uniform(rngs: Sequence[torch.Generator], *shape: int) -> Tensor:
    """Numbers in [0, 1) (b *shape), row *i* from ``rngs[i]``, float32 on the CPU."""
    return torch.stack([torch.rand(shape, generator=rng) for rng in rngs])


class SampleDropout(nn.Module):
    """Dropout whose mask comes from each sample's own generator; active whenever generators are given.

    Unlike ``nn.Dropout`` it does not ask for training mode: in pix2pix dropout is the noise when generating too.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor, rngs: Sequence[torch.Generator] | None) -> Tensor:
        """(b f h w) -> (b f h w), elements set to zero with the probability, the rest scaled up to keep the mean."""
        if rngs is None or self.probability == 0:
            return x
        return x * dropout_mask(self.probability, rngs, *x.shape[1:]).to(x.device, x.dtype)


def dropout_mask(probability: float, rngs: Sequence[torch.Generator], *shape: int) -> Tensor:
    """(b f h w), 0 with the probability, else 1 / (1 - probability), drawn from one generator per sample."""
    keep = 1 - probability
    return uniform(rngs, *shape).lt_(keep).div_(keep).contiguous(memory_format=torch.channels_last)
