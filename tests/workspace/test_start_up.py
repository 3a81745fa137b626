"""Start-up is quick because nothing heavy is imported: `--help`, `list`, `show` and `doctor` never need torch."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "kornia", "numpy", "PIL", "skimage", "scipy", "matplotlib", "torchmetrics", "safetensors")
"""None of these for any light command."""
RUN = """
import json, sys
sys.argv = ["retina", *json.loads(sys.argv[1])]
from retina_cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    """Top-level modules that one command has in ``sys.modules`` when it ends."""
    run = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["train", "--help"]])
def test_help_and_list_import_nothing_heavy_and_no_pydantic(arguments: list[str]) -> None:
    assert not imported_by(*arguments) & {*HEAVY, "pydantic", "rich", "jinja2"}


@pytest.mark.parametrize(
    "arguments",
    [["show", "label-generator:dcgan"], ["show", "unet", "--json"], ["doctor"], ["data", "--help"]],
)
def test_show_and_doctor_import_nothing_heavy(arguments: list[str]) -> None:
    assert not imported_by(*arguments) & set(HEAVY)


def test_help_takes_a_twelfth_of_importing_torch_and_list_a_sixth() -> None:
    commands = {
        "torch": ["-c", "import torch"],
        "help": ["-m", "retina_cli", "--help"],
        "list": ["-m", "retina_cli", "list"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(10):  # in turn, so that a busy moment of the machine strikes all alike
        for name, arguments in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    assert median["help"] <= median["torch"] / 12, median
    assert median["list"] <= median["torch"] / 6, median
