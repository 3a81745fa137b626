"""U-Net: photographs to label maps.

Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
arXiv 1505.04597, figure 1. Departures, each with its reason:

- Convolutions pad by one pixel, where the paper's lose a border: output and input have one size, and the field of
  view keeps its rim.
- Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) after each convolution: it trains from scratch in
  minutes. At inference it uses running statistics, so that no result depends on its batch; unlike group or instance
  normalisation it treats a patch and a whole photograph alike.
- One logit per label channel instead of a softmax over classes: structures overlap (disc and vessel).
- No dropout at the bottom: turns, flips and shifts of the pictures regularise enough.
- Width and depth are free (paper: 64 and 4): a thin network trains on a CPU.
"""

import torch
from torch import Tensor, nn


def double_convolution(channels: int, width: int) -> nn.Sequential:
    """Two rounds of 3x3 convolution, normalisation, ReLU: (b channels h w) to (b width h w)."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class Up(nn.Module):
    """One step of the expanding path: doubles the size, halves the channels, joins the encoder's map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.blend = double_convolution(2 * width, width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(b 2f h/2 w/2), (b f h w) to (b f h w)."""
        enlarged = self.enlarge(coarse)  # b f h w
        joined = torch.cat([fine, enlarged], dim=1)  # b 2f h w
        out: Tensor = self.blend(joined)  # b f h w
        return out


class UNet(nn.Module):
    """Photograph to label logits: (b c h w), z-scored within the field of view, to (b k h w).

    ``width`` is the number of features at full size, doubled at each of ``depth`` halvings (paper: 64 and 4, that
    is 64 to 1024). Height and width must be multiples of ``2 ** depth``.
    """

    def __init__(self, image_channels: int, label_channels: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        inputs = [image_channels, *widths[:-1]]
        self.size_multiple = 2**depth
        self.encoder = nn.ModuleList(double_convolution(a, b) for a, b in zip(inputs, widths, strict=True))
        self.decoder = nn.ModuleList(Up(w) for w in reversed(widths[:-1]))
        self.shrink = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, label_channels, 1)
        for module in self.modules():
            if isinstance(
                module, nn.Conv2d | nn.ConvTranspose2d
            ):  # paper, section 3: deviation sqrt(2 / inputs)
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def features(self, photos: Tensor) -> list[Tensor]:
        """The encoder's maps, finest first: ``depth + 1`` tensors (b f*2^i h/2^i w/2^i)."""
        maps: list[Tensor] = []
        x = photos  # b c h w
        for level, block in enumerate(self.encoder):
            x = block(self.shrink(x) if level else x)  # b f*2^i h/2^i w/2^i
            maps.append(x)
        return maps

    def forward(self, photos: Tensor) -> Tensor:
        *skips, x = self.features(photos)  # x: b f*2^depth h/2^depth w/2^depth
        for up in self.decoder:
            x = up(x, skips.pop())
        logits: Tensor = self.head(x)  # b k h w
        return logits
