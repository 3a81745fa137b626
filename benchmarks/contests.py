"""What is measured: each contest's contestants, ready to step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator

import torch
import usual
from changed import adaptive_augmentation
from contest import CPU, STILL, Contest, Measured, NotHere, gigaflop, made_up_batch, our_steps, using
from looped import loop_overhead, reading
from migan_contests import migan_painting, migan_training
from pgan_contests import pgan_drawing, pgan_training
from spade_contests import spade_generator, spade_painting, spade_training

from retina_core.devices import autocast
from retina_core.fast_mode import Mode, has_cpp_compiler
from retina_core.randomness import sample_rngs
from retina_dcgan.config import DCGANConfig
from retina_dcgan.stage import DCGANLabels
from retina_pix2pix.config import Pix2PixConfig
from retina_pix2pix.stage import Pix2PixTranslator
from retina_unet.config import UNetConfig
from retina_unet.stage import UNetSegmenter

PAINTED = 8
"""Photographs that ``generate`` paints together."""
LOOPED = ("dcgan", "pgan", "pix2pix", "spade", "unet")
"""Stages whose loop is held against their bare step."""


def contests(precision: Measured) -> Iterator[tuple[str, Callable[[], Contest]]]:
    """Every contest by name, built when it is called for: the networks are large."""
    yield "pix2pix step, batch 1", lambda: pix2pix_training(1, precision, goal=1.6)
    yield "pix2pix step, batch 4", lambda: pix2pix_training(4, precision, goal=3.3)
    yield "unet step", lambda: unet_training(precision)
    yield "dcgan step", lambda: dcgan_training(precision)
    yield "spade step", lambda: spade_training(precision, {})
    yield "pgan step", lambda: pgan_training(precision, {})
    yield "migan step", lambda: migan_training(precision, {})
    yield "patch discriminator", lambda: patch_discriminator(precision)
    yield "spade generator", lambda: spade_generator(precision, {})
    yield "painting", lambda: painting(precision, goal=1.8)
    yield "painting, compiled", lambda: painting(compiled(precision), goal=5.0)
    yield "painting with spade", lambda: spade_painting(precision, {})
    yield "painting with spade, compiled", lambda: spade_painting(compiled(precision), {})
    yield "painting with migan", lambda: migan_painting(precision, {})
    yield "painting with migan, compiled", lambda: migan_painting(compiled(precision), {})
    yield "drawing with pgan", lambda: pgan_drawing(precision, {})
    yield "adaptive augmentation", adaptive_augmentation
    for name in LOOPED:
        yield f"loop, {name}", lambda name=name: loop_overhead(name)
        yield f"reading, {name}", lambda name=name: reading(name)


def compiled(precision: Measured) -> Mode:
    """The compiled mode, where there is one."""
    if precision == "fp32":
        raise NotHere("photographs are painted compiled in bf16 alone, which this processor has not")
    if not has_cpp_compiler():
        raise NotHere("torch finds no C++ compiler")
    return "compiled"


def pix2pix_training(batch_size: int, precision: Measured, goal: float) -> Contest:
    config = Pix2PixConfig.resolve("pix2pix", "paper", {**STILL, "batch_size": batch_size})
    stage, batch = Pix2PixTranslator(config, ("vessel",)), made_up_batch(batch_size, 256)
    plain = usual.pix2pix_step(stage, batch)
    return Contest(
        f"pix2pix training step, 256 px, batch {batch_size}",
        {**our_steps(stage, batch, precision), "plain": plain},
        "as its authors' code: fp32, default layout, Adam one tensor at a time",
        precision,
        goal,
        gigaflop=gigaflop(plain),
    )


def unet_training(precision: Measured) -> Contest:
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
            **our_steps(stage, batch, precision),
            "plain": plain,
            "peer": usual.segmenter_step(stage, batch, peer),
        },
        "fp32, default layout, AdamW one tensor at a time",
        precision,
        goal=4.5,
        peer="MONAI BasicUNet of equal width, fp32, the same losses and optimizer",
        peer_goal=2.5,
        gigaflop=gigaflop(plain),
    )


def dcgan_training(precision: Measured) -> Contest:
    settings = {"batch_size": 64, "discriminator": "dcgan"}
    stage = DCGANLabels(DCGANConfig.resolve("dcgan", "paper", settings), ("vessel",))
    batch = made_up_batch(64, 64)
    steps = {**our_steps(stage, batch, precision), "plain": usual.dcgan_step(stage, batch)}
    return Contest(
        "dcgan training step, 64 px, batch 64",
        steps,
        "as torch's example: fp32, default layout, discriminator gradients in the generator's update",
        precision,
        goal=2.5,
        gigaflop=gigaflop(steps.get("ours_fp32", steps["ours"])),
    )


def patch_discriminator(precision: Measured) -> Contest:
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

    in_fp32 = usual.judge_step(ours_fp32, parts)
    return Contest(
        "pix2pix discriminator, 256 px, batch 4, forward and backward",
        {
            **({"ours": in_bf16, "ours_fp32": in_fp32} if precision == "bf16" else {"ours": in_fp32}),
            "plain": usual.judge_step(plain, parts),
            "peer": usual.judge_step(peer, joined),
        },
        "fp32, default layout",
        precision,
        peer="MONAI PatchDiscriminator of equal width and depth, instance norm, fp32",
        gigaflop=gigaflop(usual.judge_step(plain, parts)),
    )


def painting(mode: Mode, goal: float) -> Contest:
    from monai.networks.nets import SPADENet

    config = Pix2PixConfig.resolve("pix2pix", "paper", {})
    stage, batch = Pix2PixTranslator(config, ("vessel",)), made_up_batch(PAINTED, 256)
    plain_stage, fp32_stage = copy.deepcopy(stage), copy.deepcopy(stage)
    plain_stage.generator = usual.usual_network(stage.generator)
    peer = SPADENet(2, 1, 3, 1, [256, 256], channels=[64, 128, 256, 512], is_vae=False).eval()

    def by(painter: Pix2PixTranslator, mode: Mode, *, moved: bool = True) -> usual.Step:
        def paint() -> None:
            painter.translate(batch.labels, batch.fov, rngs=sample_rngs(0, len(batch)))

        return using(painter, mode, paint, moved=moved)

    in_fp32 = {} if mode == "fp32" else {"ours_fp32": by(fp32_stage, "fp32")}
    plain = by(plain_stage, "fp32", moved=False)

    def peer_step() -> None:
        with torch.no_grad():
            peer(batch.labels)

    kind = "compiled" if mode == "compiled" else "eager"
    return Contest(
        f"painting with pix2pix, 256 px, {PAINTED} photographs, {kind}",
        {"ours": by(stage, mode), **in_fp32, "plain": plain, "peer": peer_step},
        "fp32, default layout, eager",
        "fp32" if mode == "fp32" else "bf16",
        goal,
        peer="MONAI SPADENet, 64 to 512 features, without its encoder, fp32",
        gigaflop=gigaflop(plain),
    )


def peak_gigaflops(dtype: torch.dtype) -> float:
    """What the machine multiplies in a second at its best: matrices of 4096 x 4096, the fastest of five."""
    a = torch.randn(4096, 4096).to(dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * 4096**3 / best / 1e9
