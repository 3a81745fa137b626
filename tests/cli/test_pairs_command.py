"""``--pairs`` in place of ``--labels`` and ``--translator``: what is refused, and a whole run as a user has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from retina_cli.experiment import read_experiment
from retina_cli.main import main

TWO = ("--labels", "dcgan", "--translator", "pix2pix")
COMMANDS = {
    "pipeline": ("--evaluator", "none"),
    "sweep": (),
    "generate": ("--count", "2", "--out", "set"),
}
PHANTOMS = ("--set", "data.phantom_count=5", "--set", "data.phantom_px=32", "--set", "data.channels=vessel")
TINY = ("resolution=32", "width=4", "max_width=8", "discriminator_width=4", "seen_images=16", "batch_size=4")


def retina(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def refusal(*words: str) -> str:
    done = retina(*words)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_pairs_stand_alone(command: str) -> None:
    more = COMMANDS[command]
    assert "in place of --labels and --translator; leave it out, or --labels and --translator" in refusal(
        command, "--pairs", "dcgan", *TWO, *more
    )
    assert "leave it out, or --translator" in refusal(command, "--pairs", "dcgan", *TWO[2:], *more)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_missing_is_named(command: str) -> None:
    more = COMMANDS[command]
    for given, missing in ((TWO[:2], "--translator"), (TWO[2:], "--labels"), ((), "--labels")):
        said = refusal(command, *given, *more)
        assert f"missing option '{missing}'" in said
        assert "a pair generator with --pairs" in said


def test_a_name_of_two_roles_is_refused_with_the_choices(tmp_path: Path) -> None:
    for command in (("train", "dcgan", "--out", str(tmp_path / "out")), ("show", "dcgan")):
        assert "write label-generator:dcgan or pair-generator:dcgan" in refusal(*command)
    wrong = ("train", "pair-generator:dcgan", "--out", str(tmp_path / "out"), "--set", "resolution=3")
    assert "see: retina show pair-generator:dcgan" in refusal(*wrong)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--grade", "3"), "--grade 3 cannot be asked of dcgan: it takes no grades"),
        (("--set", "labels.resolution=32"), "no setting 'labels'"),
        (("--set", "pairs.resolutoin=32"), "did you mean 'resolution'"),
        (("--init", "starter"), "ships no starter"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    more: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert said in refusal("pipeline", "--pairs", "dcgan", *PHANTOMS, "--out", str(run), *more)
    assert not run.exists()


def test_the_role_is_listed() -> None:
    rows = json.loads(retina("list", "--role", "pair-generator", "--json").stdout)
    assert [(row["role"], row["name"], row["status"]) for row in rows] == [("pair-generator", "dcgan", "ok")]


def test_an_experiment_names_it_as_a_key_or_in_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def run_pipeline(request: Any, **_: Any) -> None:
        asked.append(request)
        raise click.exceptions.Exit(0)

    monkeypatch.setattr("retina_core.run_pipeline", run_pipeline)
    file = tmp_path / "one.toml"
    for text in ('pairs = "dcgan"\n', '[pairs]\nstage = "dcgan"\nlatent = 8\n'):
        file.write_text(f'evaluator = "none"\n{text}')
        assert read_experiment(file).options["pairs"] == "dcgan"
        assert retina("pipeline", str(file)).exit_code == 0
    assert [(one.pairs, one.labels, one.translator) for one in asked] == [("dcgan", None, None)] * 2
    assert [one.settings for one in asked] == [{}, {"pairs": {"latent": 8}}]


def test_a_run_and_its_parts_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    settings = [word for one in TINY for word in ("--set", f"pairs.{one}")]
    asked = (
        "--pairs",
        "dcgan",
        "--evaluator",
        "none",
        "--preset",
        "quick",
        "--count",
        "3",
        "--device",
        "cpu",
    )
    done = retina("pipeline", *asked, *PHANTOMS, *settings, "--out", "run")
    assert done.exit_code == 0, done.output
    assert "dcgan draws label maps and photographs together: 3 pairs in run" in done.stderr
    steps = json.loads(Path("run/run.json").read_text())["steps"]
    assert list(steps) == ["pairs", "synthetic", "evaluation/likeness"]
    page = Path("run/report.html").read_text()
    for words in ("drew label maps (vessel) and photographs together", "Pair generator", "pairs: dcgan"):
        assert words in page
    assert "None" not in page
    assert list(Path("run/pairs/previews").glob("*.png"))

    settings = [word for one in TINY for word in ("--set", one)]
    trained = ("train", "pair-generator:dcgan", "--preset", "quick", "--device", "cpu", *PHANTOMS, *settings)
    assert retina(*trained, "--out", "again").exit_code == 0
    assert Path("again/model.safetensors").read_bytes() == Path("run/pairs/model.safetensors").read_bytes()
    drawn = retina("generate", "--pairs", "again", "--count", "3", "--out", "set", "--device", "cpu")
    assert (drawn.exit_code, drawn.stdout) == (0, "set\n")
    for picture in ("images/000002.png", "labels/vessel/000002.png", "fov/000002.png"):
        assert Path("set", picture).read_bytes() == Path("run/synthetic", picture).read_bytes()
    style = refusal("generate", "--pairs", "again", "--count", "1", "--out", "x", "--style", "photo.png")
    assert "dcgan draws pairs from noise alone" in style
