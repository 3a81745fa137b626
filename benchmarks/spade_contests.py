"""What is measured of SPADE: its training step, its generator alone, and painting, beside MONAI's of the same width."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import usual
from contest import STILL, Contest, Measured, gigaflop, made_up_batch, our_steps, using
from torch import nn
from usual_spade import UsualGenerator, spade_step

from retina_core.devices import autocast
from retina_core.fast_mode import Mode
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch
from retina_spade.building import block_sizes
from retina_spade.config import SPADEConfig
from retina_spade.network import features_at
from retina_spade.stage import SPADETranslator

PAPER = {**STILL, "resolution": 256, "batch_size": 1}
"""The paper's network: 64 features at 256 px, 128 between a label map and its norm."""
PLAIN = "as its authors' code: fp32, default layout, each norm from the full label map, torch's spectral norm"
PEER = (
    "MONAI SPADENet with as many features at each size, 4 to 256 px, hidden 128, batch norm, without spectral norm "
    "and encoder, fp32; its last block gives 3 features, and it doubles these once more"
)


def spade_stage(settings: Mapping[str, Any]) -> tuple[SPADETranslator, Batch]:
    config = SPADEConfig.resolve("spade", "paper", {**PAPER, **settings})
    return SPADETranslator(config, ("vessel",)), made_up_batch(config.batch_size, config.resolution)


def spade_training(precision: Measured, settings: Mapping[str, Any]) -> Contest:
    stage, batch = spade_stage(settings)
    steps = {**our_steps(stage, batch, precision), "plain": spade_step(stage, batch)}
    return Contest(
        f"spade training step, {stage.resolution} px, {stage.config.width} features, batch {len(batch)}",
        steps,
        f"{PLAIN}, two generator passes, Adam one tensor at a time",
        precision,
        goal=3.0,
        gigaflop=gigaflop(steps.get("ours_fp32", steps["ours"])),
    )


def spade_generator(precision: Measured, settings: Mapping[str, Any]) -> Contest:
    stage, batch = spade_stage({**settings, "style": "none"})
    config, pictures = stage.config, (batch.labels, batch.fov)
    plain, peer = UsualGenerator(stage.generator), monai_spade(config)
    ours_fp32 = copy.deepcopy(stage.generator).to(memory_format=torch.channels_last)
    ours = stage.generator.to(memory_format=torch.channels_last)
    in_fp32 = usual.judge_step(ours_fp32, lambda: pictures)

    def in_bf16() -> None:
        with autocast(stage.device, "bf16"):
            usual.judge_step(ours, lambda: pictures)()

    return Contest(
        f"spade generator, {config.resolution} px, {config.width} features, batch {len(batch)}, forward and backward",
        {
            **({"ours": in_bf16, "ours_fp32": in_fp32} if precision == "bf16" else {"ours": in_fp32}),
            "plain": usual.judge_step(plain, lambda: pictures),
            "peer": usual.judge_step(peer, lambda: (torch.cat(pictures, 1),)),
        },
        PLAIN,
        precision,
        peer=PEER,
        gigaflop=gigaflop(in_fp32),
    )


def spade_painting(mode: Mode, settings: Mapping[str, Any]) -> Contest:
    stage, batch = spade_stage(settings)
    # Made anew: a copy shares the class of its convolutions, and loses its spectral norms with the other.
    plain_stage, (fp32_stage, _) = copy.copy(stage), spade_stage(settings)
    plain_stage.generator = UsualGenerator(stage.generator)  # type: ignore[assignment]
    peer, maps = monai_spade(stage.config).eval(), torch.cat([batch.labels, batch.fov], 1)

    def painting(painter: SPADETranslator, mode: Mode, *, moved: bool = True) -> usual.Step:
        def paint() -> None:
            painter.translate(batch.labels, batch.fov, rngs=sample_rngs(0, len(batch)))

        return using(painter, mode, paint, moved=moved)

    def peer_step() -> None:
        with torch.no_grad():
            peer(maps)

    ours = {"ours": painting(stage, mode)}
    if mode != "fp32":
        ours["ours_fp32"] = painting(fp32_stage, "fp32")
    plain = painting(plain_stage, "fp32", moved=False)
    kind, goal = ("compiled", 9.0) if mode == "compiled" else ("eager", 5.0)
    config = stage.config
    return Contest(
        f"painting with spade, {config.resolution} px, {config.width} features, batch {len(batch)}, {kind}",
        {**ours, "plain": plain, "peer": peer_step},
        f"{PLAIN}, eager",
        "fp32" if mode == "fp32" else "bf16",
        goal,
        peer=PEER,
        gigaflop=gigaflop(plain),
    )


def monai_spade(config: SPADEConfig) -> nn.Module:
    """MONAI's network, label maps (b 2 h w) to colours (b 3 2h 2w), whose block at each size reads as many features as ours.

    It ends with a doubling, so that it has to be told twice the resolution; the size of the label maps is its own matter.
    """
    from monai.networks.nets import SPADENet

    sizes = block_sizes(config.resolution)
    read = [sizes[0], *sizes[:-1]]
    features = [features_at(px, config.width, config.width_px, config.max_width) for px in read]
    side = 2 * config.resolution
    network = SPADENet(
        2,
        1,
        3,
        2,
        [side, side],
        channels=features[::-1],
        spade_intermediate_channels=config.hidden,
        is_vae=False,
        norm=("BATCH", {"affine": False}),
    )
    painter: nn.Module = network.decoder
    return painter
