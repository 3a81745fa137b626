"""What is measured of MI-GAN's translator: its training step and painting, of the paper's widths at 256 px."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import usual
from contest import STILL, Contest, Measured, gigaflop, made_up_batch, our_steps, using
from usual_migan import migan_step

from retina_core.fast_mode import Mode
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch
from retina_migan.config import MIGANConfig
from retina_migan.stage import MIGANTranslator

PAPER = {**STILL, "resolution": 256, "batch_size": 4}
PAINTED = 8
"""Photographs that ``generate`` paints together."""
PLAIN = "fp32, default layout, eager"


def migan_stage(settings: Mapping[str, Any]) -> tuple[MIGANTranslator, Batch]:
    config = MIGANConfig.resolve("migan", "paper", {**PAPER, **settings})
    return MIGANTranslator(config, ("vessel",)), made_up_batch(config.batch_size, config.resolution)


def migan_training(precision: Measured, settings: Mapping[str, Any]) -> Contest:
    stage, batch = migan_stage(settings)
    plain = migan_step(stage, batch)
    return Contest(
        f"migan training step, {stage.resolution} px, {stage.config.width} features, batch {len(batch)}",
        {**our_steps(stage, batch, precision), "plain": plain},
        f"{PLAIN}, a generator pass for each of three updates, Adam one tensor at a time",
        precision,
        goal=3.0,
        gigaflop=gigaflop(plain),
    )


def migan_painting(mode: Mode, settings: Mapping[str, Any]) -> Contest:
    stage, batch = migan_stage({"batch_size": PAINTED, **settings})
    plain_stage, fp32_stage = copy.deepcopy(stage), copy.deepcopy(stage)
    plain_stage.generator = usual.usual_network(stage.generator)

    def painting(painter: MIGANTranslator, mode: Mode, *, moved: bool = True) -> usual.Step:
        def paint() -> None:
            painter.translate(batch.labels, batch.fov, rngs=sample_rngs(0, len(batch)))

        return using(painter, mode, paint, moved=moved)

    in_fp32 = {} if mode == "fp32" else {"ours_fp32": painting(fp32_stage, "fp32")}
    plain = painting(plain_stage, "fp32", moved=False)
    kind = "compiled" if mode == "compiled" else "eager"
    config = stage.config
    return Contest(
        f"painting with migan, {config.resolution} px, {config.width} features, {len(batch)} photographs, {kind}",
        {"ours": painting(stage, mode), **in_fp32, "plain": plain},
        PLAIN,
        "fp32" if mode == "fp32" else "bf16",
        goal=6.0,
        gigaflop=gigaflop(plain),
    )
