"""A run whose translator borrows features: the segmenter is a step of its own, and run.json says what was used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retina_core import FitOptions, PipelineRequest, run_pipeline
from retina_core.errors import PathError
from retina_core.formats.stage_card import read_card


class StoppedError(Exception):
    """Stands for a kill."""


class Told:
    """Remembers what was said; ends the run while the segmenter is fitted, where it is told to."""

    def __init__(self, *, stop: bool = False) -> None:
        self.stop = stop
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, progress: Any) -> None:
        if self.stop and progress.task == "unet":
            raise StoppedError


def request(chain: Any, out: Path, **settings: Any) -> PipelineRequest:
    """The chain's, without an evaluation, and with settings of the translator."""
    asked = chain.request
    translator = {**asked.settings["translator"], **settings}
    return replace(asked, evaluators=(), out=out, settings={**asked.settings, "translator": translator})


def run(asked: PipelineRequest, told: Told | None = None) -> dict[str, Any]:
    run_pipeline(asked, options=FitOptions(device="cpu", listener=told or Told()))
    return state(asked)


def state(asked: PipelineRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((asked.folder / "run.json").read_text())
    return found


@pytest.fixture(scope="module")
def borrowing(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineRequest, list[str]]:
    """A finished run that compared photographs in features of a segmenter, and what it said."""
    asked, told = request(chain, tmp_path_factory.mktemp("borrowing") / "run", perceptual="segmenter"), Told()
    run(asked, told)
    return asked, told.lines


def test_the_segmenter_is_a_step_with_a_folder_of_its_own(borrowing: Any) -> None:
    asked, said = borrowing
    steps = state(asked)["steps"]
    assert list(steps)[:3] == ["labels", "features", "translator"]
    assert {step["status"] for step in steps.values()} == {"done"}
    assert (asked.folder / "features" / "unet" / "config.json").is_file()
    assert any("unet learns what to compare photographs by" in line for line in said)
    assert not (asked.folder / "translator" / "features").exists()


def test_the_segmenter_saw_the_training_part_alone(borrowing: Any) -> None:
    asked, _ = borrowing
    seen, data = (
        json.loads((asked.folder / name).read_text()) for name in ("features/unet/seen.json", "data.json")
    )
    translators = json.loads((asked.folder / "translator/seen.json").read_text())
    assert seen == translators
    assert len(seen["fingerprints"]) == len(data["train"])


def test_run_json_says_what_was_used(borrowing: Any, chain: Any) -> None:
    asked, _ = borrowing
    card = read_card(asked.folder / "features" / "unet")
    used = {"source": "segmenter", "stage": "unet", "sha256": card.files["model.safetensors"]}
    assert state(asked)["perceptual"] == used
    assert json.loads((chain.run / "run.json").read_text())["perceptual"] == {"source": "none"}
    assert not (chain.run / "features").exists()


def test_a_finished_run_is_not_done_again(borrowing: Any) -> None:
    asked, _ = borrowing
    before, told = state(asked), Told()
    assert run(asked, told) == before
    assert told.lines == []


def test_a_run_killed_while_the_segmenter_is_fitted_goes_on(borrowing: Any, tmp_path: Path) -> None:
    asked = replace(borrowing[0], out=tmp_path / "run")
    with pytest.raises(StoppedError):
        run(asked, Told(stop=True))
    assert state(asked)["steps"]["features"]["status"] == "failed"
    assert state(asked)["perceptual"] == {}
    ended = run(asked)
    assert ended["perceptual"] == state(borrowing[0])["perceptual"]
    weights = [one.folder / "translator" / "model.safetensors" for one in (asked, borrowing[0])]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_missing_weights_are_said_before_anything_is_made(
    chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    asked = request(chain, tmp_path / "run", perceptual="vgg19")
    with pytest.raises(PathError, match="perceptual_download=true"):
        run(asked)
    assert not asked.folder.exists()
