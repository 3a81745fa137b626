"""Freed memory stays for the next step, where the C library can be told so."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from retina_core.training.memory import keep_freed_memory

def faults(steps=5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        held = [torch.ones(2**20) for _ in range(8)]  # 4 MiB each
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
faults()
print(faults())
"""


def faults(environment: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_step_takes_the_memory_that_the_last_one_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    kept = faults(here)
    # Who sets the C library's own variables is left alone: here, to hand back everything at once.
    handed_back = faults({**here, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"})
    assert kept < handed_back / 10
