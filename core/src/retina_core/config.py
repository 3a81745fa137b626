"""Typed settings: frozen models whose fields carry type, bound, meaning, unit and source (no torch).

A stage's config is a subclass of ``StageConfig`` (or, where it learns, ``LearningConfig``). Presets are named
sets of values that depart from the defaults; ``resolve`` puts preset and single settings together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from retina_core import listed
from retina_core.errors import InvalidValueError, UnknownKeyError, UnknownPresetError

PRESETS = ("quick", "standard", "paper")
PERCEPTUAL = "Park et al. 2019, arXiv 1903.07291"
ADA = "Karras et al. 2020, arXiv 2006.06676"


def setting(default: Any, meaning: str, *, unit: str = "", source: str = "", **bounds: Any) -> Any:
    """A config field: its default, one line of meaning, its unit, and the paper's section or a measurement."""
    return Field(default, description=meaning, json_schema_extra={"unit": unit, "source": source}, **bounds)


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two")
    return value


PowerOfTwo = Annotated[int, AfterValidator(_power_of_two)]
"""An integer whose only factor is two, such as a GAN's resolution."""


class SettingRow(NamedTuple):
    """One setting as ``retina show`` prints it."""

    name: str
    type: str
    default: object
    presets: dict[str, object]
    meaning: str
    unit: str
    source: str


class StageConfig(BaseModel):
    """What can be set about a stage. Unknown keys are refused, values are checked, instances never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {name: {} for name in PRESETS}
    """Preset -> the settings in which it departs from the defaults; a subclass names all of ``PRESETS``.

    A stage that ships a starter has one more, ``starter``: what its starter was trained with.
    """
    judging: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Preset -> the settings in which it is another where a segmenter judges synthetic pairs.

    It is then trained anew for each regime and seed, six times in ``standard``, and at the pairs' size.
    """
    architecture: ClassVar[tuple[str, ...]] = ()
    """Settings that shape the weights: a training that begins with another stage's weights takes them from there."""

    @classmethod
    def resolve(cls, owner: str, preset: str = "standard", settings: Mapping[str, Any] | None = None) -> Self:
        """The config of ``owner`` with a preset's values and then single settings (text or typed) on top.

        Raises:
            UnknownPresetError, UnknownKeyError, InvalidValueError: each names ``owner`` and what would do.
        """
        if preset not in cls.presets:
            raise UnknownPresetError(owner, preset, cls.presets)
        for key in settings or {}:
            if key not in cls.model_fields:
                raise UnknownKeyError(owner, key, cls.model_fields)
        return cls._checked(owner, {**cls.presets[preset], **(settings or {})})

    @classmethod
    def restore(cls, owner: str, values: Mapping[str, Any]) -> Self:
        """The config that ``config.json`` holds.

        Raises:
            UnknownKeyError, InvalidValueError: the file is of another version, or damaged.
        """
        return cls._checked(owner, values)

    @classmethod
    def _checked(cls, owner: str, values: Mapping[str, Any]) -> Self:
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _translated(owner, cls, error) from None

    @classmethod
    def describe(cls) -> Iterator[SettingRow]:
        """Each setting with type, default, presets' values, meaning, unit and source.

        Where a preset is another for judging pairs, the meaning ends with its values there.
        """
        for name, field in cls.model_fields.items():
            extra = cast(dict[str, str], field.json_schema_extra or {})
            in_presets = {preset: values[name] for preset, values in cls.presets.items() if name in values}
            judging = [f"{preset} {values[name]}" for preset, values in cls.judging.items() if name in values]
            told = f"; judging pairs: {', '.join(judging)}" if judging else ""
            yield SettingRow(
                name,
                _type_name(field),
                field.get_default(call_default_factory=True),
                in_presets,
                f"{field.description or ''}{told}",
                extra.get("unit", ""),
                extra.get("source", ""),
            )


