"""What the machine has, told without importing torch: from package metadata, ``/proc`` and the GPU's own tool."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

PACKAGES = (
    *("retina-core", "retina-cli", "torch", "kornia", "numpy", "Pillow", "pydantic", "pluggy", "safetensors"),
    *("scikit-image", "einops", "click", "rich", "jinja2", "matplotlib", "tensorboard"),
)
NATIVE_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Flags of ``/proc/cpuinfo`` of processors that multiply bf16 (x86, x86 tiles, ARM), as ``auto`` asks torch for."""
TOOL_SECONDS = 10


class Choice(NamedTuple):
    """What ``auto`` will choose, and why."""

    name: str
    reason: str


class GPU(NamedTuple):
    """The first NVIDIA GPU that its driver's tool tells of."""

    name: str
    memory: str
    compute_capability: float


def installed_versions() -> dict[str, str | None]:
    """Version of each package that retina builds on; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, and the device and precision that ``auto`` should choose."""
    name, flags = _processor()
    gpu = _gpu()
    device = _device(gpu)
    precision = _precision(device.name, gpu, flags)
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "gpu": gpu._asdict() if gpu else None,
        "device": device.name,
        "device_reason": device.reason,
        "precision": precision.name,
        "precision_reason": precision.reason,
    }


def _device(gpu: GPU | None) -> Choice:
    built_for = _torch_cuda()
    if gpu and built_for:
        return Choice("cuda", f"{gpu.name}, {gpu.memory}; torch is built for CUDA {built_for}")
    if gpu:
        return Choice(
            "cpu", f"there is a {gpu.name}, but torch is built without CUDA; install a build that has it"
        )
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return Choice("mps", "Apple GPU")
    return Choice("cpu", "no GPU found")


def _precision(device: str, gpu: GPU | None, flags: frozenset[str]) -> Choice:
    if device == "cuda" and gpu:
        native = gpu.compute_capability >= 8  # Ampere was the first to multiply bf16
        return Choice("bf16" if native else "fp32", f"compute capability {gpu.compute_capability}")
    if device == "mps":
        return Choice("fp32", "bf16 is not used on Apple GPUs")
    found = [flag for flag in NATIVE_BF16 if flag in flags]
    return (
        Choice("bf16", ", ".join(found)) if found else Choice("fp32", "this processor does not multiply bf16")
    )


def _processor() -> tuple[str, frozenset[str]]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    name = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return (name[1] if name else platform.machine()), frozenset(flags[1].split() if flags else ())


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _gpu() -> GPU | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed question to the driver's own tool
            query, capture_output=True, text=True, timeout=TOOL_SECONDS, check=True
        )
        name, memory, capability = answer.stdout.splitlines()[0].rsplit(", ", 2)
        return GPU(name, memory, float(capability))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None  # a driver that does not answer is no GPU to count on


def _torch_cuda() -> str:
    """The CUDA version in torch's own ``version.py``, read and not run; empty where it is built without."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = Path(str(distribution("torch").locate_file("torch/version.py"))).read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError):
        return ""
    found = re.search(r"^cuda[^=]*= *['\"]([\d.]+)['\"]", text, flags=re.MULTILINE)
    return found[1] if found else ""
