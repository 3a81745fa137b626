"""What a stage can be told that paints in the manner of photographs without annotations (no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import ValidationInfo, field_validator

from retina_core.config import PerceptualConfig, setting

STYLE = "Iqbal and Ali 2018"


class StyleConfig(PerceptualConfig):
    """Settings of style transfer: which photographs, and what their style is compared in and weighed by."""

    style_photos: str = setting(
        "",
        "photographs whose style is learnt, without annotations: a folder, of which each step draws one, or one file; "
        "empty: no style transfer",
        source=STYLE,
    )
    style_input: bool = setting(
        True,
        "with style_photos: the generator is told of the photograph's manner, so that --style gives it another; false: one "
        "manner for all, as in the paper",
        source=f"{STYLE}: false",
    )
    style_weight: float = setting(10.0, "weight of the style loss", ge=0, source=f"{STYLE}, eq. 11")
    content_weight: float = setting(1.0, "weight of the content loss", ge=0, source=f"{STYLE}, eq. 11")
    variation_weight: float = setting(100.0, "weight of the total variation", ge=0, source=f"{STYLE}, eq. 11")
    segmentation_weight: float = setting(
        1.0,
        "with style_photos: weight of what a frozen segmenter misses of the label map in the painted photograph; 0: none",
        ge=0,
        source=f"{STYLE}, eq. 12",
    )
    segmentation_segmenter: str = setting(
        "",
        "with style_photos: that segmenter's name; empty: the one that is installed, or unet among several",
    )

    @field_validator("style_photos")
    @classmethod
    def _needs_features(cls, value: str, info: ValidationInfo) -> str:
        """A style is compared in features, and which ones is never decided in silence."""
        if value and info.data.get("perceptual") == "none":
            raise ValueError(
                "a style is compared in features: set perceptual to vgg19, whose weights are a file, to random-vgg19 or to "
                "segmenter"
            )
        return value

    @property
    def transfers(self) -> bool:
        """Whether a style is learnt."""
        return bool(self.style_photos)

    def published(self) -> Self:
        """As a stage's folder holds it, which may be given away: the name of the photographs' folder, not its place."""
        name = Path(self.style_photos).name or "photographs"
        return self.model_copy(update={"style_photos": name}) if self.transfers else self
