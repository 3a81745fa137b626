"""Small sound files of every kind that retina reads, and the public way in which each is loaded."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from retina_core import generate, load_stage, open_dataset
from retina_core.data.prepare import prepare
from retina_core.formats.phantom_set import write_phantom_set
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import CARD, MODEL, PRIORS, SEEN, read_seen, sha256_of
from retina_core.formats.stage_folder import save_stage
from retina_core.registry import Registry
from retina_core.stages import LearningStage, Priors
from retina_core.training.checkpoint import Checkpoints
from retina_core.training.context import Learner
from retina_core.training.options import FitOptions
from retina_core.training.processes import Processes

TINY = {
    "label-generator:dcgan": {
        "resolution": 32,
        "latent": 4,
        "width": 4,
        "max_width": 8,
        "discriminator_width": 4,
    },
    "image-translator:pix2pix": {"resolution": 32, "width": 4, "max_width": 8, "discriminator_width": 4},
}
EXPERIMENT = """preset = "quick"
evaluator = ["unet"]
labels = "dcgan"
count = 4
seed = 1

[translator]
stage = "pix2pix"
resolution = 64
learning_rate = 0.001

[unet]
seen_images = 400

[data]
test_share = 0.25
channels = ["vessel"]
"""
PICTURES = {
    "grey.png": ("L", {}), "colour.png": ("RGB", {}), "deep.png": ("I;16", {}), "palette.png": ("P", {}),
    "photo.jpg": ("RGB", {"quality": 90}), "turned.jpg": ("RGB", {"exif": 6}), "ink.jpg": ("CMYK", {}),
    "grey.tif": ("L", {"compression": "tiff_lzw"}), "colour.tif": ("RGB", {}), "still.gif": ("P", {}),
    "moving.gif": ("P", {"save_all": True}), "photo.webp": ("RGB", {}), "photo.bmp": ("RGB", {}), "photo.ppm": ("RGB", {}),
    "photo.jp2": ("RGB", {}),
}  # fmt: skip


STAGE_FILES = tuple(
    f"{folder}/{name}"
    for folder in ("labels", "translator")
    for name in (CARD, CARD, CARD, MODEL, PRIORS, SEEN)
)
"""The card, which says most, comes more often."""


@dataclass(frozen=True)
class Target:
    """One kind of thing to be loaded."""

    name: str
    folder: Path
    files: tuple[str, ...]
    """What may be changed, relative to the folder."""
    load: Callable[[Path], object]
    weight: int = 1
    """How often it comes, beside the others."""
    resign: Callable[[Path], None] | None = None
    """Give changed files their right hashes, so that what is in them is looked at."""


def write_corpus(root: Path) -> list[Target]:
    """Write all originals and say how they are loaded."""
    registry = Registry.discover()
    (root / "outside").mkdir(parents=True)
    stages = _stages(root / "stages", registry)
    return [
        Target("stages", stages, STAGE_FILES, lambda f: _load_stages(f, registry), 6, _resign),
        _pair_set(root / "pairs", registry),
        *_tables(root / "tables", registry),
        *_pictures(root / "pictures", registry),
        _experiment(root / "experiment"),
        _checkpoint(root / "checkpoint", registry),
        _cache(root / "cache", registry),
    ]


def _new_stage(reference: str, registry: Registry) -> Any:
    spec = registry.stage(reference)
    config = registry.config_class(spec).resolve(spec.name, "quick", TINY[reference])
    torch.manual_seed(0)
    return registry.stage_class(spec)(config, ("vessel", "optic_disc"))


def _stages(root: Path, registry: Registry) -> Path:
    for reference, name in zip(TINY, ("labels", "translator"), strict=True):
        stage = _new_stage(reference, registry)
        stage.priors = Priors(
            fovs=torch.full((2, 1, 32, 32), 255, dtype=torch.uint8),
            shares={"vessel": 0.1, "optic_disc": 0.02},
            thresholds={"vessel": 0.5, "optic_disc": 0.4},
            speck_shares={"vessel": 0.001},
            grade_shares={0: 0.75, 3: 0.25},
        )
        seen = [f"{n:064x}" for n in range(3)]
        facts = {"data": ["corpus"], "phantom": True, "seed": 0}
        save_stage(
            stage,
            root / name,
            plugin=registry.plugin_of(registry.stage(reference)),
            seen=seen,
            provenance=facts,
        )
    return root


def _load_stages(folder: Path, registry: Registry) -> None:
    for name in ("labels", "translator"):
        read_seen(folder / name)
        load_stage(folder / name, registry=registry, device="cpu")
    out = folder / "out"
    options = FitOptions(device="cpu")
    generate(folder / "labels", folder / "translator", count=1, out=out, options=options, registry=registry)
    open_dataset(out, registry=registry)


def _resign(folder: Path) -> None:
    for name in ("labels", "translator"):
        path = folder / name / CARD
        try:
            card = json.loads(path.read_bytes())
            card["files"].update({file: sha256_of(folder / name / file) for file in (MODEL, PRIORS)})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # the card itself is the mutant
        path.unlink()
        path.write_text(json.dumps(card), encoding="utf-8", errors="surrogatepass")


def _pair_set(root: Path, registry: Registry) -> Target:
    write_phantom_set(root, 3, 32)
    (root / SEEN).write_text(json.dumps({"schema": 1, "fingerprints": ["0" * 64], "request": "r"}))

    def load(folder: Path) -> None:
        read_rows(folder)
        read_seen(folder)
        open_dataset(folder, registry=registry)

    pictures = ("images/000000.png", "labels/vessel/000001.png", "fov/000002.png")
    return Target("synthetic set", root, ("metadata.jsonl",) * 3 + pictures + (SEEN,), load, 3)


def _plain(root: Path, count: int = 3, *, side: int = 24) -> Path:
    for number in range(count):
        rng = np.random.default_rng(number)
        photo = rng.integers(60, 250, (side, side, 3), dtype=np.uint8)
        mask = np.zeros((side, side), np.uint8)
        mask[4:8, 3 : 12 + number] = 255
        for place, picture in (("images", photo), ("labels/vessel", mask)):
            (root / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / place / f"{number}.png")
    return root


def _tables(root: Path, registry: Registry) -> list[Target]:
    rows = [
        {"file_name": f"images/{n}.png", "vessel_file_name": f"labels/vessel/{n}.png", "grade": n, "patient": f"p {n}",
         "group": "h", "split": "test" if n == 2 else "train"}
        for n in range(3)
    ]  # fmt: skip
    for kind in ("jsonl", "csv"):
        _plain(root / kind)
        with (root / kind / f"metadata.{kind}").open("w", encoding="utf-8", newline="") as file:
            if kind == "jsonl":
                file.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)

    def load(folder: Path) -> None:
        open_dataset(folder, registry=registry).split()

    return [
        Target(f"metadata.{kind}", root / kind, (f"metadata.{kind}",), load, 3) for kind in ("jsonl", "csv")
    ]


def _pictures(root: Path, registry: Registry) -> list[Target]:
    """Each format as a photograph; the lossless ones as a label map too."""
    for name, (mode, options) in PICTURES.items():
        folder = _plain(root / "photo" / name, 2)
        (folder / "images/0.png").unlink()
        _save(folder / "images" / f"0.{name.rpartition('.')[2]}", _shades(mode), dict(options))
    masks = root / "mask"
    for name in ("mask.png", "mask.tif", "mask.gif"):
        folder = _plain(masks / name, 2)
        picture = Image.open(folder / "labels/vessel/0.png")
        (folder / "labels/vessel/0.png").unlink()
        picture.save(folder / f"labels/vessel/0.{name[5:]}")

    def load(folder: Path) -> None:
        open_dataset(folder, registry=registry)

    photos = [
        Target(f"photograph {name}", root / "photo" / name, (f"images/0.{name.rpartition('.')[2]}",), load)
        for name in PICTURES
    ]
    return photos + [
        Target(f"label {name}", masks / name, (f"labels/vessel/0.{name[5:]}",), load)
        for name in ("mask.png", "mask.tif", "mask.gif")
    ]


def _shades(mode: str) -> Image.Image:
    shades = np.random.default_rng(7).integers(60, 250, (24, 24, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(shades[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(shades).convert(mode)


def _save(path: Path, picture: Image.Image, options: dict[str, Any]) -> None:
    if turn := options.pop("exif", None):
        exif = Image.Exif()
        exif[0x0112] = turn
        options["exif"] = exif
    if options.get("save_all"):
        options["append_images"] = [picture.transpose(Image.Transpose.ROTATE_90)]
    picture.save(path, **options)


def _experiment(root: Path) -> Target:
    """The command itself, up to where it would open the data: those are an empty folder."""
    from retina_cli.main import main as command
    from retina_cli.session import Session
    from retina_core.errors import PathError

    (root / "nothing").mkdir(parents=True)
    (root / "nothing/.keep").write_text("")
    (root / "experiment.toml").write_text(EXPERIMENT)

    def load(folder: Path) -> None:
        import click

        (folder / "nothing/.keep").unlink()
        arguments = ["pipeline", str(folder / "experiment.toml"), "--data", str(folder / "nothing"), "--out"]
        try:
            command.main([*arguments, str(folder / "out")], standalone_mode=False, obj=Session())
        except PathError as error:
            if error.reason != "is an empty folder":
                raise
        except click.ClickException as error:
            raise PathError(folder, error.format_message(), "") from None  # one line too

    return Target("experiment.toml", root, ("experiment.toml",), load, 3)


def _checkpoint(root: Path, registry: Registry) -> Target:
    def learner() -> Learner:
        stage: LearningStage = _new_stage("label-generator:dcgan", registry)
        return Learner.of(stage, Processes())

    Checkpoints(root, "request").save(learner(), 64)
    template = learner()

    def load(folder: Path) -> None:
        Checkpoints(folder, "request").resume(template)

    files = ("checkpoints/latest.json", "checkpoints/0000000064/state.safetensors")
    return Target("checkpoint", root, files, load, 3)


def _cache(root: Path, registry: Registry) -> Target:
    eyes = open_dataset(_plain(root.parent / "eyes"), registry=registry)
    original = prepare(eyes, ("vessel",), 16, root)
    [file] = (path.relative_to(root) for path in root.rglob("*.safetensors"))

    def load(folder: Path) -> None:
        again = prepare(eyes, ("vessel",), 16, folder)
        if again.fingerprints != original.fingerprints or again.photos.shape != original.photos.shape:
            raise RuntimeError("a damaged cache was believed")

    return Target("cache", root, (str(file),), load)
