"""The numbers of MI-GAN's segmentation, and ours for twenty photographs and two cores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from retina_core.config import GANConfig, setting

IQBAL = "Iqbal and Ali 2018"
MIDDLE_PX = 8
"""Side of the network's innermost maps where whole photographs are shown."""

SMALL: Mapping[str, Any] = {
    "batch_size": 4,
    "learning_rate": 1e-3,
    "average_half_life": 100,
    "rate_decay": 0.5,
    "width": 16,
    "max_width": 128,
    "critic_width": 8,
}
"""A network that two cores train in minutes; a larger step, since it is trained on a hundredth of the pictures. Batches of
one patch gave no more: without a critic a Dice of .681 on CHASE_DB1, batches of 4 .680 (three trainings each)."""


class MIGANSegmenterConfig(GANConfig):
    """What can be set about the segmenter ``migan``."""

    resolution: int = setting(
        512, "side to which photographs are brought", unit="px", ge=16, le=4096, source=IQBAL
    )
    patch_px: int = setting(
        256, "side of training patches; 0: whole photographs", unit="px", ge=0, le=4096, source=f"{IQBAL}: 0"
    )
    seen_images: int = setting(12_000, "training length: patches or photographs", unit="images", ge=1)
    batch_size: int = setting(4, "patches or photographs in one step", unit="images", ge=1, le=4096)
    learning_rate: float = setting(2e-4, "Adam's step size for the segmenter", gt=0, le=1, source=IQBAL)
    discriminator_learning_rate: float = setting(
        2e-4, "Adam's step size for the critic", gt=0, le=1, source=IQBAL
    )
    average_half_life: int = setting(
        600,
        "seen images after which an old weight counts half in the average; 0: no average",
        unit="images",
        ge=0,
    )
    critic: Literal["none", "pixel", "patch10", "patch80", "image"] = setting(
        "image",
        "who judges maps while training: nobody, or a network that sees a pixel, 10 px, 80 px, or all of what is learnt from",
        source=f"{IQBAL}, table 1",
    )
    critic_width: int = setting(
        32,
        "critic's features after its first layer, at most 16 times as many further in",
        ge=2,
        le=256,
        source=IQBAL,
    )
    generator_updates: int = setting(
        2, "updates of the segmenter for each of the critic", ge=1, le=16, source=IQBAL
    )
    segmentation_weight: float = setting(
        10.0, "weight of the segmentation loss beside the critic's verdict", gt=0, source=f"{IQBAL}: lambda"
    )
    width: int = setting(64, "features at the finest sizes", ge=2, le=512, source=f"{IQBAL}: 64 at 256 px")
    max_width: int = setting(
        512,
        "features from 16 px inward, halved with each doubling of the size",
        ge=2,
        le=2048,
        source=f"{IQBAL}: 512",
    )
    skips: Literal["even", "all"] = setting(
        "all",
        "sizes at which the encoder's maps are joined to the decoder's: every other one from the middle, or all",
        source=f"{IQBAL}: even",
    )
    flips: Literal["none", "horizontal", "both"] = setting("both", "augment with mirror images")
    quarter_turns: bool = setting(True, "augment with turns by 90 degrees")
    rotation_degrees: float = setting(
        15.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180, source=f"{IQBAL}: yes"
    )
    test_turns: bool = setting(False, "average the eight flips and turns when segmenting")

    architecture: ClassVar[tuple[str, ...]] = ("width", "max_width", "skips")
    judging: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"patch_px": 96},
        "standard": {**SMALL, "patch_px": 128, "seen_images": 2_400},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {**SMALL, "patch_px": 128, "seen_images": 2_400},
        "standard": {},
        "paper": {
            "patch_px": 0,
            "seen_images": 40_000,
            "batch_size": 1,
            "average_half_life": 0,
            "skips": "even",
            "flips": "horizontal",
            "quarter_turns": False,
            "rotation_degrees": 180.0,
        },
    }

    @property
    def shown_px(self) -> int:
        """Side of what a training step sees."""
        return self.patch_px if 0 < self.patch_px < self.resolution else self.resolution

    @model_validator(mode="after")
    def _critic_fits(self) -> Self:
        seen_px = {"patch10": 10, "patch80": 80}.get(self.critic, 1)
        if self.shown_px < seen_px:
            raise ValueError(
                f"critic={self.critic} looks at {seen_px} px, and {self.shown_px} px are learnt from at a time; "
                f"set resolution and patch_px to {seen_px} or more, or another critic"
            )
        return self

    @model_validator(mode="after")
    def _middle_has_a_deviation(self) -> Self:
        halved = (1 << (self.resolution.bit_length() - 1)) // MIDDLE_PX
        if self.batch_size == 1 and self.shown_px <= halved:
            raise ValueError(
                f"one patch of {self.shown_px} px is a single pixel in the middle of the network, of which batch norm has no "
                f"deviation; set patch_px above {halved}, or batch_size to 2 or more"
            )
        return self
