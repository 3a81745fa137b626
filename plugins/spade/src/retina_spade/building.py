"""What generator, style encoder and discriminators are built of."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

STEM_PX = 4
"""Side of the first block, whatever the resolution."""
SLOPE = 0.2


def block_sizes(resolution: int) -> list[int]:
    """4, 8, 16, ... ``resolution`` px."""
    return [2**n for n in range(STEM_PX.bit_length() - 1, resolution.bit_length())]


def init_layer(module: nn.Module) -> None:
    """Glorot's normal weights, as in the released code, and no bias to begin with.

    Under a spectral norm torch's own stay, whose size the norm takes away.
    """
    if isinstance(module, (nn.Conv2d, nn.Linear)) and not is_parametrized(module):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
