"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retina_cli.main import COMMANDS

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_example_runs(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {}
    exec(compile(BLOCKS[number], f"README.md, example {number}", "exec"), names)  # the README is ours
    if number == 0:
        assert names["photos"].shape == (4, 3, 64, 64)
        assert len(list(Path("runs/mine/synthetic/images").iterdir())) == 8
        assert names["scores"].find("dice", "SYNTH", "vessel") is not None
        assert names["again"].name == "pix2pix"
    else:
        assert (tmp_path / "runs/whole/evaluation/likeness/scores.json").is_file()


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"^    retina (\w+)", README.read_text(encoding="utf-8"), flags=re.M))
    assert named
    assert named <= set(COMMANDS)


def test_pictures_that_it_shows_are_there() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert shown
    assert [path for path in shown if not (README.parent / path).is_file()] == []
