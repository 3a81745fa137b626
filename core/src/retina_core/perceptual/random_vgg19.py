"""VGG-19 of random weights: features that need neither a file nor a training, for who asks for them by name.

Ustyuzhaninov, Brendel, Gatys and Bethge 2016, "Texture Synthesis Using Shallow Convolutional Networks with Random Filters",
arXiv 1606.00021: which colours and edges occur together is in the correlations of random filters too. Their best network has
one layer of filters of many sizes; here the filters are those of VGG-19's plan, whose five blocks see 3 to 200 px. What things
are is in none of it.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from retina_core.perceptual.vgg19 import VGG19, VGG19Features

RANDOM = "random-vgg19"
RANDOM_SEED = 0
"""One seed for everybody: stages that are compared were taught by the same features."""


def random_vgg19() -> VGG19Features:
    """VGG-19 with normal weights of variance 2 / fan-in, no bias (He et al. 2015, arXiv 1502.01852), the same on every machine."""
    with torch.device("meta"):
        network = VGG19()
    rng, digest = torch.Generator().manual_seed(RANDOM_SEED), hashlib.sha256()
    weights: dict[str, Tensor] = {}
    for key, like in network.state_dict().items():
        if key.endswith("weight"):
            weights[key] = torch.randn(like.shape, generator=rng) * math.sqrt(2 / like[0].numel())
            digest.update(weights[key].numpy().tobytes())
        else:
            weights[key] = torch.zeros(like.shape)
    network.load_state_dict(weights, assign=True)
    facts = {"source": RANDOM, "seed": str(RANDOM_SEED), "sha256": digest.hexdigest()}
    return VGG19Features(network, facts)
