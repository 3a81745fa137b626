"""What can be set about the classifier of grades (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from retina_core.config import StageConfig, setting

PHOTO_COLOUR = 0.2


class GraderSettings(StageConfig):
    """How a grader is built and trained; the defaults are for photographs or maps of a few hundred eyes."""

    resolution: int = setting(128, "side to which pictures are resized", unit="px", ge=32, le=1024)
    width: int = setting(16, "features of the first layer; each of the next three doubles them", ge=4, le=256)
    seen_images: int = setting(
        24_000,
        "training length: pictures shown to the network",
        unit="images",
        ge=1,
        source="three minutes of one core",
    )
    batch_size: int = setting(16, "pictures in one step", unit="images", ge=1, le=1024)
    learning_rate: float = setting(3e-3, "highest step size; it falls to zero in half a cosine", gt=0, le=1)
    weight_decay: float = setting(
        0.05, "how fast weights shrink that nothing holds (AdamW)", ge=0, source="arXiv 1711.05101"
    )
    balance: float = setting(
        0.5,
        "how often a grade is drawn: 0 as often as the training set has it, 1 as often as every other, between them "
        "its share to the power 1 - balance",
        ge=0,
        le=1,
    )
    nearness: float = setting(
        2.0,
        "how much a grade's neighbours count as right: targets fall by e to this power with each grade; 0: never",
        ge=0,
        source="Díaz and Marathe 2019, CVPR, section 3",
    )
    average_half_life: int = setting(
        1_000, "seen images after which an old weight counts half in the average", unit="images", ge=1
    )
    flips: Literal["none", "horizontal", "both"] = setting(
        "both", "augment with mirror images: left-right, or up-down as well"
    )
    quarter_turns: bool = setting(True, "augment with turns by 90 degrees")
    rotation_degrees: float = setting(
        15.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.1, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    shift: float = setting(0.05, "augment with shifts up to this share of the side", ge=0, le=0.5)
    colour: float = setting(
        0.0, "augment photographs with gains and offsets per colour up to this; 0 for label maps", ge=0, le=1
    )

    @classmethod
    def for_photographs(cls, settings: Mapping[str, Any] | None = None) -> Self:
        """The settings for photographs, whose colours differ from camera to camera, with single ones on top.

        Raises:
            UnknownKeyError, InvalidValueError: as ``resolve``.
        """
        return cls.resolve("grader", settings={"colour": PHOTO_COLOUR, **(settings or {})})
