"""The floor plan holds: imports run one way, every plugin has the same rooms, and every hook and command is documented."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from retina_cli.experiment import read_experiment
from retina_cli.group import RetinaGroup
from retina_cli.main import main
from retina_core import hookspecs
from retina_core.hookspecs import OFFER_HOOKS

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
LIGHT = ("api", "specs", "hookspecs", "errors", "registry", "discovery", "offers", "builtin")
"""Modules of the core that start-up needs."""


def sources(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its head or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(str(node.module))
    return found


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules if module.startswith("retina_")}


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


class TestImports:
    def test_core_imports_neither_plugin_nor_command(self) -> None:
        for path in sources(ROOT / "core" / "src"):
            assert packages(imported(path)) <= {"retina_core"}, path

    def test_command_imports_no_plugin(self) -> None:
        for path in sources(ROOT / "cli" / "src"):
            assert packages(imported(path)) <= {"retina_core", "retina_cli"}, path

    @pytest.mark.parametrize("name", PLUGINS)
    def test_plugin_imports_core_and_itself_alone(self, name: str) -> None:
        for path in sources(ROOT / "plugins" / name / "src"):
            assert packages(imported(path)) <= {"retina_core", f"retina_{name}"}, path

    @pytest.mark.parametrize("module", LIGHT)
    def test_start_up_modules_import_nothing_heavy(self, module: str) -> None:
        """At their heads; ``test_start_up`` sees the rest."""
        tree = ast.parse((ROOT / "core/src/retina_core" / f"{module}.py").read_text(encoding="utf-8"))
        heads = {
            alias.name.partition(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        heads |= {
            str(node.module).partition(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)
        }
        assert not heads & {
            "torch",
            "numpy",
            "pydantic",
            "PIL",
            "kornia",
            "packaging",
            "rich",
            "importlib.metadata",
        }


class TestPlugins:
    @pytest.mark.parametrize("name", PLUGINS)
    def test_same_rooms_in_each(self, name: str) -> None:
        package = ROOT / "plugins" / name / "src" / f"retina_{name}"
        worker = "drawing.py" if name == "phantom" else "network.py"
        rooms = ["__init__.py", "plugin.py", "config.py", worker, "stage.py", "py.typed"]
        assert [room for room in rooms if not (package / room).is_file()] == []
        assert (ROOT / "plugins" / name / "README.md").read_text().startswith(f"# retina-{name}\n")
        assert (ROOT / "tests" / "plugins" / f"test_{name}_contract.py").is_file()

    @pytest.mark.parametrize("name", PLUGINS)
    def test_one_word_everywhere(self, name: str) -> None:
        facts = project(ROOT / "plugins" / name)
        assert facts["name"] == f"retina-{name}"
        assert facts["entry-points"]["retina"] == {name: f"retina_{name}.plugin"}
        text = (ROOT / "plugins" / name / "src" / f"retina_{name}" / "plugin.py").read_text()
        assert f'"{name}"' in text
        assert f"retina_{name}.stage:" in text
        assert f"retina_{name}.config:" in text

    @pytest.mark.parametrize("name", PLUGINS)
    def test_plugin_holds_hooks_and_imports_the_api_alone(self, name: str) -> None:
        path = ROOT / "plugins" / name / "src" / f"retina_{name}" / "plugin.py"
        assert packages(imported(path)) == {"retina_core"}
        assert {module for module in imported(path) if module.startswith("retina_")} == {"retina_core.api"}

    def test_one_version_and_one_licence_for_all(self) -> None:
        folders = [ROOT / "core", ROOT / "cli", *(ROOT / "plugins" / name for name in PLUGINS)]
        assert len({(project(folder)["version"], project(folder)["license"]) for folder in folders}) == 1


class TestConstraints:
    def test_every_dependency_is_pinned_to_an_exact_public_version(self) -> None:
        lines = (ROOT / "constraints.txt").read_text().splitlines()
        pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
        known = {canonical(name) for name in pinned}
        for folder in [ROOT / "core", ROOT / "cli", *(ROOT / "plugins" / name for name in PLUGINS)]:
            facts = project(folder)
            extras = facts.get("optional-dependencies", {}).values()
            wanted = [*facts["dependencies"], *(line for extra in extras for line in extra)]
            names = {canonical(re.split(r"[<>=!~\[; ]", line)[0]) for line in wanted}
            assert {name for name in names if not name.startswith("retina-")} <= known, folder
        assert not [version for version in pinned.values() if "+" in version or "/" in version]

    def test_every_tool_that_make_installs_is_pinned(self) -> None:
        lines = (ROOT / "constraints.txt").read_text().splitlines()
        known = {canonical(line.split("==")[0]) for line in lines if not line.startswith("#")}
        makefile = (ROOT / "Makefile").read_text()
        tools = " ".join(re.findall(r"^[A-Z]+_TOOLS := (.*)$", makefile, flags=re.MULTILINE)).split()
        assert len(tools) > 8
        assert {canonical(tool.strip("'\"").split("[")[0]) for tool in tools} <= known


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class TestSizes:
    def test_no_file_outgrows_its_idea(self) -> None:
        folders = [
            ROOT / "core/src",
            ROOT / "cli/src",
            *(ROOT / "plugins" / name / "src" for name in PLUGINS),
        ]
        lengths = {path: path.read_text().count("\n") for folder in folders for path in sources(folder)}
        assert {str(path): length for path, length in lengths.items() if length > 320} == {}

    def test_no_room_is_called_after_nothing(self) -> None:
        nothing = {"utils", "helpers", "common", "misc", "util", "helper"}
        assert [path for path in sources(ROOT / "core/src") if path.stem in nothing] == []


class TestReference:
    HOOKS = (ROOT / "docs/reference/hooks.md").read_text(encoding="utf-8")
    COMMANDS = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")

    def test_every_hook_is_documented_and_no_other(self) -> None:
        hooks = {name for name in vars(hookspecs) if name.startswith("retina_")}
        assert set(OFFER_HOOKS) < hooks
        assert set(re.findall(r"^\| `(retina_\w+)", self.HOOKS, flags=re.MULTILINE)) == hooks

    def test_every_command_is_documented_with_every_option_and_no_other(self) -> None:
        sections = documented(self.COMMANDS)
        commands = dict(leaves(main, click.Context(main)))
        assert set(sections) == set(commands)
        for name, command in commands.items():
            text = sections[name]
            for option in command.params:
                if isinstance(option, click.Option):
                    assert f"`{option.opts[0]}" in text, f"{name} {option.opts[0]}"
            said = set(re.findall(r"`(--[a-z-]+)", text))
            assert said <= {name for option in command.params for name in option.opts}

    def test_experiment_of_the_page_can_be_read(self, tmp_path: Path) -> None:
        file = tmp_path / "experiment.toml"
        file.write_text(re.findall(r"```toml[^\n]*\n(.*?)```", self.COMMANDS, flags=re.S)[0])
        experiment = read_experiment(file)
        assert experiment.options["labels"] == "dcgan"
        assert experiment.settings["labels"] == {"resolution": 128}


def documented(text: str) -> dict[str, str]:
    """Section of each command, by its name: ``data inspect`` for ``## retina data inspect PATH``."""
    found = re.findall(r"^## retina ((?:[a-z-]+ ?)+)(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return {name.strip(): section for name, section in found}


def leaves(
    group: click.Command, context: click.Context, prefix: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    if not isinstance(group, RetinaGroup):
        yield prefix.strip(), group
        return
    for name in group.table:
        command = group.get_command(context, name)
        assert command is not None
        yield from leaves(command, context, f"{prefix} {name}")
