"""Who judges a segmenter's maps: a network that looks at single pixels, at patches, or at the whole picture.

Iqbal and Ali 2018, J. Med. Syst. 42:231, table 1: no discriminator, pixel, patch 10 x 10, patch 80 x 80 and image; 4 x 4
convolutions, batch norm, leaky ReLU, a sigmoid (here in the losses, on logits), 32 features doubled to 512. It says nothing
of the layers of each, so these are ours: as few as see exactly so many pixels (``receptive_field``).

- ``pixel``: 1 x 1 convolutions alone.
- ``patch10``: 4 x 4 of stride 2, 4 x 4 of stride 1: 4 + 3 * 2 = 10 px.
- ``patch80``: 6 x 6, then three of 4 x 4, all of stride 2, then 3 x 3: 6 + 3 * 2 + 3 * 4 + 3 * 8 + 2 * 16 = 80 px. With
  4 x 4 alone the sum is always 1 more than a multiple of 3, which 80 is not; the first layer and the verdict make up for it.
- ``image``: 4 x 4 of stride 2 until less than 8 px are left, then one verdict over all of these.

What a layer's weights see is exact. While training, batch norm carries the mean and deviation of each feature across all
pixels of the batch, as it does in the paper.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_migan.network import SLOPE, init_weights

CriticName = Literal["none", "pixel", "patch10", "patch80", "image"]
CRITICS: tuple[str, ...] = get_args(CriticName)
"""In the order of the paper's table 1."""

MOST_DOUBLINGS = 4
"""32 to 512 features."""


class Layer(NamedTuple):
    """One convolution."""

    kernel: int
    stride: int
    padding: int
    features: int
    """That it gives."""


def layers_of(critic: str, image_px: int, width: int) -> tuple[Layer, ...]:
    """The convolutions of a critic of pictures of ``image_px``, from the outside in; the last gives one verdict.

    Raises ``ValueError`` for a critic that is none of ``CRITICS``, or ``"none"``.
    """
    if critic == "pixel":
        return (Layer(1, 1, 0, width), Layer(1, 1, 0, 2 * width), Layer(1, 1, 0, 1))
    if critic == "patch10":
        return (Layer(4, 2, 1, width), Layer(4, 1, 1, 2 * width), Layer(1, 1, 0, 1))
    if critic == "patch80":
        inner = (Layer(4, 2, 1, width * factor) for factor in (2, 4, 8))
        return (Layer(6, 2, 2, width), *inner, Layer(3, 1, 1, 1))
    if critic == "image":
        return _until_one(image_px, width)
    raise ValueError(f"no critic is called {critic!r} (have: {', '.join(CRITICS[1:])})")


def receptive_field(layers: tuple[Layer, ...]) -> int:
    """Side, in px, of what one verdict follows from; of ``image`` it reaches beyond the picture on all sides."""
    side, step = 1, 1
    for layer in layers:
        side, step = side + (layer.kernel - 1) * step, step * layer.stride
    return side


class Critic(nn.Module):
    """Maps (b k h w) of photographs (b c h w) to logits (b 1 h' w'): above 0 for maps that a person drew."""

    def __init__(self, f_in: int, layers: tuple[Layer, ...]) -> None:
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        last = len(layers) - 1
        for place, layer in enumerate(layers):
            # No norm after the first convolution and the verdict, as in DCGAN, from which the paper has its layers.
            plain = place in (0, last)
            self.convolutions.append(
                nn.Conv2d(f_in, layer.features, layer.kernel, layer.stride, layer.padding, bias=plain)
            )
            self.norms.append(nn.Identity() if plain else nn.BatchNorm2d(layer.features))
            f_in = layer.features
        self.apply(init_weights)

    def forward(self, maps: Tensor, photos: Tensor) -> Tensor:
        x = torch.cat([maps, photos], dim=1)  # b k+c h w
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if place:
                x = F.leaky_relu(x, SLOPE)
            x = norm(convolution(x))  # b f h' w', halved where the layer's stride is 2
        return x


def _until_one(image_px: int, width: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    side = image_px
    while side >= 8:
        layers.append(Layer(4, 2, 1, width * 2 ** min(len(layers), MOST_DOUBLINGS)))
        side //= 2
    return (*layers, Layer(side, 1, 0, 1))
