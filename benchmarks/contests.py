"""What is measured: each contest's contestants, ready to step."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import usual
from contest import CPU, Contest, gigaflop, made_up_batch, stage_step
from looped import loop_overhead, reading

from retina_core import fit, open_dataset
from retina_core.data.prepare import prepare
from retina_core.devices import autocast
from retina_core.fast_mode import Mode, fast, has_cpp_compiler, make_ready
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.stages import Batch
from retina_dcgan.config import DCGANConfig
from retina_dcgan.stage import DCGANLabels
from retina_pix2pix.config import Pix2PixConfig
from retina_pix2pix.stage import Pix2PixTranslator
from retina_unet.config import UNetConfig
from retina_unet.stage import UNetSegmenter

STILL = {"flips": "none", "rotation_degrees": 0.0, "scale": 0.0}
"""No augmentation: it is measured by itself."""
PAINTED = 8
"""Photographs that ``generate`` paints together."""


def contests() -> Iterator[tuple[str, Callable[[], Contest]]]:
    """Every contest by name, built when it is called for: the networks are large."""
    yield "pix2pix step, batch 1", lambda: pix2pix_training(1, goal=1.6)
    yield "pix2pix step, batch 4", lambda: pix2pix_training(4, goal=3.3)
    yield "unet step", unet_training
    yield "dcgan step", dcgan_training
    yield "patch discriminator", patch_discriminator
    yield "painting", lambda: painting("bf16", goal=1.8)
    if has_cpp_compiler():
        yield "painting, compiled", lambda: painting("compiled", goal=5.0)
    for name in ("dcgan", "pix2pix", "unet"):
        yield f"loop, {name}", lambda name=name: loop_overhead(name)
        yield f"reading, {name}", lambda name=name: reading(name)


def pix2pix_training(batch_size: int, goal: float) -> Contest:
    config = Pix2PixConfig.resolve("pix2pix", "paper", {**STILL, "batch_size": batch_size})
    stage, batch = Pix2PixTranslator(config, ("vessel",)), made_up_batch(batch_size, 256)
    plain = usual.pix2pix_step(stage, batch)
    return Contest(
        f"pix2pix training step, 256 px, batch {batch_size}",
        {
            "ours": stage_step(stage, batch, "bf16"),
            "ours_fp32": stage_step(copy.deepcopy(stage), batch, "fp32"),
            "plain": plain,
        },
        "as its authors' code: fp32, default layout, Adam one tensor at a time",
        goal,
        gigaflop=gigaflop(plain),
    )


def unet_training() -> Contest:
    from monai.networks.nets import BasicUNet

    settings = {
        **STILL,
        "width": 64,
        "patch_px": 0,
        "resolution": 256,
        "batch_size": 4,
        "quarter_turns": False,
    }
    settings |= {"elastic": 0.0, "colour": 0.0, "average_half_life": 0}
    stage = UNetSegmenter(UNetConfig.resolve("unet", "standard", settings), ("vessel",))
    batch = made_up_batch(4, 256)
    peer = BasicUNet(2, 3, 1, features=(64, 128, 256, 512, 1024, 64))
    plain = usual.segmenter_step(stage, batch)
    return Contest(
        "unet training step, 256 px, batch 4, width 64 to 1024",
        {
            "ours": stage_step(stage, batch, "bf16"),
            "ours_fp32": stage_step(copy.deepcopy(stage), batch, "fp32"),
            "plain": plain,
            "peer": usual.segmenter_step(stage, batch, peer),
        },
        "fp32, default layout, AdamW one tensor at a time",
        goal=4.5,
        peer="MONAI BasicUNet of equal width, fp32, the same losses and optimizer",
        peer_goal=2.5,
        gigaflop=gigaflop(plain),
    )


def dcgan_training() -> Contest:
    settings = {"batch_size": 64, "discriminator": "dcgan"}
    stage = DCGANLabels(DCGANConfig.resolve("dcgan", "paper", settings), ("vessel",))
    batch = made_up_batch(64, 64)
    plain = usual.dcgan_step(stage, batch)
    return Contest(
        "dcgan training step, 64 px, batch 64",
        {
            "ours": stage_step(stage, batch, "bf16"),
            "ours_fp32": stage_step(copy.deepcopy(stage), batch, "fp32"),
            "plain": plain,
        },
        "as torch's example: fp32, default layout, discriminator gradients in the generator's update",
        goal=2.5,
        gigaflop=gigaflop(stage_step(copy.deepcopy(stage), batch, "fp32")),
    )


def patch_discriminator() -> Contest:
    from monai.networks.nets import PatchDiscriminator

    config = Pix2PixConfig.resolve("pix2pix", "paper", {"batch_size": 4})
    ours = Pix2PixTranslator(config, ("vessel",)).discriminator
    plain, batch = usual.usual_network(ours), made_up_batch(4, 256)
    peer = PatchDiscriminator(2, 64, 5, num_layers_d=3, norm="INSTANCE")
    ours_fp32 = copy.deepcopy(ours).to(memory_format=torch.channels_last)
    ours = ours.to(memory_format=torch.channels_last)

    def parts() -> tuple[torch.Tensor, ...]:
        return batch.labels, batch.fov, batch.photos

    def joined() -> tuple[torch.Tensor, ...]:
        return (torch.cat(parts(), 1),)

    def in_bf16() -> None:
        with autocast(CPU, "bf16"):
            usual.judge_step(ours, parts)()

    return Contest(
        "pix2pix discriminator, 256 px, batch 4, forward and backward",
        {
            "ours": in_bf16,
            "ours_fp32": usual.judge_step(ours_fp32, parts),
            "plain": usual.judge_step(plain, parts),
            "peer": usual.judge_step(peer, joined),
        },
        "fp32, default layout",
        peer="MONAI PatchDiscriminator of equal width and depth, instance norm, fp32",
        gigaflop=gigaflop(usual.judge_step(plain, parts)),
    )


def painting(mode: Mode, goal: float) -> Contest:
    from monai.networks.nets import SPADENet

    config = Pix2PixConfig.resolve("pix2pix", "paper", {})
    stage, batch = Pix2PixTranslator(config, ("vessel",)), made_up_batch(PAINTED, 256)
    plain_stage, fp32_stage = copy.deepcopy(stage), copy.deepcopy(stage)
    plain_stage.generator = usual.usual_network(stage.generator)  # type: ignore[assignment]
    contestants = {
        "ours": _painter(stage, batch, mode),
        "ours_fp32": _painter(fp32_stage, batch, "fp32"),
        "plain": _painter(plain_stage, batch, "fp32", moved=False),
    }
    peer = SPADENet(2, 1, 3, 1, [256, 256], channels=[64, 128, 256, 512], is_vae=False).eval()

    def peer_step() -> None:
        with torch.no_grad():
            peer(batch.labels)

    kind = "compiled" if mode == "compiled" else "eager"
    return Contest(
        f"painting with pix2pix, 256 px, {PAINTED} photographs, {kind}",
        {**contestants, "peer": peer_step},
        "fp32, default layout, eager",
        goal,
        peer="MONAI SPADENet, 64 to 512 features, without its encoder, fp32",
        gigaflop=gigaflop(contestants["plain"]),
    )


def _painter(stage: Pix2PixTranslator, batch: Batch, mode: Mode, *, moved: bool = True) -> usual.Step:
    if moved:
        stage.move_to(CPU)
    stage.eval_mode()
    make_ready(stage, mode)

    def step() -> None:
        with fast(stage, mode):
            stage.translate(batch.labels, batch.fov, rngs=sample_rngs(0, len(batch)))

    return step


def peak_gigaflops(dtype: torch.dtype) -> float:
    """What the machine multiplies in a second at its best: matrices of 4096 x 4096, the fastest of five."""
    a = torch.randn(4096, 4096).to(dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * 4096**3 / best / 1e9


def fast_mode_difference(pictures: int = 16) -> dict[str, float]:
    """How far photographs in the fast mode are from fp32's, in 1/255, on weights of the quick preset, trained."""
    registry = Registry.discover()
    split = open_dataset("phantom", registry=registry).split(0)
    with tempfile.TemporaryDirectory() as folder:
        exact = fit("pix2pix", split.train, Path(folder), preset="quick", registry=registry)
        stage = load_stage(Path(folder), registry=registry)
    samples = prepare(split.test.samples, exact.channels, exact.resolution)
    labels = torch.from_numpy(samples.labels[:pictures].copy()).float().div(255).gt(0.5).float()
    fov = torch.from_numpy(samples.fov[:pictures].copy()).float().div(255).gt(0.5).float()
    make_ready(stage, "bf16")
    painted = []
    for painter, mode in ((exact, "fp32"), (stage, "bf16")):
        with fast(painter, mode):
            painted.append(painter.translate(labels, fov, rngs=sample_rngs(0, len(labels))).float())
    difference = (painted[0] - painted[1]).abs() * 255
    return {
        "photographs": len(labels),
        "mean_of_255": round(float(difference.mean()), 4),
        "largest_mean_of_255": round(float(difference.mean((1, 2, 3)).max()), 4),
    }
