"""How far photographs painted in the fast mode are from float32's, on trained weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch

from retina_core import fit, open_dataset
from retina_core.data.prepare import prepare
from retina_core.data.sample import Dataset
from retina_core.fast_mode import fast, make_ready
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.roles import ImageTranslator

GOAL: Final = 1.0
"""Of 255, in the mean."""

SHORTER: Mapping[str, Mapping[str, Any]] = {
    "pix2pix": {},
    "spade": {"seen_images": 800},
    "migan": {"seen_images": 800},
}
"""Translators, and in what a training for this departs from the quick preset where none is shipped trained."""


def fast_mode_difference(name: str, pictures: int = 16) -> dict[str, Any]:
    """In 1/255; of a stage that its plugin ships trained, or else of one trained here, on phantoms."""
    registry = Registry.discover()
    split = open_dataset("phantom", registry=registry).split(0)
    with tempfile.TemporaryDirectory() as folder:
        weights, trained = _trained(name, split.train, Path(folder), registry)
        exact, quick = (
            cast(ImageTranslator, load_stage(trained, registry=registry, device="cpu")) for _ in range(2)
        )
    exact.eval_mode()
    quick.eval_mode()
    samples = prepare(split.test.samples, exact.channels, exact.resolution)
    labels, fov = (
        torch.from_numpy(planes[:pictures].copy()).float().div(255).gt(0.5).float()
        for planes in (samples.labels, samples.fov)
    )
    make_ready(quick, "bf16")
    with fast(exact, "fp32"):
        right = exact.translate(labels, fov, rngs=sample_rngs(0, len(labels))).float()
    with fast(quick, "bf16"):
        near = quick.translate(labels, fov, rngs=sample_rngs(0, len(labels))).float()
    difference = (right - near).abs() * 255
    mean = round(float(difference.mean()), 4)
    return {
        "weights": weights,
        "photographs": len(labels),
        "image_px": exact.resolution,
        "mean_of_255": mean,
        "largest_mean_of_255": round(float(difference.mean((1, 2, 3)).max()), 4),
        "goal": GOAL,
        "reached": mean < GOAL,
    }


def _trained(name: str, samples: Dataset, folder: Path, registry: Registry) -> tuple[str, Path]:
    """What the weights are, and the folder of the stage that has them."""
    if starter := registry.starter(registry.stage(name, "image-translator")):
        return "the starter", starter
    settings = SHORTER[name]
    fit(f"image-translator:{name}", samples, folder, preset="quick", settings=settings, registry=registry)
    return " ".join(["preset quick", *(f"{key}={value}" for key, value in settings.items())]), folder
