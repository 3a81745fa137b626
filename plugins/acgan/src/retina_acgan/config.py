"""The papers' numbers, and ours for few maps and two CPU cores."""

from collections.abc import Mapping
from typing import Any, ClassVar

from retina_core.config import AdaptiveConfig, PowerOfTwo, setting

ODENA = "Odena et al. 2017"
SON = "Son et al. 2021, section 2"
KARRAS = "Karras et al. 2018"


class ACGANConfig(AdaptiveConfig):
    """What can be set about ``acgan``."""

    resolution: PowerOfTwo = setting(
        256, "side of the maps; resized for the translator", unit="px", ge=8, le=1024, source=f"{SON}: 256"
    )
    seen_images: int = setting(
        100_000, "training length: maps shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(
        16, "maps in one step", unit="images", ge=1, le=4096, source=f"{ODENA}, appendix A: 100"
    )
    first_px: PowerOfTwo = setting(
        16,
        "side of the maps that it begins with; the resolution or more: it is trained at the resolution alone",
        unit="px",
        ge=8,
        le=1024,
    )
    growth_share: float = setting(
        0.4,
        "first share of the training, dealt out evenly to the coarser sizes from first_px on",
        ge=0,
        lt=1,
    )
    generator_updates: int = setting(
        2, "updates of the generator for each of the discriminator", ge=1, le=8, source=f"{SON}: 2"
    )
    smoothing: float = setting(
        0.1,
        "how much less than 1 the discriminator is asked to believe in real maps; 0: it is not smoothed",
        ge=0,
        lt=0.5,
        source=f"{SON}; Salimans et al. 2016, section 3.4",
    )
    classifier_weight: float = setting(
        1.0, "weight of the grade in both losses; 0: left out", ge=0, source=f"{ODENA}, equation 3: 1"
    )
    learning_rate: float = setting(
        2e-3, "Adam's step size for the generator", gt=0, le=1, source=f"{ODENA}, appendix A: 2e-4"
    )
    discriminator_learning_rate: float = setting(2e-3, "Adam's step size for the discriminator", gt=0, le=1)
    beta1: float = setting(
        0.0, "Adam's decay of the mean gradient", ge=0, lt=1, source=f"{ODENA}, appendix A: 0.5"
    )
    beta2: float = setting(
        0.99, "Adam's decay of the squared gradient", ge=0, lt=1, source=f"{ODENA}, appendix A: 0.999"
    )
    average_half_life: int = setting(
        5_000,
        "seen images after which an old weight counts half in the average; 0: no average",
        unit="images",
        ge=0,
        source=f"{KARRAS}, section 4.1: 11,000 (.999 a step)",
    )
    latent: int = setting(128, "numbers of noise that a map is drawn from", ge=1, le=4096)
    width: int = setting(
        16,
        "features at 128 px, twice as many at each coarser resolution, half at each finer one",
        ge=4,
        le=512,
    )
    max_width: int = setting(64, "most features of any layer", ge=4, le=2048)
    group: int = setting(
        4,
        "samples over which the discriminator is shown how much they vary",
        ge=1,
        le=64,
        source=f"{KARRAS}, A.1",
    )
    r1: float = setting(
        1.0,
        "weight of the gradient penalty on real maps; at coarser sizes less, as their pixels are fewer; 0: none",
        ge=0,
        source="Mescheder et al. 2018, eq. 9",
    )
    r1_every: int = setting(16, "steps between two penalties, each weighed as many times", unit="steps", ge=1)
    variety_weight: float = setting(
        2.0, "weight of what drawn maps lack of the real maps' variety; 0: left out", ge=0
    )

    architecture: ClassVar[tuple[str, ...]] = ("latent", "width", "max_width")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # With data, quick and standard begin with the starter, whose width they then have.
        "quick": {
            "resolution": 128,
            "first_px": 32,
            "growth_share": 0.5,
            "seen_images": 4_000,
            "batch_size": 4,
            "average_half_life": 600,
            "rate_decay": 0.5,
            "ada": "adaptive",
            "generator_updates": 1,
            "classifier_weight": 0.2,
        },
        "standard": {
            "first_px": 32,
            "growth_share": 0.65,
            "seen_images": 6_000,
            "batch_size": 4,
            "average_half_life": 600,
            "rate_decay": 0.75,
            "ada": "adaptive",
            "generator_updates": 1,
            "classifier_weight": 0.2,
        },
        "starter": {
            "resolution": 128,
            "first_px": 32,
            "growth_share": 0.8,
            "seen_images": 40_000,
            "batch_size": 4,
            "average_half_life": 1_500,
            "rate_decay": 0.2,
            "generator_updates": 1,
        },
        "paper": {
            "first_px": 256,
            "growth_share": 0.0,
            "seen_images": 5_000_000,
            "batch_size": 100,
            "learning_rate": 2e-4,
            "discriminator_learning_rate": 2e-4,
            "beta1": 0.5,
            "beta2": 0.999,
            "average_half_life": 0,
            "latent": 128,
            "width": 64,
            "max_width": 512,
            "group": 1,
            "r1": 0.0,
            "variety_weight": 0.0,
            "ada": "adaptive",
            "ada_images": 500_000,
        },
    }
