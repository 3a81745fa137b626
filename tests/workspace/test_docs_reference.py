"""The reference says what the code does: its generated parts are up to date, and the keys that it names are in the files."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import retina_core
from retina_cli.main import main as retina
from retina_core.evaluation import figures
from retina_core.registry import Registry

ROOT = Path(__file__).parents[2]
FORMATS = (ROOT / "docs/reference/formats.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_as_docs_generate_writes_them() -> None:
    pages: dict[Path, str] = generator().pages()
    assert {path.name for path in pages} == {
        *("commands.md", "configs.md", "contracts.md", "errors.md", "formats.md", "hooks.md")
    }
    stale = [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: make docs, or .venv/bin/python docs/generate.py"


def test_every_block_that_can_be_generated_stands_in_a_page() -> None:
    found = re.findall(r"<!-- generated: ([\w-]+),", "".join(generator().pages().values()))
    assert sorted(found) == sorted(generator().BLOCKS)


@pytest.mark.parametrize(
    "name", Registry.discover().names("segmenter") + Registry.discover().names("evaluator")
)
def test_settings_of_every_evaluator_are_listed(name: str) -> None:
    settings = (ROOT / "docs/reference/configs.md").read_text(encoding="utf-8")
    # With its role where another stage has the name too.
    assert re.search(rf"\n## (segmenter:|evaluator:)?{name}\n", settings)


def documented(of: str) -> set[str]:
    """The keys of the table under ``<!-- keys of ... -->``."""
    table = FORMATS.split(f"<!-- keys of {of} -->\n")[1].lstrip("\n").split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def answer(*words: str) -> Any:
    done = CliRunner().invoke(retina, list(words))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def loaded(path: Path) -> Any:
    return json.loads(
        path.read_text(encoding="utf-8").splitlines()[0] if path.suffix == ".jsonl" else path.read_text()
    )


class TestKeys:
    """What a finished run and the commands really write."""

    @pytest.mark.parametrize("name", ["run.json", "data.json"])
    def test_of_a_run(self, name: str, chain: Any) -> None:
        assert set(loaded(chain.run / name)) == documented(name)

    def test_of_a_synthetic_set(self, chain: Any) -> None:
        row = loaded(chain.run / "synthetic/metadata.jsonl")
        named = {key.replace("<channel>", "cell") for key in documented("metadata.jsonl")}
        assert set(row) == named

    def test_of_what_was_seen(self, chain: Any) -> None:
        assert set(loaded(chain.run / "labels/seen.json")) == documented("seen.json")
        assert set(loaded(chain.run / "synthetic/seen.json")) == documented("seen.json") | {"request"}

    def test_of_a_stage_card(self, chain: Any) -> None:
        block = FORMATS.split("<!-- generated: stage-card")[1].split("<!-- end")[0]
        assert set(loaded(chain.run / "labels/config.json")) == set(
            re.findall(r"^\| `(\w+)`", block, flags=re.M)
        )

    def test_of_scores_and_figures(self, chain: Any) -> None:
        block = FORMATS.split("<!-- generated: scores")[1].split("<!-- end")[0]
        keys = set(re.findall(r"^\| `(\w+)`", block, flags=re.M))
        assert {
            key for score in loaded(chain.run / "evaluation/unet/scores.json")["scores"] for key in score
        } == keys - {"grade"}  # of scores of one grade alone
        kinds = {row["kind"] for row in loaded(chain.run / "evaluation/likeness/figures.json")["figures"]}
        told = set(re.findall(r"^- \*\*([a-z]+)\*\*", FORMATS, flags=re.M))
        assert kinds < told == {kind.kind for kind in figures.Figure.__args__}

    def test_of_the_scores_of_each_eye(self, chain: Any) -> None:
        with (chain.run / "evaluation/unet/eyes.csv").open(newline="") as file:
            columns = next(csv.reader(file))
        section = FORMATS.split("### eyes.csv")[1].split("###")[0]
        assert set(columns[:6]) == set(re.findall(r"`(\w+)`", section))

    def test_of_what_is_inspected(self, chain: Any) -> None:
        assert set(answer("data", "inspect", str(chain.data), "--json")) == documented("inspect")

    def test_of_what_is_shown_and_of_the_doctor(self) -> None:
        assert set(answer("show", "label-generator:dcgan", "--json")) == documented("show")
        assert set(answer("doctor", "--json")) == documented("doctor")

    def test_of_what_is_listed(self) -> None:
        block = FORMATS.split("<!-- generated: list-rows")[1].split("<!-- end")[0]
        assert set(answer("list", "--json")[0]) == set(re.findall(r"^\| `(\w+)`", block, flags=re.M))


def test_every_file_of_a_run_is_named(chain: Any) -> None:
    files = {path.name for path in chain.run.rglob("*") if path.is_file() and path.suffix != ".png"}
    hidden = {name for name in files if name.startswith(".")}
    assert {name for name in files - hidden if name not in FORMATS} <= {"state.safetensors"}


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    assert [name for name in retina_core.__all__ if f"::: retina_core.{name}\n" not in f"{page}\n"] == []


@pytest.mark.parametrize(
    "name", re.findall(r"^::: ([\w.]+)$", (ROOT / "docs/reference/python.md").read_text(), re.M)
)
def test_what_the_reference_names_exists_and_has_a_docstring(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, str) or found.__doc__
