"""The numbers of U-Net, and ours for photographs of the retina."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from retina_core.config import LearningConfig, setting

SHORT: Mapping[str, Any] = {
    "batch_size": 1,
    "average_half_life": 60,
    "width": 24,
    "depth": 3,
    "dice_weight": 1.0,
    "rotation_degrees": 0.0,
    "scale": 0.0,
    "elastic": 0.0,
    "colour": 0.1,
}
"""A training of minutes: one photograph or patch to a step, and nothing resampled.

CHASE_DB1 at 128 px gave a Dice of .712 so, .665 with two to a step, turned, scaled, bent, and 16 features at full size.
"""


class UNetConfig(LearningConfig):
    """What can be set about ``unet``."""

    resolution: int = setting(768, "side to which photographs are brought", unit="px", ge=16, le=4096)
    patch_px: int = setting(256, "side of training patches; 0: whole photographs", unit="px", ge=0, le=4096)
    seen_images: int = setting(12_000, "training length: patches or photographs", unit="images", ge=1)
    batch_size: int = setting(2, "patches or photographs in one step", unit="images", ge=1, le=4096)
    learning_rate: float = setting(2e-3, "AdamW's highest step size, from which a cosine falls", gt=0, le=1)
    warm_up: float = setting(0.05, "share of the training in which the step size rises", ge=0, le=0.5)
    weight_decay: float = setting(1e-2, "AdamW's pull of the weights towards zero", ge=0, le=1)
    average_half_life: int = setting(
        600,
        "seen images after which an old weight counts half in the average; 0: no average",
        unit="images",
        ge=0,
    )
    width: int = setting(16, "features at full size, doubled at each halving", ge=2, le=256)
    depth: int = setting(4, "halvings", ge=1, le=6, source="Ronneberger et al. 2015, figure 1")
    dice_weight: float = setting(0.3, "weight of the Dice loss beside cross-entropy", ge=0)
    flips: Literal["none", "horizontal", "both"] = setting("both", "augment with mirror images")
    quarter_turns: bool = setting(True, "augment with turns by 90 degrees")
    rotation_degrees: float = setting(
        15.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.15, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    elastic: float = setting(
        1.0, "augment with smooth random displacements of this size", unit="px", ge=0, le=64
    )
    colour: float = setting(
        0.2, "augment photographs with gains and offsets per colour up to this", ge=0, le=1
    )
    test_turns: bool = setting(True, "average the eight flips and turns when segmenting")

    architecture: ClassVar[tuple[str, ...]] = ("width", "depth")
    # Phantoms of 128 px: whole pictures REAL .812, patches of 96 px .829 with 63 % of the work, of 64 px .802.
    judging: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"patch_px": 96, "learning_rate": 3e-3},
        "standard": {**SHORT, "patch_px": 128, "seen_images": 2_400},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {**SHORT, "resolution": 512, "seen_images": 1_200},
        "standard": {},
        "paper": {
            "width": 64,
            "resolution": 512,
            "patch_px": 0,
            "batch_size": 1,
            "dice_weight": 0.0,
            "average_half_life": 0,
            "test_turns": False,
        },
    }
