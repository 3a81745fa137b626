"""What is measured of progressive growing: its training step at the full size, and drawing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import usual
from contest import STILL, Contest, Measured, gigaflop, made_up_batch, our_steps, using
from usual_pgan import UsualGenerator, pgan_step

from retina_core.randomness import sample_rngs
from retina_pgan.config import PGANConfig
from retina_pgan.stage import PGANLabels

GROWN = {
    **STILL,
    "resolution": 128,
    "first_px": 128,
    "batch_size": 16,
    "loss": "logistic",
    "ada": "off",
    "target": "map",
}
"""Maps of the full size from the start; changed for the discriminator is measured by itself."""
PLAIN = "fp32, default layout, doubling and then a convolution, a convolution and then means"


def pgan_stage(settings: Mapping[str, Any]) -> PGANLabels:
    return PGANLabels(PGANConfig.resolve("pgan", "standard", {**GROWN, **settings}), ("vessel",))


def pgan_training(precision: Measured, settings: Mapping[str, Any]) -> Contest:
    stage = pgan_stage(settings)
    config = stage.config
    batch = made_up_batch(config.batch_size, config.resolution)
    steps = {**our_steps(stage, batch, precision), "plain": pgan_step(stage, batch)}
    in_fp32 = steps.get("ours_fp32", steps["ours"])
    in_fp32()  # the first step has a penalty, most have none
    return Contest(
        f"pgan training step, {config.resolution} px, batch {len(batch)}",
        steps,
        f"{PLAIN}, two generator passes, Adam one tensor at a time",
        precision,
        goal=3.0,
        cycle=config.r1_every,
        gigaflop=gigaflop(in_fp32),
    )


def pgan_drawing(precision: Measured, settings: Mapping[str, Any]) -> Contest:
    stage = pgan_stage(settings)
    plain_stage, fp32_stage = copy.copy(stage), copy.deepcopy(stage)
    plain_stage.generator = UsualGenerator(stage.generator)  # type: ignore[assignment]
    count = stage.config.batch_size

    def drawing(artist: PGANLabels, mode: Measured, *, moved: bool = True) -> usual.Step:
        return using(artist, mode, lambda: artist.sample(sample_rngs(0, count)), moved=moved)

    in_fp32 = drawing(fp32_stage, "fp32")
    ours = (
        {"ours": drawing(stage, "bf16"), "ours_fp32": in_fp32} if precision == "bf16" else {"ours": in_fp32}
    )
    return Contest(
        f"drawing with pgan, {stage.resolution} px, batch {count}",
        {**ours, "plain": drawing(plain_stage, "fp32", moved=False)},
        f"{PLAIN}, eager; generate draws maps in fp32 wherever it runs",
        precision,
        goal=6.0,
        gigaflop=gigaflop(in_fp32),
    )