class LearningConfig(StageConfig):
    """What every stage that learns can be told."""

    resolution: int = setting(256, "side of the square pictures that it works at", unit="px", ge=8, le=4096)
    seen_images: int = setting(100_000, "training length: images shown to the network", unit="images", ge=1)
    batch_size: int = setting(
        8, "images in one step, over all processes together", unit="images", ge=1, le=4096
    )
    learning_rate: float = setting(2e-4, "step size (a GAN's generator)", gt=0, le=1)
    average_half_life: int = setting(
        2_000,
        "seen images after which an old weight counts half in the average; 0: no average",
        unit="images",
        ge=0,
    )
    clip_norm: float = setting(0.0, "gradients longer than this are scaled down to it; 0: never", ge=0)
    flips: Literal["none", "horizontal", "both"] = setting(
        "horizontal", "augment with mirror images: left-right, or up-down as well"
    )
    quarter_turns: bool = setting(False, "augment with turns by 90 degrees")
    rotation_degrees: float = setting(
        0.0, "augment with rotations up to this angle", unit="degrees", ge=0, le=180
    )
    scale: float = setting(0.0, "augment with sizes from 1/(1+scale) to 1+scale", ge=0, le=1)
    shift: float = setting(0.0, "augment with shifts up to this share of the side", ge=0, le=0.5)
    elastic: float = setting(
        0.0, "augment with smooth random displacements of this size", unit="px", ge=0, le=64
    )
    colour: float = setting(
        0.0, "augment photographs with gains and offsets per colour up to this", ge=0, le=1
    )
    preview_every: int = setting(
        0, "seen images between two previews; 0: a tenth of the training", unit="images", ge=0
    )
    checkpoint_every: int = setting(
        0, "seen images between two checkpoints; 0: a tenth of the training", unit="images", ge=0
    )


class GANConfig(LearningConfig):
    """What every adversarial stage can be told besides."""

    discriminator_learning_rate: float = setting(2e-4, "step size of the discriminator", gt=0, le=1)
    beta1: float = setting(0.5, "Adam's decay of the mean gradient", ge=0, lt=1)
    beta2: float = setting(0.999, "Adam's decay of the squared gradient", ge=0, lt=1)
    rate_decay: float = setting(
        0.0, "last share of the training, in which both step sizes fall in a line to a fiftieth", ge=0, le=1
    )


class AdaptiveConfig(GANConfig):
    """What an adversarial stage can be told that shows its discriminator changed maps (``training.adaptive``)."""

    ada: Literal["off", "adaptive", "fixed"] = setting(
        "off",
        "show the discriminator changed maps, real and fake: never, as often as it overfits, or at one strength",
        source=ADA,
    )
    ada_target: float = setting(
        0.6,
        "overfitting above which the strength rises, else it falls",
        ge=0,
        le=1,
        source=f"{ADA}, section 3",
    )
    ada_strength: float = setting(
        0.0, "probability of each change: where it starts, or the one strength that is kept", ge=0, le=1
    )
    ada_limit: float = setting(
        0.8,
        "strength that adaptation never passes; beyond it changes leak into what is drawn",
        ge=0,
        le=1,
        source=f"{ADA}, section 2.2",
    )
    ada_images: int = setting(
        20_000,
        "seen images in which the strength can go from 0 to 1",
        unit="images",
        ge=1,
        source=f"{ADA}: 500,000",
    )
    held_out: int = setting(
        0,
        "training samples that are never trained on, to measure overfitting where the loss has no centre",
        unit="samples",
        ge=0,
        source=f"{ADA}, section 3, r_v",
    )


