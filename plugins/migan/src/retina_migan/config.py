"""The numbers of MI-GAN's image synthesis, and ours for twenty photographs and two cores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from retina_core.config import PowerOfTwo, setting
from retina_core.style_config import StyleConfig

IQBAL = "Iqbal and Ali 2018"

SMALL: Mapping[str, Any] = {
    "resolution": 256,
    "batch_size": 4,
    "learning_rate": 5e-4,
    "discriminator_learning_rate": 2e-4,
    "rate_decay": 0.4,
    "average_half_life": 100,
    "width": 16,
    "max_width": 128,
    "code_width": 32,
    "discriminator_width": 16,
    "l1_weight": 50.0,
    "training_noise": 1.0,
    "variation_weight": 10.0,
}
"""A million weights in all, which two cores train in minutes. Noise is learnt with as it is painted with: with the paper's
two deviations, bright clouds covered every eye of CHASE_DB1. By the paper's weight of the total variation, which with means
over pixels weighs more than all else, photographs in another style had a quarter of a real one's variation, and pale vessels."""


class MIGANConfig(StyleConfig):
    """What can be set about the translator ``migan``."""

    resolution: PowerOfTwo = setting(
        512,
        "side of the photographs; below 128 px for trials alone",
        unit="px",
        ge=32,
        le=2048,
        source=IQBAL,
    )
    seen_images: int = setting(
        40_000, "training length: pairs shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(4, "pairs in one step", unit="images", ge=1, le=4096)
    learning_rate: float = setting(2e-4, "Adam's step size for the generator", gt=0, le=1, source=IQBAL)
    discriminator_learning_rate: float = setting(
        2e-4, "Adam's step size for the discriminator", gt=0, le=1, source=IQBAL
    )
    rotation_degrees: float = setting(
        10.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180, source=f"{IQBAL}: yes"
    )
    width: int = setting(
        64, "generator's features at the finest sizes", ge=4, le=512, source=f"{IQBAL}: 64 at 256 px"
    )
    max_width: int = setting(
        512,
        "features of generator and discriminator from 16 px inward, halved with each doubling of the size",
        ge=4,
        le=2048,
        source=f"{IQBAL}: 512",
    )
    skips: Literal["even", "all"] = setting(
        "all",
        "sizes at which the encoder's maps are joined to the decoder's: every other one from the middle, or all",
        source=f"{IQBAL}: even",
    )
    code: int = setting(400, "numbers that make up the noise of a photograph", ge=1, le=4096, source=IQBAL)
    code_width: int = setting(
        256, "features at 8 px that the noise becomes", ge=1, le=2048, source=f"{IQBAL}: 8 x 8 x 256"
    )
    training_noise: float = setting(
        0.001, "standard deviation of the noise in training", ge=0, le=10, source=IQBAL
    )
    painting_noise: float = setting(
        1.0, "standard deviation of the noise when generating", ge=0, le=10, source=IQBAL
    )
    discriminator_width: int = setting(
        32, "discriminator's features at the finest sizes", ge=4, le=512, source=IQBAL
    )
    generator_updates: int = setting(
        2, "updates of the generator for each of the discriminator", ge=1, le=16, source=IQBAL
    )
    gan_weight: float = setting(
        1.0, "weight of the adversarial loss", ge=0, source=f"{IQBAL}, eq. 3 and eq. 12"
    )
    l1_weight: float = setting(
        10.0,
        "weight of the distance to the true photograph; with style_photos the style losses stand in its place",
        ge=0,
        source=f"{IQBAL}, eq. 3",
    )

    architecture: ClassVar[tuple[str, ...]] = (
        *("width", "max_width", "skips", "code", "code_width", "discriminator_width", "style_input"),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {**SMALL, "seen_images": 2_400},
        "standard": {
            **SMALL,
            "seen_images": 20_000,
            "learning_rate": 2e-4,
            "average_half_life": 500,
            "width": 32,
            "max_width": 256,
            "code_width": 128,
            "discriminator_width": 32,
        },
        "paper": {"skips": "even", "average_half_life": 0},
    }
