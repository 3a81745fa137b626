"""Core and one plugin, installed from their wheels into a fresh environment without the command, used from Python."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

NOTEBOOK = """
import sys
from pathlib import Path

import retina_core, retina_dcgan
from retina_core import Registry, fit, load_stage, open_dataset, sample_rngs
from retina_core.config import DataConfig

out = Path(sys.argv[1])
home = Path(sys.prefix).resolve()
assert home in Path(retina_core.__file__).resolve().parents, retina_core.__file__
assert home in Path(retina_dcgan.__file__).resolve().parents, retina_dcgan.__file__

registry = Registry.discover()
stages = [row for row in registry.rows if row.distribution != "retina-core"]
found = {(row.role, row.name, row.distribution, row.status) for row in stages}
roles = ("label-generator", "pair-generator")
assert found == {(role, "dcgan", "retina-dcgan", "ok") for role in roles}, stages

eyes = open_dataset("phantom", config=DataConfig(phantom_count=6, phantom_px=48, channels=("vessel",)))
settings = {"resolution": 32, "seen_images": 8, "batch_size": 4, "width": 4, "discriminator_width": 4}
fit("label-generator:dcgan", eyes.split().train, out / "labels", settings=settings)
labels = load_stage(out / "labels").sample(sample_rngs(0, 2))
assert labels.shape == (2, 1, 32, 32), labels.shape
assert 0 <= labels.min() and labels.max() <= 1
assert "retina_cli" not in sys.modules and "click" not in sys.modules
"""


def run(*command: object, **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels of all distributions, built with the tools that are here: a test needs no network."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [ROOT / "core", ROOT / "cli", *(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        *sources,
    )
    return sorted(folder.glob("*.whl"))


def test_every_wheel_is_typed_and_of_one_version(wheels: list[Path]) -> None:
    assert {wheel.name.split("-")[1] for wheel in wheels} == {"0.1.0"}
    for wheel in wheels:
        package = wheel.name.split("-")[0]
        with zipfile.ZipFile(wheel) as file:
            names = file.namelist()
        assert f"{package}/py.typed" in names
        assert not [name for name in names if "/tests/" in name or not name.startswith(package)]


def test_core_and_one_plugin_work_without_the_command(wheels: list[Path], tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "env")
    chosen = [wheel for wheel in wheels if wheel.name.startswith(("retina_core-", "retina_dcgan-"))]
    assert len(chosen) == 2
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", *chosen)
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    run(python, script, tmp_path, PYTHONPATH="", OMP_NUM_THREADS="1")


def fresh_environment(folder: Path) -> Path:
    """An environment of its own that sees the running one's libraries, but none of its retina packages.

    Torch alone is hundreds of megabytes, and a test must not need a network: a ``.pth`` file puts a folder on the
    path that links to every library of the running environment, and leaves out retina's own code and metadata.
    """
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    libraries = folder / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.lower().startswith(("retina", "_retina", "__pycache__")) and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    Path(site, "libraries.pth").write_text(f"{libraries}\n")
    return python