class PerceptualConfig(GANConfig):
    """What a stage can be told that holds its photographs against true ones in borrowed features (``perceptual``)."""

    perceptual: Literal["none", "segmenter", "vgg19", "random-vgg19"] = setting(
        "none",
        "features in which painted photographs are held against true ones: none; those of a segmenter, fitted on the "
        "training samples first; those of VGG-19, whose weights are a file; or those of a VGG-19 of random weights",
        source=f"{PERCEPTUAL}: VGG-19",
    )
    perceptual_weight: float = setting(
        10.0, "weight of the distance in these features", gt=0, source=f"{PERCEPTUAL}, appendix A"
    )
    perceptual_segmenter: str = setting(
        "", "segmenter: its name; empty: the one that is installed, or unet among several"
    )
    perceptual_path: str = setting(
        "",
        "vgg19: torchvision's vgg19-dcbb9e9d.pth, or own weights of VGG-19 as .safetensors; empty: in torch's cache",
    )
    perceptual_download: bool = setting(
        False, "vgg19: download the file (548 MiB) into torch's cache where it is not there"
    )

    @field_validator("perceptual_segmenter", "perceptual_path", "perceptual_download")
    @classmethod
    def _where_it_is_read(cls, value: Any, info: ValidationInfo) -> Any:
        reader = "segmenter" if info.field_name == "perceptual_segmenter" else "vgg19"
        if value and info.data.get("perceptual", reader) != reader:
            raise ValueError(f"it is a setting of perceptual={reader} alone")
        return value


class DataConfig(StageConfig):
    """What can be set about the data (``--set data.KEY=VALUE``)."""

    channels: Annotated[
        tuple[str, ...], BeforeValidator(listed.words), AfterValidator(listed.channel_names)
    ] = setting((), "label channels to use, with commas between; empty: all that every sample has")
    exclude: str = setting(
        "", "a text file that names samples to leave out: one id per line, # begins a comment"
    )
    fov: Literal["full", "derive"] = setting(
        "full", "field of view of a plain folder without fov/: the whole frame, or found in each photograph"
    )
    test_share: float = setting(
        0.2, "share of patients held out where there is no official split", gt=0, lt=1
    )
    train_eyes: int = setting(
        0, "annotated training eyes to learn from, a smaller number's among a larger one's; 0: all", ge=0
    )
    phantom_count: int = setting(
        60, "phantom eyes to draw, four in five of them for training", ge=2, le=1_000_000
    )
    phantom_px: int = setting(256, "side of a phantom photograph", unit="px", ge=32, le=4096)
    phantom_series: Literal["training", "starter"] = setting(
        "training",
        "phantoms to train on: the usual ones, or those kept for starters; both have the same test eyes",
    )
    phantom_grades: Annotated[
        tuple[int, ...], BeforeValidator(listed.numbers), AfterValidator(listed.grades)
    ] = setting(
        (),
        "grades of retinopathy that phantoms have, with commas between, dealt out in turn from the highest on, one named "
        "twice twice as often; empty: healthy eyes without a grade",
        source="ICDR, Wilkinson et al. 2003",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **{name: {} for name in PRESETS},
        "quick": {"phantom_px": 128},
        "starter": {"phantom_series": "starter", "phantom_count": 1_250, "phantom_px": 128},
    }


Precision = Literal["auto", "bf16", "fp32"]


def _type_name(field: FieldInfo) -> str:
    """The type of a field as a reader would write it, bounds included: ``int >= 8, <= 4096``."""
    kind = getattr(field.annotation, "__name__", None)
    base = kind if kind and not getattr(field.annotation, "__args__", None) else str(field.annotation)
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{signs[k]} {v}" for m in field.metadata for k, v in _bounds_of(m) if k in signs]
    return " ".join([base.replace("typing.", ""), ", ".join(bounds)]).strip()


def _bounds_of(constraint: object) -> list[tuple[str, object]]:
    found = ((name, getattr(constraint, name, None)) for name in ("ge", "gt", "le", "lt"))
    return [(name, value) for name, value in found if value is not None]


def _translated(
    owner: str, cls: type[StageConfig], error: ValidationError
) -> UnknownKeyError | InvalidValueError:
    """pydantic's first complaint as one of ours."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UnknownKeyError(owner, key, cls.model_fields)
    reason = first["msg"].removeprefix("Value error, ")
    return InvalidValueError(owner, key, first["input"], reason[:1].lower() + reason[1:])
