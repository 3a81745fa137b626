"""The numbers of SPADE, of its use for retinal photographs, and ours for twenty photographs and two cores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from retina_core.config import PerceptualConfig, PowerOfTwo, setting

PARK = "Park et al. 2019"

SMALL: Mapping[str, Any] = {
    "resolution": 128,
    "batch_size": 4,
    "learning_rate": 4e-4,
    "discriminator_learning_rate": 8e-4,
    "rate_decay": 0.4,
    "average_half_life": 400,
    "width": 16,
    "width_px": 128,
    "max_width": 128,
    "hidden": 32,
    "discriminator_width": 32,
    "l1_weight": 10.0,
    "latent": 16,
    "style_width": 16,
    "style_px": 64,
    "rotation_degrees": 0.0,
    "scale": 0.0,
}
"""Three million weights in all: what two cores can train, and what ships as the starter.

Nothing is resampled: at 128 px turned photographs are blurred ones, and a segmenter that learns from blurred pairs misses
thin vessels. 2,000 more images without it raised SYNTH on phantoms from .657 to .752.
"""


class SPADEConfig(PerceptualConfig):
    """What can be set about ``spade``."""

    resolution: PowerOfTwo = setting(
        256, "side of the photographs", unit="px", ge=32, le=1024, source=f"{PARK}; Son et al. 2021: 512"
    )
    seen_images: int = setting(
        40_000, "training length: pairs shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(
        1, "pairs in one step", unit="images", ge=1, le=4096, source=f"{PARK}: 32 on eight GPUs"
    )
    learning_rate: float = setting(
        1e-4, "Adam's step size for the generator", gt=0, le=1, source=f"{PARK}, section 4"
    )
    discriminator_learning_rate: float = setting(
        4e-4, "Adam's step size for the discriminators", gt=0, le=1, source=f"{PARK}, section 4"
    )
    beta1: float = setting(0.0, "Adam's decay of the mean gradient", ge=0, lt=1, source=f"{PARK}, section 4")
    beta2: float = setting(
        0.9, "Adam's decay of the squared gradient", ge=0, lt=1, source="released code, with two time scales"
    )
    rotation_degrees: float = setting(
        10.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.05, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    width: int = setting(
        64,
        "generator's features at width_px and finer, doubled at each coarser size",
        ge=4,
        le=512,
        source=f"{PARK}, appendix A",
    )
    width_px: PowerOfTwo = setting(
        256,
        "size at which there are width features; a training goes on at another resolution where it stays",
        unit="px",
        ge=4,
        le=1024,
        source=f"{PARK}, appendix A: the resolution",
    )
    max_width: int = setting(
        1024, "most features of any layer", ge=4, le=2048, source=f"{PARK}, appendix A: 16 times width"
    )
    hidden: int = setting(
        128, "features between a label map and its norm's scale and shift", ge=4, le=512, source=PARK
    )
    norm: Literal["instance", "batch"] = setting(
        "instance", "the norm without weights that label maps modulate", source=f"{PARK}: batch"
    )
    grain: bool = setting(
        True, "noise for each pixel in each block: texture that no map explains", source="Karras et al. 2019"
    )
    style: Literal["none", "encoder"] = setting(
        "encoder", "what tells two paintings of a map apart besides grain", source=f"{PARK}, section 3"
    )
    latent: int = setting(256, "numbers that make up a style", ge=1, le=4096, source=f"{PARK}, appendix A")
    style_width: int = setting(
        64, "style encoder's first features", ge=4, le=512, source=f"{PARK}, appendix A"
    )
    style_px: PowerOfTwo = setting(
        256,
        "side to which the style encoder brings photographs down",
        unit="px",
        ge=8,
        le=1024,
        source=f"{PARK}, appendix A",
    )
    style_weight: float = setting(
        0.05,
        "weight of the styles' divergence from the normal distribution",
        ge=0,
        source=f"{PARK}, appendix",
    )
    discriminators: int = setting(
        2, "how many, each at half the size of the one before", ge=1, le=4, source="released code"
    )
    discriminator_width: int = setting(
        64, "discriminators' first features", ge=4, le=512, source=f"{PARK}, appendix A"
    )
    gan_weight: float = setting(1.0, "weight of the adversarial loss", ge=0, source=PARK)
    feature_weight: float = setting(
        10.0, "weight of matching the discriminators' features", ge=0, source=f"{PARK}, appendix A"
    )
    l1_weight: float = setting(
        0.0, "weight of the distance to the true photograph", ge=0, source=f"{PARK}: none"
    )

    architecture: ClassVar[tuple[str, ...]] = (
        *("width", "width_px", "max_width", "hidden", "norm", "grain"),
        *("style", "latent", "style_width", "style_px", "discriminators", "discriminator_width"),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {**SMALL, "seen_images": 2_400},
        "standard": {**SMALL, "resolution": 256, "seen_images": 3_600, "average_half_life": 600},
        "starter": {**SMALL, "seen_images": 14_000, "discriminator_width": 24},
        "paper": {
            "norm": "batch",
            "grain": False,
            "perceptual": "vgg19",
            "rate_decay": 0.5,
            "average_half_life": 0,
            "rotation_degrees": 0.0,
            "scale": 0.0,
        },
    }
