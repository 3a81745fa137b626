"""Caches a large data set of small made-up photographs and feeds an epoch of it: peak memory, and samples a second.

    python benchmarks/large_sets.py --count 20000

Each size is cached by a process of its own, whose peak memory (``ru_maxrss``) must stay under 1 GiB whatever the number
of photographs. The same process then feeds epochs of the cached set, before augmentation, as a training reads them:
the first, in which each photograph's mean and deviation are worked out, and the next. The exit status is 1 where a goal
is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESULTS = Path(__file__).with_suffix(".json")
PEAK_GOAL_MIB = 1024
"""Whatever the number of photographs."""
RATE_GOAL, RATE_PX = 2_000, 256
"""Samples a second before augmentation, at this working resolution."""
BATCH = 8
COARSE = 12
"""Random patches along a side of a made-up photograph: no two of them are twins."""


def main() -> None:
    """Draw the set, measure each size, and write the results."""
    asked = _arguments()
    if asked.measure:
        print(json.dumps(_measured(asked.folder, asked.measure)))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as room:
        begun = time.monotonic()
        _draw(Path(room) / "eyes", asked.count, asked.px)
        _say(f"{asked.count} photographs of {asked.px} px drawn in {time.monotonic() - begun:.0f} s")
        rows = [_in_a_process(Path(room), size) for size in asked.sizes]
    results = {
        "photographs": asked.count,
        "photograph_px": asked.px,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "rows": rows,
        "missed": list(_missed(rows)),
    }
    asked.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
    sys.exit(1 if results["missed"] else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="photographs (default 20,000)")
    parser.add_argument("--px", type=int, default=96, help="their side (default 96)")
    parser.add_argument("--sizes", type=_sizes, default=(64, 256), help="cached at (default 64,256 px)")
    parser.add_argument("--folder", type=Path, help="where to make the set (default: the system's)")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default {RESULTS.name}")
    parser.add_argument("--measure", type=int, default=0, help=argparse.SUPPRESS)  # a process of our own
    return parser.parse_args()


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _draw(folder: Path, count: int, px: int) -> None:
    """Photographs and vessel maps in the layout of plain folders."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:px, :px]
    fov = np.hypot(x - px / 2, y - px / 2) < 0.47 * px
    for part in ("images", "labels/vessel"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(40, 220, (COARSE, COARSE, 3), dtype=np.uint8))
        photo = np.asarray(coarse.resize((px, px), Image.Resampling.BICUBIC)) * fov[:, :, None]
        Image.fromarray(photo).save(folder / "images" / f"{index:06}.jpg", quality=90)
        Image.fromarray(_line(rng, px, fov)).save(folder / "labels/vessel" / f"{index:06}.png")


def _line(rng: np.random.Generator, px: int, fov: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A crooked line through the eye, 0 and 255."""
    mask = np.zeros((px, px), dtype=np.uint8)
    rows = np.clip(px // 2 + rng.integers(-1, 2, px).cumsum(), 1, px - 2)
    mask[rows, np.arange(px)] = mask[rows + 1, np.arange(px)] = 255
    return mask * fov


def _in_a_process(room: Path, size: int) -> dict[str, Any]:
    """What a fresh process measures; this one stays small, since a child begins with its parent's peak."""
    command = [sys.executable, __file__, "--measure", str(size), "--folder", str(room)]
    environment = {**os.environ, "RETINA_CACHE": str(room / f"cache-{size}")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    _say(", ".join(f"{key} {value}" for key, value in row.items()))
    return row


def _measured(room: Path, size: int) -> dict[str, Any]:
    """Caching, then two epochs, in this process."""
    from retina_core import open_dataset, prepare

    begun = time.monotonic()
    dataset = open_dataset(room / "eyes", reader="folder")
    opened = time.monotonic()
    opened_mib = _peak_mib()
    samples = prepare(dataset, ("vessel",), size)
    cached, cached_mib = time.monotonic(), _peak_mib()
    first, again = _epochs(samples, size)
    return {
        "px": size,
        "open_seconds": round(opened - begun, 1),
        "cache_seconds": round(cached - opened, 1),
        "peak_mib_opened": round(opened_mib),
        "peak_mib_cached": round(cached_mib),
        "first_epoch_per_second": round(first),
        "next_epoch_per_second": round(again),
    }


def _epochs(samples: Any, size: int) -> Iterator[float]:
    """Samples a second of two epochs, read by the core's feed for a stage that looks at whole photographs."""
    from retina_core import Registry
    from retina_core.training.feed import Course, Feed

    registry = Registry.discover()
    spec = registry.stage("unet")
    shape = {"resolution": size, "patch_px": 0, "width": 4, "depth": 2, "batch_size": BATCH}
    config = registry.config_class(spec).resolve("unet", "standard", shape)
    stage: Any = registry.stage_class(spec)(config, ("vessel",))
    feed = Feed([Course(samples)], stage, seed=0)
    steps = len(samples) // BATCH
    for epoch in range(2):
        begun = time.monotonic()
        for step in range(epoch * steps, (epoch + 1) * steps):
            feed.batch(step * BATCH, stage.plan(0), slice(0, BATCH))
        yield steps * BATCH / (time.monotonic() - begun)


def _peak_mib() -> float:
    """The most memory that this process has held; macOS counts bytes, Linux KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (20 if sys.platform == "darwin" else 10)


def _missed(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["peak_mib_cached"] >= PEAK_GOAL_MIB:
            yield f"{row['px']} px: {row['peak_mib_cached']} MiB while caching, not under {PEAK_GOAL_MIB}"
        if row["px"] == RATE_PX and row["next_epoch_per_second"] < RATE_GOAL:
            yield f"{row['px']} px: {row['next_epoch_per_second']} samples a second, not {RATE_GOAL}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
