"""Normalisation layers that several stages need, where torch's own are slow or wrong.

Everything else of a network is the plugin's; what stands here is a workaround that must not be forgotten twice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance normalisation (b f h w) -> (b f h w) that keeps channels-last, with the weights of ``nn``'s.

    Ulyanov et al. 2016, arXiv 1607.08022. Each sample goes through batch normalisation alone, which is the same
    sum. torch 2.13's own brings channels-last maps back to channels-first, so that the next convolution has to turn
    them again, and on the CPU gives wrong gradients, without an error, where the batch is 1 and the gradient
    channels-last (``tests/core/test_norms.py`` shows it).
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" and len(x) > 1:
            return super().forward(x)
        normed = [
            F.batch_norm(sample, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for sample in torch.split(x, 1)
        ]
        return normed[0] if len(normed) == 1 else torch.cat(normed)
