"""The numbers of pix2pix, of SynthMed's second stage and of pix2pixHD, and ours for twenty photographs and two cores."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from retina_core.config import PerceptualConfig, PowerOfTwo, SettingRow, setting

ISOLA = "Isola et al. 2017"
WANG = "Wang et al. 2018"

HD_DEFAULTS: Mapping[str, Any] = {
    "max_width": 1024,
    "dropout": 0.0,
    "gan_loss": "least_squares",
    "l1_weight": 0.0,
}
"""Where the defaults of ``variant=hd`` are others (Wang et al. 2018, sections 3 and 4, and appendix)."""

HD_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {
        "resolution": 256,
        "seen_images": 1_600,
        "batch_size": 1,
        "learning_rate": 5e-4,
        "discriminator_learning_rate": 2e-4,
        "rate_decay": 0.5,
        "average_half_life": 200,
        "width": 16,
        "max_width": 128,
        "discriminator_width": 16,
        "downsamplings": 2,
        "blocks": 4,
        "l1_weight": 10.0,
    },
    "standard": {
        "resolution": 512,
        "seen_images": 20_000,
        "batch_size": 1,
        "learning_rate": 2e-4,
        "rate_decay": 0.5,
        "width": 32,
        "max_width": 512,
        "discriminator_width": 32,
        "downsamplings": 3,
    },
    "paper": {
        "resolution": 1024,
        "seen_images": 595_000,
        "rate_decay": 0.5,
        "upsampling": "transposed",
        "average_half_life": 0,
        "rotation_degrees": 0.0,
        "scale": 0.0,
    },
}
"""The presets of ``variant=hd``. Each names at least what the preset of that name names without it.

