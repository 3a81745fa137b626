"""VGG-19 up to relu5_1: the features in which pix2pixHD and SPADE compare photographs.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556, table
1, column E. Layers and their weights are those of the released code of pix2pixHD (Wang et al. 2018, arXiv 1711.11585), which
SPADE (Park et al. 2019, arXiv 1903.07291) took over. Departures, each with its reason:

- What comes after relu5_1 is left out: nothing reads it, and it is nine tenths of the weights.
- Photographs are normalised by ImageNet's mean and deviation, as for the weights' own training; both released codes feed
  [-1, 1].
- Widths are free (paper: 64, 128, 256, 512, 512): a thinner network of the same plan may be given too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from retina_core.perceptual.features import PerceptualFeatures

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 4, 4, 1)
"""In each block; the paper's fifth has four, of which only the first is used."""
FIRST = (0, 5, 10, 19, 28)
"""Each block's first convolution among ``features``, numbered as in torchvision's file; its ReLU comes next."""
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 in the distance."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class VGG19(nn.Module):
    """Photographs (b 3 h w) in [0, 1], h and w at least 16, to five maps (b f h/2^i w/2^i), i = 0 to 4."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in zip(widths, CONVOLUTIONS, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_DEVIATION)):
            # Given a device, so that they hold values where the weights are built on torch's device meta.
            numbers = torch.tensor(values, device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, photos: Tensor) -> list[Tensor]:
        """The maps, finest first."""
        x = ((photos - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)  # b 3 h w
        maps: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)  # b f h/2^i w/2^i
            if index - 1 in FIRST:
                maps.append(x)
        return maps


class VGG19Features(PerceptualFeatures):
    """What a network sees that was trained to tell a thousand kinds of things apart."""

    def __init__(self, network: VGG19, facts: Mapping[str, str]) -> None:
        network.eval().requires_grad_(False)
        self._network, self.facts = network, facts

    def __call__(self, photos: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self._network(photos)
        return maps

    def factors(self, wanted: Sequence[Tensor]) -> Sequence[float]:
        return LAYER_WEIGHTS

    def move_to(self, device: torch.device | str) -> None:
        self._network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
