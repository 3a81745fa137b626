"""Does a photograph that was painted in the manner of another one have its colours, and still the vessels of its map?

    python benchmarks/styles.py TRANSLATOR --styles FOLDER --data PATH [--segmenter STAGE] [--plain TRANSLATOR]
                                [--picture styles.png]

Iqbal and Ali 2018's style transfer, measured: one label map of a held-back eye is painted in the manner of eight
photographs of ``FOLDER``. How far apart the colours of two photographs are is the distance of two normal distributions in
CIELAB inside the fields of view (Dowson and Landau 1982, Journal of Multivariate Analysis 12:450, the squared 2-Wasserstein
distance; here its root, in ΔE). Told for each style photograph: of the painting, and of all training photographs together.
With ``--segmenter``, Dice of what it finds on the paintings against the map, beside that on paintings of the same map by
``--plain``, a translator that learnt no style (not given: ``TRANSLATOR`` itself, told no style).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm
from skimage.color import rgb2lab
from torch import Tensor

from retina_core import Registry, open_dataset
from retina_core.data.pictures import SUFFIXES
from retina_core.data.prepare import prepare_sample
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.roles import ImageTranslator
from retina_core.style_photo import read_style
from retina_core.vessel_finder import VesselFinder

STYLES = 8
CHANNEL = "vessel"


class Colours(NamedTuple):
    """A normal distribution of colours in CIELAB."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, photo: NDArray[np.float64], inside: NDArray[np.bool_]) -> Colours:
        """Of a photograph (h w 3) in [0, 1], or of several above each other, where it is inside (h w)."""
        lab = rgb2lab(photo)[inside]  # n 3
        return cls(lab.mean(0), np.cov(lab, rowvar=False))

    def distance(self, other: Colours) -> float:
        """√(|m - n|² + tr(A + B - 2 √(A B))), in ΔE."""
        shared = np.real(sqrtm(self.covariance @ other.covariance))
        spread = np.trace(self.covariance + other.covariance - 2 * shared)
        return float(np.sqrt(np.square(self.mean - other.mean).sum() + max(spread, 0.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("translator", type=Path)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--segmenter", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--map", type=int, default=0, help="which held-back eye's")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    registry = Registry.discover()
    stage = loaded(asked.translator, registry)
    plain = loaded(asked.plain, registry) if asked.plain else stage
    split = open_dataset(asked.data).split(seed=0)
    eye = prepare_sample(split.test.samples[asked.map], stage.channels, stage.resolution)
    labels = torch.from_numpy(eye.labels > 127).float()[None]  # 1 k h w
    fov = torch.from_numpy(eye.fov > 127).float()[None]  # 1 1 h w
    training = [prepare_sample(one, (), stage.resolution) for one in split.train.samples]
    usual = Colours.of(
        np.concatenate([hwc(torch.from_numpy(one.photo).double() / 255) for one in training]),
        np.concatenate([one.fov[0] > 127 for one in training]),
    )
    files = sorted(path for path in asked.styles.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = files[:: max(1, len(files) // STYLES)][:STYLES]
    apart, shown = [], []
    for path in files:
        photo = read_style(path, stage).photo  # c h w
        painted = stage.translate(labels, fov, rngs=sample_rngs(0, 1, stream="styles"), style=photo[None])[0]
        given = Colours.of(hwc(photo.double()), photo.numpy().max(0) > 0)
        here = Colours.of(hwc(painted.double()), fov[0, 0].numpy() > 0)
        apart.append((here.distance(given), usual.distance(given)))
        shown.append((photo, painted))
    told: dict[str, object] = {
        "styles": [path.name for path in files],
        "painted_to_style": [round(painted, 2) for painted, _ in apart],
        "training_to_style": [round(training, 2) for _, training in apart],
        "nearer_than_training": sum(painted < training for painted, training in apart),
    }
    if asked.segmenter:
        finder = VesselFinder.load(asked.segmenter, registry)
        unstyled = plain.translate(labels, fov, rngs=sample_rngs(0, 1, stream="styles"))[0]
        told["dice_styled"] = [round(dice(finder, painted, labels, fov, stage), 3) for _, painted in shown]
        told["dice_unstyled"] = round(dice(finder, unstyled, labels, fov, stage), 3)
        told["dice_real"] = round(dice(finder, torch.from_numpy(eye.photo) / 255, labels, fov, stage), 3)
    print(json.dumps(told, indent=2))
    if asked.picture:
        rows_shown = [torch.cat([pair[i] for pair in shown], dim=-1) for i in (0, 1)]
        sheet = (torch.cat(rows_shown, dim=-2) * 255).byte().numpy().transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(sheet)).save(asked.picture)


def loaded(folder: Path, registry: Registry) -> ImageTranslator:
    """The translator of a stage folder."""
    stage = load_stage(folder, role="image-translator", registry=registry)
    assert isinstance(stage, ImageTranslator)
    return stage


def hwc(photo: Tensor) -> NDArray[np.float64]:
    """(c h w) -> (h w c)."""
    return np.asarray(photo.permute(1, 2, 0).contiguous().numpy(), np.float64)


def dice(finder: VesselFinder, photo: Tensor, labels: Tensor, fov: Tensor, stage: ImageTranslator) -> float:
    """Of the vessels found on a photograph (c h w) and those of its map (1 k h w), inside the fov (1 1 h w)."""
    inside = fov[0, 0].numpy() > 0
    picture = np.ascontiguousarray((photo * 255).round().byte().permute(1, 2, 0).numpy())
    found = finder.find(picture, inside)
    wanted = (labels[0, stage.channels.index(CHANNEL)].numpy() > 0) & inside
    return float(2 * (found & wanted).sum() / max(found.sum() + wanted.sum(), 1))


if __name__ == "__main__":
    main()
