"""The numbers of DCGAN and of SynthMed's first stage and single GAN, and ours for twenty eyes and two CPU cores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from retina_core.config import AdaptiveConfig, PowerOfTwo, setting

RADFORD = "Radford et al. 2016"


class DCGANConfig(AdaptiveConfig):
    """What can be set about ``label-generator:dcgan``."""

    resolution: PowerOfTwo = setting(
        128, "side of the maps that it draws; resized for the translator", unit="px", ge=32, le=512
    )
    seen_images: int = setting(
        200_000, "training length: maps shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(16, "maps in one step", unit="images", ge=2, le=4096, source=f"{RADFORD}: 128")
    learning_rate: float = setting(
        2e-3, "Adam's step size for the generator", gt=0, le=1, source=f"{RADFORD}: 2e-4"
    )
    discriminator_learning_rate: float = setting(2e-3, "Adam's step size for the discriminator", gt=0, le=1)
    beta1: float = setting(
        0.5, "Adam's decay of the mean gradient", ge=0, lt=1, source=f"{RADFORD}, section 4"
    )
    beta2: float = setting(0.99, "Adam's decay of the squared gradient", ge=0, lt=1)
    rotation_degrees: float = setting(
        10.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.05, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    shift: float = setting(0.02, "augment with shifts up to this share of the side", ge=0, le=0.5)
    latent: int = setting(100, "numbers of noise that a map is drawn from", ge=1, le=4096, source=RADFORD)
    width: int = setting(
        16, "generator's features at half resolution, doubled at each coarser one", ge=4, le=512
    )
    max_width: int = setting(256, "most features of any layer", ge=4, le=2048)
    discriminator: Literal["dcgan", "synthmed"] = setting(
        "dcgan", "strided convolutions, or SynthMed's two 5x5 convolutions and fully connected layers"
    )
    discriminator_width: int = setting(8, "discriminator's features at half resolution", ge=4, le=512)
    discriminator_norm: Literal["batch", "spectral", "none"] = setting(
        "none", "normalisation in the discriminator", source=f"{RADFORD}: batch; none keeps R1 stable"
    )
    minibatch_deviation: bool = setting(
        True, "show the discriminator how much a batch varies", source="Karras et al. 2018, section 3"
    )
    r1: float = setting(
        2.0,
        "weight of the gradient penalty on real maps; 0: none",
        ge=0,
        source="Mescheder et al. 2018, eq. 9",
    )
    r1_every: int = setting(8, "steps between two penalties, each weighed as many times", unit="steps", ge=1)
    real_target: float = setting(
        1.0, "what the discriminator shall say of real maps; below 1: one-sided smoothing", gt=0.5, le=1
    )

    architecture: ClassVar[tuple[str, ...]] = (
        *("latent", "width", "max_width"),
        *("discriminator", "discriminator_width", "discriminator_norm", "minibatch_deviation"),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"seen_images": 24_000},
        "standard": {
            "seen_images": 200_000,
            "width": 32,
            "discriminator_width": 16,
            "average_half_life": 5_000,
        },
        "paper": {
            "resolution": 64,
            "batch_size": 128,
            "learning_rate": 2e-4,
            "discriminator_learning_rate": 2e-4,
            "beta2": 0.999,
            "width": 128,
            "max_width": 1024,
            "discriminator": "synthmed",
            "discriminator_width": 64,
            "discriminator_norm": "batch",
            "minibatch_deviation": False,
            "r1": 0.0,
            "average_half_life": 0,
            "flips": "none",
            "rotation_degrees": 0.0,
            "scale": 0.0,
            "shift": 0.0,
        },
    }


class DCGANPairsConfig(DCGANConfig):
    """What can be set about ``pair-generator:dcgan``."""

    resolution: PowerOfTwo = setting(128, "side of the pairs that it draws", unit="px", ge=32, le=512)
    seen_images: int = setting(
        200_000, "training length: pairs shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(16, "pairs in one step", unit="images", ge=2, le=4096, source=f"{RADFORD}: 128")
    latent: int = setting(100, "numbers of noise that a pair is drawn from", ge=1, le=4096, source=RADFORD)
    r1: float = setting(
        2.0,
        "weight of the gradient penalty on real pairs; 0: none",
        ge=0,
        source="Mescheder et al. 2018, eq. 9",
    )
    real_target: float = setting(
        1.0, "what the discriminator shall say of real pairs; below 1: one-sided smoothing", gt=0.5, le=1
    )
