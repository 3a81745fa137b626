"""How different are the eyes that a translator paints over one and the same label map?

    python benchmarks/variety.py TRANSLATOR [--data PATH] [--picture styles.png]

Over label maps of held-back eyes, each painted in ``STYLES`` styles: the deviation of an eye's mean colour from one
painting to the next, beside that from one real eye to the next, and the mean difference of two paintings of one map,
pixel by pixel, beside that of two paintings of one map in one style (noise alone), where the translator takes a style. In
steps of 255, inside the field of view.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retina_core import Registry, open_dataset
from retina_core.config import DataConfig
from retina_core.data.prepare import prepare_sample
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.roles import ImageTranslator

MAPS, STYLES = 8, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("translator", type=Path)
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    stage = load_stage(asked.translator, role="image-translator", registry=Registry.discover())
    assert isinstance(stage, ImageTranslator)
    eyes = open_dataset(asked.data, config=DataConfig(phantom_px=stage.resolution)).split(seed=0).test
    prepared = [prepare_sample(eye, stage.channels, stage.resolution) for eye in eyes.samples[:MAPS]]
    labels = torch.stack([torch.from_numpy(eye.labels) > 127 for eye in prepared]).float()  # b k h w
    fov = torch.stack([torch.from_numpy(eye.fov) > 127 for eye in prepared]).float()  # b 1 h w
    real = torch.stack([torch.from_numpy(eye.photo) for eye in prepared]).float()  # b c h w
    painted = torch.stack(
        [paint_in_styles(stage, m[None], f[None]) for m, f in zip(labels, fov, strict=True)]
    )
    eyes_of = zip(labels, fov, real, strict=True)
    one_style = [paint_in_styles(stage, m[None], f[None], p[None] / 255) for m, f, p in eyes_of]
    told = {
        "mean_colour_sd_real_eyes": mean_colour(real, fov).std(0).tolist(),
        "mean_colour_sd_paintings_of_one_map": mean_colour(painted, fov[:, None]).std(1).mean(0).tolist(),
        "difference_of_two_paintings_of_one_map": difference(painted, fov),
        "difference_in_one_style": difference(torch.stack(one_style), fov) if stage.takes_style else None,
    }
    print(json.dumps(told, indent=2))
    if asked.picture:
        rows = [torch.cat([*row[:8]], dim=-1) for row in painted[:4]]
        sheet = torch.cat(rows, dim=-2).byte().numpy().transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(sheet)).save(asked.picture)


def paint_in_styles(
    stage: ImageTranslator, labels: Tensor, fov: Tensor, manner: Tensor | None = None
) -> Tensor:
    """One map (1 k h w) painted ``STYLES`` times: (s c h w) in 0 to 255; ``manner``: all in that of one photograph."""
    count = STYLES
    style = None if manner is None else manner.expand(count, -1, -1, -1)
    photos = stage.translate(
        labels.expand(count, -1, -1, -1),
        fov.expand(count, -1, -1, -1),
        rngs=sample_rngs(0, count, stream="variety"),
        style=style,
    )
    return photos * 255


def mean_colour(photos: Tensor, fov: Tensor) -> Tensor:
    """Mean over the field of view: (... c h w) -> (... c)."""
    return (photos * fov).sum((-2, -1)) / fov.sum((-2, -1))


def difference(photos: Tensor, fov: Tensor) -> float:
    """Mean |difference| of two of the paintings (b s c h w) of each map, inside its field of view (b 1 h w)."""
    pairs = itertools.combinations(range(photos.shape[1]), 2)
    apart = torch.stack([(photos[:, i] - photos[:, j]).abs() for i, j in pairs], dim=1)  # b p c h w
    return float(mean_colour(apart, fov[:, None]).mean())


if __name__ == "__main__":
    main()
