"""The numbers of progressive growing, and ours for twenty maps and two CPU cores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from retina_core.config import AdaptiveConfig, PowerOfTwo, setting

KARRAS = "Karras et al. 2018"


class PGANConfig(AdaptiveConfig):
    """What can be set about ``pgan``."""

    resolution: PowerOfTwo = setting(
        256, "side of the maps that it grows to; resized for the translator", unit="px", ge=8, le=1024
    )
    seen_images: int = setting(
        200_000, "training length: maps shown to the discriminator", unit="images", ge=1
    )
    batch_size: int = setting(
        16,
        "maps in one step at the full resolution",
        unit="images",
        ge=1,
        le=4096,
        source=f"{KARRAS}: 3 at 1024 px",
    )
    largest_batch: int = setting(
        16,
        "maps in one step at coarser resolutions, where they double with each, are at most so many",
        unit="images",
        ge=1,
        le=4096,
        source=f"{KARRAS}, appendix A.1",
    )
    first_px: PowerOfTwo = setting(
        16,
        "side of the maps that it begins with; the resolution or more: it does not grow",
        unit="px",
        ge=4,
        le=1024,
        source=f"{KARRAS}: 4",
    )
    growth_share: float = setting(
        0.4,
        "first share of the training, in which it grows; dealt out evenly to fading in and to holding each size",
        ge=0,
        lt=1,
        source="the authors' schedule: 600,000 images each",
    )
    learning_rate: float = setting(
        2e-3, "Adam's step size for the generator", gt=0, le=1, source=f"{KARRAS}: 1e-3"
    )
    discriminator_learning_rate: float = setting(2e-3, "Adam's step size for the discriminator", gt=0, le=1)
    beta1: float = setting(
        0.0, "Adam's decay of the mean gradient", ge=0, lt=1, source=f"{KARRAS}, appendix A.1"
    )
    beta2: float = setting(
        0.99, "Adam's decay of the squared gradient", ge=0, lt=1, source=f"{KARRAS}, appendix A.1"
    )
    average_half_life: int = setting(
        5_000,
        "seen images after which an old weight counts half in the average; 0: no average",
        unit="images",
        ge=0,
        source=f"{KARRAS}, section 4.1: 11,000 (.999 a step)",
    )
    latent: int = setting(
        128, "numbers of noise that a map is drawn from", ge=1, le=4096, source=f"{KARRAS}: 512"
    )
    width: int = setting(
        16,
        "features at 128 px, twice as many at each coarser resolution, half at each finer one",
        ge=4,
        le=512,
        source=f"{KARRAS}, table 2: 128",
    )
    max_width: int = setting(
        128, "most features of any layer", ge=4, le=2048, source=f"{KARRAS}, table 2: 512"
    )
    group: int = setting(
        4,
        "samples over which the discriminator is shown how much they vary",
        ge=1,
        le=64,
        source=f"{KARRAS}, A.1",
    )
    loss: Literal["logistic", "wgan-gp"] = setting(
        "logistic",
        "cross-entropy with a penalty on real maps, or the paper's critic",
        source=f"{KARRAS}: wgan-gp",
    )
    r1: float = setting(
        1.0,
        "logistic: weight of the gradient penalty on real maps; 0: none",
        ge=0,
        source="Mescheder et al. 2018, eq. 9",
    )
    r1_every: int = setting(
        16, "logistic: steps between two penalties, each weighed as many times", unit="steps", ge=1
    )
    gradient_penalty: float = setting(
        10.0, "wgan-gp: weight of the critic's slope's distance from 1", ge=0, source="Gulrajani et al. 2017"
    )
    drift: float = setting(
        0.001,
        "wgan-gp: weight of the critic's squared values at real maps",
        ge=0,
        source=f"{KARRAS}, appendix A.1",
    )

    variety_weight: float = setting(
        2.0,
        "weight of what drawn maps lack of the real maps' variety; 0: left out",
        ge=0,
        source=f"{KARRAS}: none",
    )
    target: Literal["map", "blur", "distance", "centreline"] = setting(
        "map",
        "what the networks learn: maps as they are, blurred, as distances to the edge, or as centre lines and radii",
    )
    blur_px: float = setting(0.7, "blur: its deviation", unit="px", gt=0, le=4)
    distance_px: float = setting(
        2.0, "distance: how far from the edge it is told apart", unit="px", ge=0.5, le=64
    )

    architecture: ClassVar[tuple[str, ...]] = (
        "latent",
        "width",
        "max_width",
        "target",
        "blur_px",
        "distance_px",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # With data, quick and standard begin with the starter, whose width they then have.
        "quick": {
            "resolution": 128,
            "first_px": 32,
            "growth_share": 0.5,
            "seen_images": 4_000,
            "average_half_life": 600,
            "rate_decay": 0.5,
            "width": 8,
            "max_width": 64,
            "ada": "adaptive",
        },
        "standard": {
            "seen_images": 9_000,
            "batch_size": 8,
            "average_half_life": 1_200,
            "rate_decay": 0.4,
            "ada": "adaptive",
        },
        "starter": {
            "resolution": 128,
            "first_px": 32,
            "growth_share": 0.75,
            "seen_images": 78_000,
            "batch_size": 8,
            "average_half_life": 1_500,
            "rate_decay": 0.15,
        },
        "paper": {
            "resolution": 1024,
            "variety_weight": 0.0,
            "first_px": 4,
            "seen_images": 12_000_000,
            "growth_share": 0.8,
            "batch_size": 3,
            "learning_rate": 1e-3,
            "discriminator_learning_rate": 1e-3,
            "average_half_life": 11_000,
            "latent": 512,
            "width": 128,
            "max_width": 512,
            "loss": "wgan-gp",
            "flips": "none",
        },
    }

    @property
    def reach_px(self) -> float:
        """How far the target spreads."""
        return self.blur_px if self.target == "blur" else self.distance_px

    @model_validator(mode="after")
    def _can_adapt(self) -> Self:
        """A critic has no centre: overfitting is then seen in maps that were held out alone."""
        if self.loss == "wgan-gp" and self.ada == "adaptive" and not self.held_out:
            raise ValueError(
                "loss=wgan-gp tells overfitting by maps that were held out; set held_out, or ada=fixed or ada=off"
            )
        return self
