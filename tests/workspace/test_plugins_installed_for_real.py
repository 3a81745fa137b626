"""Broken, misspelt, duplicate and too new plugins, built as wheels and installed with pip: each is a row, the rest works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "retina-{name}"
version = "3.2.1"
dependencies = ["retina-core"]

[project.entry-points.retina]
{name} = "retina_{name}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["src/retina_{name}"]
"""
STAGE = """
from retina_core.api import StageSpec, hookimpl

@hookimpl
def {hook}():
    return [StageSpec("{stage}", "label-generator", "retina_{name}.stage:It", "retina_{name}.config:It", "x", api="{api}")]
"""


def stage(name: str, *, offers: str = "", hook: str = "retina_label_generators", api: str = "") -> str:
    return STAGE.format(name=name, stage=offers or name, hook=hook, api=api)


PLUGINS = {
    "sound": stage("sound", api=">=1.0,<2"),
    "unimportable": "import a_package_that_nobody_has\n",
    "exiting": "raise SystemExit('goodbye')\n",
    "misspelt": stage("misspelt", hook="retina_label_generator"),
    "another": stage("another", offers="dcgan"),
    "toonew": stage("toonew", api=">=7.0"),
}
REASONS = {
    "unimportable": "No module named 'a_package_that_nobody_has'",
    "exiting": "SystemExit: goodbye",
    "misspelt": "no hook is called 'retina_label_generator'; did you mean 'retina_label_generators'?",
    "another": "a label-generator called 'dcgan' is already offered by plugin 'dcgan' of retina-dcgan",
    "toonew": "toonew was built for API >=7.0; this is API 1.0",
}


def pip(*arguments: object) -> None:
    # Without build isolation: hatchling is here already, and a test needs no network.
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which every made-up plugin is installed."""
    home = tmp_path_factory.mktemp("plugins")
    for name, code in PLUGINS.items():
        package = home / name / "src" / f"retina_{name}"
        package.mkdir(parents=True)
        (home / name / "pyproject.toml").write_text(PYPROJECT.format(name=name))
        (package / "__init__.py").touch()
        (package / "plugin.py").write_text(code)
    sources = [home / name for name in PLUGINS]
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", home / "dist", *sources)
    pip("install", "--no-deps", "--no-index", "--target", home / "site", *(home / "dist").glob("*.whl"))
    return home / "site"


def retina(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(site), **environment}
    command = [sys.executable, "-m", "retina_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def listed(site: Path, **environment: str) -> list[dict[str, Any]]:
    run = retina(site, "list", "--json", **environment)
    assert run.returncode == 0, run.stderr
    rows: list[dict[str, Any]] = json.loads(run.stdout)
    return rows


def test_each_is_a_row_with_its_reason(site: Path) -> None:
    rows = {row["name"]: row for row in listed(site) if row["status"] == "broken"}
    assert sorted(rows) == sorted(REASONS)
    for name, reason in REASONS.items():
        row = rows[name]
        assert reason in row["reason"]
        assert row["role"] is None
        assert (row["plugin"], row["distribution"], row["version"]) == (name, f"retina-{name}", "3.2.1")


def test_everything_else_works(site: Path) -> None:
    sound = {(row["role"], row["name"]) for row in listed(site) if row["status"] == "ok"}
    assert {("label-generator", "sound"), ("label-generator", "dcgan"), ("evaluator", "unet")} <= sound
    for arguments in (["--help"], ["doctor"], ["show", "label-generator:dcgan"]):
        assert retina(site, *arguments).returncode == 0


def test_doctor_says_what_is_wrong(site: Path) -> None:
    said = retina(site, "doctor").stdout
    assert all(reason in said for reason in REASONS.values())


@pytest.mark.parametrize("name", sorted(REASONS))
def test_it_is_an_error_when_it_is_asked_for(site: Path, name: str) -> None:
    run = retina(site, "show", name)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert REASONS[name] in run.stderr


def test_sound_plugin_whose_stage_cannot_be_imported_is_an_error_when_it_is_used(site: Path) -> None:
    run = retina(site, "show", "sound")
    assert run.returncode == 2
    assert "plugin 'sound' cannot be used: cannot import retina_sound.config:It" in run.stderr


def test_retina_plugins_loads_only_those(site: Path) -> None:
    names = {row["plugin"] for row in listed(site, RETINA_PLUGINS="sound,unet")}
    assert names == {"core", "sound", "unet"}
    assert {row["plugin"] for row in listed(site, RETINA_PLUGINS="")} == {"core"}
    missing = [row for row in listed(site, RETINA_PLUGINS="nosuch") if row["status"] == "broken"]
    assert [row["name"] for row in missing] == ["nosuch"]