The paper's global generator halves four times, down to 32 x 64 px: fewer times where the photographs are smaller, because
vessels have no other way through it.
"""


class Pix2PixConfig(PerceptualConfig):
    """What can be set about ``pix2pix``."""

    resolution: PowerOfTwo = setting(256, "side of the photographs", unit="px", ge=32, le=2048, source=ISOLA)
    variant: Literal["unet", "hd"] = setting(
        "unet", "pix2pix's own U-Net, or pix2pixHD, which has presets of its own", source=f"{ISOLA}; {WANG}"
    )
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
    rate_decay: float = setting(
        0.0,
        "last share of the training (hd: of each of its two halves), in which both step sizes fall to a fiftieth",
        ge=0,
        le=1,
        source=f"{WANG}, section 4: 0.5",
    )
    rotation_degrees: float = setting(
        10.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.05, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    width: int = setting(
        64,
        "generator's features at half resolution, doubled at each coarser one; hd: half as many at full resolution",
        ge=4,
        le=512,
    )
    max_width: int = setting(
        512, "most features of any layer", ge=4, le=2048, source=f"{ISOLA}, section 6.1.1"
    )
    dropout: float = setting(
        0.5,
        "share of features dropped, the noise: without it a photograph is a function of its map",
        ge=0,
        lt=1,
        source=f"{ISOLA}, section 6.1.1",
    )
    upsampling: Literal["resize", "transposed"] = setting("resize", "how the decoder doubles", source=ISOLA)
    discriminator_width: int = setting(64, "discriminator's first features", ge=4, le=512, source=ISOLA)
    receptive_field: Literal["1", "16", "70", "image"] = setting(
        "70",
        "side of the patches that the discriminator judges; hd: 16 or 70",
        unit="px",
        source=f"{ISOLA}, section 4.4",
    )
    gan_loss: Literal["logistic", "least_squares"] = setting("logistic", "the adversarial loss", source=ISOLA)
    gan_weight: float = setting(1.0, "weight of the adversarial loss", ge=0, source=ISOLA)
    l1_weight: float = setting(
        100.0, "weight of the distance to the true photograph", ge=0, source=f"{ISOLA}, eq. 4"
    )
    feature_weight: float = setting(
        10.0, "hd: weight of matching the discriminators' features", ge=0, source=f"{WANG}, eq. 4 and 5"
    )
    downsamplings: int = setting(
        4,
        "hd: halvings inside the global generator",
        ge=1,
        le=8,
        validate_default=True,
        source=f"{WANG}, appendix",
    )
    blocks: int = setting(
        9, "hd: residual blocks of the global generator", ge=1, le=64, source=f"{WANG}, appendix"
    )
    local_blocks: int = setting(
        3, "hd: residual blocks of the local enhancer", ge=1, le=64, source=f"{WANG}, appendix"
    )
    discriminators: int = setting(
        3,
        "hd: how many, each at half the size of the one before; the first waits for the local enhancer",
        ge=2,
        le=4,
        source=f"{WANG}, section 3.2",
    )
    global_share: float = setting(
        0.5,
        "hd: first share of the training, in which the global generator learns alone at half resolution",
        ge=0,
        lt=1,
        source=f"{WANG}, section 3.2; 200 of 300 epochs in the released code",
    )
    enhancer_share: float = setting(
        0.05,
        "hd: next share, in which the local enhancer learns while the global generator rests; then both learn",
        ge=0,
        lt=1,
        validate_default=True,
        source=f"{WANG}, section 3.2; 10 of 100 epochs in the released code",
    )

    architecture: ClassVar[tuple[str, ...]] = (
        *("variant", "width", "max_width", "upsampling", "receptive_field", "discriminator_width"),
        *("downsamplings", "blocks", "local_blocks", "discriminators"),
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

    @classmethod
    def resolve(cls, owner: str, preset: str = "standard", settings: Mapping[str, Any] | None = None) -> Self:
        """As ever, where ``variant=hd`` has presets of its own under the same names."""
        chosen = dict(settings or {})
        if chosen.get("variant") == "hd":
            chosen = {**HD_PRESETS.get(preset, {}), **chosen}
        return super().resolve(owner, preset, chosen)

    @classmethod
    def describe(cls) -> Iterator[SettingRow]:
        """Each setting; where ``variant=hd`` has other numbers, its meaning ends with them."""
        for row in super().describe():
            numbers = {"default": HD_DEFAULTS, **HD_PRESETS}
            others = [f"{name} {values[row.name]}" for name, values in numbers.items() if row.name in values]
            yield row._replace(meaning=f"{row.meaning}; hd: {', '.join(others)}") if others else row

    @model_validator(mode="before")
    @classmethod
    def _hd_defaults(cls, values: Any) -> Any:
        """``variant=hd`` begins from the defaults of its own paper."""
        hd = isinstance(values, Mapping) and values.get("variant") == "hd"
        return {**HD_DEFAULTS, **values} if hd else values

    @field_validator(
        "feature_weight",
        "downsamplings",
        "blocks",
        "local_blocks",
        "discriminators",
        "global_share",
        "enhancer_share",
    )
    @classmethod
    def _hd_alone(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("variant") == "unet" and value != cls.model_fields[str(info.field_name)].default:
            raise ValueError("it is a setting of variant=hd alone")
        return value

    @field_validator("receptive_field")
    @classmethod
    def _hd_patches(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("variant") == "hd" and value not in {"16", "70"}:
            raise ValueError("variant=hd judges patches of 16 or 70 px, at several sizes of the photograph")
        return value

    @field_validator("downsamplings")
    @classmethod
    def _room_to_halve(cls, value: int, info: ValidationInfo) -> int:
        """The global generator works at half the resolution; residual blocks reflect, which takes 2 px."""
        resolution = info.data.get("resolution", 0)
        if info.data.get("variant") == "hd" and resolution and resolution // 2 >> value < 2:
            most = resolution.bit_length() - 3
            raise ValueError(f"at {resolution} px, of which hd halves half, at most {most}")
        return value

    @field_validator("enhancer_share")
    @classmethod
    def _both_learn(cls, value: float, info: ValidationInfo) -> float:
        if value + info.data.get("global_share", 0.0) >= 1:
            raise ValueError("with global_share it leaves nothing of the training in which both learn")
        return value
