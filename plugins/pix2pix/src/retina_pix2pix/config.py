"""The numbers of pix2pix and of SynthMed's second stage, and ours for twenty photographs and two CPU cores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from retina_core.config import GANConfig, PowerOfTwo, setting

ISOLA = "Isola et al. 2017"


class Pix2PixConfig(GANConfig):
    """What can be set about ``pix2pix``."""

    resolution: PowerOfTwo = setting(256, "side of the photographs", unit="px", ge=32, le=2048, source=ISOLA)
    seen_images: int = setting(
        40_000, "training length: pairs shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(
        1, "pairs in one step", unit="images", ge=1, le=4096, source=f"{ISOLA}, section 6.2"
    )
    learning_rate: float = setting(2e-4, "Adam's step size for the generator", gt=0, le=1, source=ISOLA)
    discriminator_learning_rate: float = setting(2e-4, "Adam's step size for the discriminator", gt=0, le=1)
    beta1: float = setting(
        0.5, "Adam's decay of the mean gradient", ge=0, lt=1, source=f"{ISOLA}, section 3.3"
    )
    rotation_degrees: float = setting(
        10.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.05, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    width: int = setting(
        64, "generator's features at half resolution, doubled at each coarser one", ge=4, le=512
    )
    max_width: int = setting(
        512, "most features of any layer", ge=4, le=2048, source=f"{ISOLA}, section 6.1.1"
    )
    dropout: float = setting(
        0.5, "share of features dropped, the noise", ge=0, lt=1, source=f"{ISOLA}, section 6.1.1"
    )
    upsampling: Literal["resize", "transposed"] = setting("resize", "how the decoder doubles", source=ISOLA)
    discriminator_width: int = setting(64, "discriminator's first features", ge=4, le=512, source=ISOLA)
    receptive_field: Literal["1", "16", "70", "image"] = setting(
        "70", "side of the patches that the discriminator judges", unit="px", source=f"{ISOLA}, section 4.4"
    )
    gan_loss: Literal["logistic", "least_squares"] = setting("logistic", "the adversarial loss", source=ISOLA)
    gan_weight: float = setting(1.0, "weight of the adversarial loss", ge=0, source=ISOLA)
    l1_weight: float = setting(
        100.0, "weight of the distance to the true photograph", ge=0, source=f"{ISOLA}, eq. 4"
    )

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "seen_images": 2_400,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "discriminator_learning_rate": 5e-4,
            "rate_decay": 0.4,
            "average_half_life": 200,
            "width": 16,
            "max_width": 128,
            "discriminator_width": 16,
        },
        "standard": {
            "seen_images": 20_000,
            "batch_size": 4,
            "learning_rate": 5e-4,
            "rate_decay": 0.4,
            "width": 32,
            "max_width": 256,
            "discriminator_width": 32,
        },
        "paper": {"upsampling": "transposed", "average_half_life": 0, "rotation_degrees": 0.0, "scale": 0.0},
    }
