"""Starters in the whole: used as they are on phantoms, trained on from where that is asked for, and said each time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from retina_cli.main import main
from retina_cli.report import write_report
from retina_cli.session import Session
from retina_core import (
    DataConfig,
    FitOptions,
    PipelineRequest,
    Registry,
    fit,
    load_stage,
    open_dataset,
    run_pipeline,
)
from retina_core.discovery import Announcement
from retina_core.errors import InvalidValueError
from retina_core.formats.stage_card import CARD, MODEL, read_card, read_seen
from retina_core.formats.stage_folder import weights_of
from retina_core.run_plan import RunPlan
from retina_core.starters import pack_starter
from retina_core.testing.learning import StopAt, StoppedError

CPU = FitOptions(device="cpu", precision="fp32")
NARROW = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8, "batch_size": 4}
EYES = {"phantom_count": 6, "phantom_px": 48}
LEARNT = {"labels": "dcgan", "translator": "pix2pix"}
ROLES = {"labels": "label-generator", "translator": "image-translator"}
HOOKS = {"labels": "retina_label_generators", "translator": "retina_image_translators"}
PLUGIN = """
from retina_core.api import hookimpl
from retina_{stage} import plugin

@hookimpl
def {hook}():
    return [spec._replace(starter="ready_made:{prefix}") for spec in plugin.{hook}()]
"""


def draw_eyes(**changes: Any) -> Any:
    return open_dataset("phantom", config=DataConfig(**EYES, **changes)).split().train


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package ``ready_made``, with a starter of ``dcgan`` and one of ``pix2pix``, on the path."""
    home = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETINA_CACHE", str(home / "cache"))
        for prefix, stage in LEARNT.items():
            settings = {**NARROW, "seen_images": 8}
            samples = draw_eyes(phantom_series="starter")
            fit(
                f"{ROLES[prefix]}:{stage}",
                samples,
                home / prefix,
                preset="quick",
                settings=settings,
                options=CPU,
            )
            pack_starter(home / prefix, home / "ready_made" / prefix)
            (home / "ready_made" / f"{stage}.py").write_text(
                PLUGIN.format(stage=stage, prefix=prefix, hook=HOOKS[prefix])
            )
        patch.syspath_prepend(home)
        yield home / "ready_made"


def registry_of(*ready: str) -> Registry:
    """``dcgan``, ``pix2pix`` and ``unet``; those named (by prefix) ship a starter."""
    announced = {"unet": "retina_unet.plugin"}
    for prefix, stage in LEARNT.items():
        announced[stage] = f"ready_made.{stage}" if prefix in ready else f"retina_{stage}.plugin"
    return Registry.discover(
        Announcement(name, target, f"retina-{name}", "0.1.0") for name, target in announced.items()
    )


BOTH = ("labels", "translator")


def request(out: Path, **changes: Any) -> PipelineRequest:
    settings = {"data": EYES, **changes.pop("settings", {})}
    return PipelineRequest(**LEARNT, count=4, out=out, settings=settings, **changes)


@dataclass
class Lines:
    """A listener that keeps what is said, and stops where it is told to."""

    stop_at: str = "never"
    said: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.said.append(line)
        if self.stop_at in line:
            raise StoppedError

    def progress(self, progress: Any) -> None:
        """Nothing."""


def starts(out: Path, registry: Registry, **changes: Any) -> dict[str, tuple[str | None, bool]]:
    """Prefix -> the folder's name that it begins with, and whether it is trained."""
    plan = RunPlan.of(request(out, **changes), registry, CPU)
    return {
        prefix: (start.folder and f"{start.folder.parent.name}/{start.folder.name}", start.trained)
        for prefix, start in plan.starts.items()
    }


READY = {prefix: (f"ready_made/{prefix}", False) for prefix in BOTH}
FRESH = dict.fromkeys(BOTH, (None, True))
LEARNS_ON = {prefix: (folder, True) for prefix, (folder, _) in READY.items()}


class TestWhereAStageBegins:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, READY),
            ({"seed": 4}, READY),
            ({"settings": {"unet": {"resolution": 32}}}, READY),
            ({"settings": {"data": {**EYES, "channels": "vessel"}}}, READY),
            ({"init": "none"}, FRESH),
            ({"preset": "quick"}, FRESH),
            ({"preset": "standard"}, FRESH),
            ({"settings": {"labels": NARROW}}, {**READY, "labels": (None, True)}),
            ({"settings": {"translator": NARROW}}, {**READY, "translator": (None, True)}),
            ({"settings": {"data": {**EYES, "channels": "vessel,fovea"}}}, FRESH),
            ({"init": "starter"}, LEARNS_ON),
            ({"init": "starter", "preset": "quick", "settings": {"labels": {"seen_images": 8}}}, LEARNS_ON),
        ],
    )
    def test_on_phantoms(self, changes: dict[str, Any], expected: Any, ready: Path, tmp_path: Path) -> None:
        assert starts(tmp_path, registry_of(*BOTH), **changes) == expected

    def test_a_stage_that_ships_none_is_trained(self, ready: Path, tmp_path: Path) -> None:
        assert starts(tmp_path, registry_of("translator")) == {**READY, "labels": (None, True)}
        assert starts(tmp_path, registry_of()) == FRESH

    def test_a_starter_is_not_used_over_maps_without_its_channels(self, ready: Path, tmp_path: Path) -> None:
        vessels = {"settings": {"data": {**EYES, "channels": "vessel"}}}
        assert starts(tmp_path, registry_of("translator"), **vessels) == FRESH
        plan = RunPlan.of(request(tmp_path, **vessels), registry_of("translator"), CPU)
        assert plan.told()[0] == "pix2pix: its starter is for vessel, optic_disc, and so not taken here"

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, LEARNS_ON),
            ({"preset": "quick"}, LEARNS_ON),
            ({"settings": {"labels": {"seen_images": 8}}}, LEARNS_ON),
            ({"settings": {"labels": {"width": 4}}}, {**LEARNS_ON, "labels": (None, True)}),
            ({"preset": "paper"}, FRESH),
            ({"init": "none"}, FRESH),
        ],
    )
    def test_with_data_it_learns_on_from_starters(
        self, changes: dict[str, Any], expected: Any, ready: Path, tmp_path: Path, chain: Any
    ) -> None:
        data = shutil.copytree(chain.data, tmp_path / "eyes")
        (data / "labels/cell").rename(data / "labels/vessel")
        settings = {"data": {}, **changes.pop("settings", {})}
        asked = {"data": str(data), "settings": settings, **changes}
        assert starts(tmp_path, registry_of(*BOTH), **asked) == expected

    def test_with_data_of_other_channels_it_begins_from_nothing(
        self, ready: Path, tmp_path: Path, chain: Any
    ) -> None:
        asked = {"data": str(chain.data), "settings": {"data": {}}}
        assert starts(tmp_path, registry_of(*BOTH), **asked) == FRESH
        plan = RunPlan.of(request(tmp_path, **asked), registry_of(*BOTH), CPU)
        assert plan.request.chosen_preset == "standard"

    def test_asking_for_one_that_is_not_shipped_names_the_stage(self, ready: Path, tmp_path: Path) -> None:
        with pytest.raises(
            InvalidValueError, match="dcgan ships no starter; use none, or the folder of a run"
        ):
            starts(tmp_path, registry_of("translator"), init="starter")

    def test_networks_are_shaped_as_those_whose_weights_they_begin_with(
        self, ready: Path, tmp_path: Path
    ) -> None:
        settings = {"translator": {"width": 4}}
        plan = RunPlan.of(request(tmp_path, init="starter", settings=settings), registry_of(*BOTH), CPU)
        shapes = {prefix: plan.configs[prefix].model_dump()["width"] for prefix in BOTH}
        assert shapes == {"labels": 8, "translator": 4}  # the starter's, and what was asked for


@pytest.fixture(scope="module")
def first(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run with no flags, and what was said along the way."""
    lines, out = Lines(), tmp_path_factory.mktemp("first") / "run"
    run_pipeline(request(out), options=replace(CPU, listener=lines), registry=registry_of(*BOTH))
    return out, lines.said


def test_starters_are_the_runs_stages_as_they_are(first: tuple[Path, list[str]], ready: Path) -> None:
    run, _ = first
    for prefix in BOTH:
        assert read_card(run / prefix).files == read_card(ready / prefix).files
        assert read_card(run / prefix).provenance["used"] == "as it is"
        assert read_seen(run / prefix) == read_seen(ready / prefix)
        assert not (run / prefix / "checkpoints").exists()
        load_stage(run / prefix, registry=registry_of(*BOTH))
    assert len(list((run / "synthetic/images").iterdir())) == 4


def test_run_json_says_where_each_stage_began(first: tuple[Path, list[str]], ready: Path) -> None:
    told = json.loads((first[0] / "run.json").read_text())
    assert told["preset"] == "quick"
    assert told["starts"]["labels"] == {
        "from": "the starter of retina-dcgan 0.1.0",
        "trained": False,
        "files": read_card(ready / "labels").files,
    }
    assert told["configs"]["translator"] == read_card(ready / "translator").config


def test_what_is_said_counts_the_steps_and_names_what_was_made(first: tuple[Path, list[str]]) -> None:
    run, said = first
    assert said[0].startswith("dcgan draws label maps, pix2pix paints photographs over them: 4 pairs in ")
    assert "Ctrl-C" in said[1]
    steps = [line for line in said if line.startswith("step ")]
    assert steps[0] == "step 1 of 4, labels: begins (dcgan comes trained: its starter is used as it is)"
    assert steps[1].endswith(f"s, see {run / 'labels'}")
    assert [line.partition(":")[0] for line in steps[::2]] == [
        f"step {place} of 4, {name}"
        for place, name in enumerate(("labels", "translator", "synthetic", "evaluation/likeness"), start=1)
    ]


def test_the_same_request_finds_everything_done(first: tuple[Path, list[str]]) -> None:
    lines = Lines()
    run_pipeline(request(first[0]), options=replace(CPU, listener=lines), registry=registry_of(*BOTH))
    assert lines.said == []


def test_the_report_says_that_the_stages_came_trained(first: tuple[Path, list[str]]) -> None:
    page = write_report(first[0]).read_text()
    assert "Both came trained, as the starters of their plugins" in page
    assert "no real eye" in page


def test_a_run_killed_while_a_starter_was_copied_ends_as_one_that_was_not(
    first: tuple[Path, list[str]], tmp_path: Path
) -> None:
    registry = registry_of(*BOTH)
    stopped = replace(CPU, listener=Lines(stop_at="step 2 of 4, translator: begins"))
    with pytest.raises(StoppedError):
        run_pipeline(request(tmp_path / "run"), options=stopped, registry=registry)
    (tmp_path / "run/labels" / CARD).unlink()  # as between the weights and the card
    (tmp_path / "run/labels" / MODEL).write_bytes(b"half")
    run_pipeline(request(tmp_path / "run"), options=CPU, registry=registry)
    for path in sorted(first[0].rglob("*.*")):
        if path.name not in {"run.json", "report.html", ".lock"} and path.is_file():
            assert path.read_bytes() == (tmp_path / "run" / path.relative_to(first[0])).read_bytes(), path


def test_another_version_of_a_starter_is_taken_anew(ready: Path, tmp_path: Path) -> None:
    run_pipeline(request(tmp_path / "run"), options=CPU, registry=registry_of(*BOTH))
    before, card = (tmp_path / "run/labels" / CARD).read_bytes(), ready / "labels" / CARD
    kept = card.read_text()
    try:
        card.write_text(kept.replace('"made_by": "make starters"', '"made_by": "somebody else"'))
        run_pipeline(request(tmp_path / "run"), options=CPU, registry=registry_of(*BOTH))
    finally:
        card.write_text(kept)
    assert (tmp_path / "run/labels" / CARD).read_bytes() != before


class TestTrainingOn:
    """``--init starter``, with other channels and at another resolution."""

    OTHER = {"resolution": 64, "seen_images": 24, "batch_size": 4, "checkpoint_every": 8}

    def train(self, ready: Path, out: Path, listener: Any) -> dict[str, Any]:
        stage = fit(
            "label-generator:dcgan",
            draw_eyes(channels=("fovea", "vessel")),
            out,
            preset="quick",
            settings=self.OTHER,
            init=ready / "labels",
            options=replace(CPU, listener=listener),
            registry=registry_of(*BOTH),
        )
        return {key: value.clone() for key, value in weights_of(stage).items()}

    def test_it_says_what_it_took_and_a_stop_changes_nothing(self, ready: Path, tmp_path: Path) -> None:
        lines = Lines()
        straight = self.train(ready, tmp_path / "straight", lines)
        assert "dcgan: width 8, max_width 16, as in the starter of retina-dcgan 0.1.0" in lines.said
        started = next(line for line in lines.said if "starts from" in line)
        assert started.startswith(
            "dcgan: starts from the starter of retina-dcgan 0.1.0: vessel taken, fovea fresh"
        )
        assert "32 px there, 64 px here" in started
        assert read_card(tmp_path / "straight").provenance["init"] == "the starter of retina-dcgan 0.1.0"
        with pytest.raises(StoppedError):
            self.train(ready, tmp_path / "stopped", StopAt(12))
        resumed = self.train(ready, tmp_path / "stopped", Lines())
        assert all(bool((value == straight[key]).all()) for key, value in resumed.items())


def retina(registry: Registry, *arguments: object) -> Result:
    session = Session()
    session.__dict__["registry"] = registry
    return CliRunner().invoke(main, [str(argument) for argument in arguments], obj=session)


class TestCommands:
    SMALL = ("--set", "data.phantom_count=6", "--set", "data.phantom_px=48", "--device", "cpu")
    UNET = ("resolution=32", "patch_px=16", "width=4", "depth=2", "seen_images=16", "batch_size=4")

    def test_the_newcomers_command_ends_with_scores_paths_and_whose_eyes_these_are(
        self, ready: Path, tmp_path: Path
    ) -> None:
        named = ["--labels", "dcgan", "--translator", "pix2pix", "--count", 4, "--out", tmp_path / "run"]
        unet = [word for setting in self.UNET for word in ("--set", f"unet.{setting}")]
        done = retina(registry_of(*BOTH), "pipeline", *named, *self.SMALL, *unet)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[0] == "Dice on one phantom kept back:"
        assert lines[1].split() == ["unet", "trained", "on", "vessel", "optic", "disc"]
        assert lines[2].startswith("REAL (")
        assert lines[3].startswith("SYNTH (4 synthetic pairs)")
        assert lines[4].startswith("SYNTH as share of REAL")
        assert lines[-4] == f"pairs   {tmp_path / 'run/synthetic'} (4)"
        assert lines[-3].split()[:2] == ["filters", "refused"]
        assert lines[-2] == f"report  {tmp_path / 'run/report.html'}"
        assert "no real eye was used" in lines[-1]
        assert (tmp_path / "run/report.html").is_file()
        told = "unet learns from 5 phantoms (REAL), from the pairs (SYNTH), and is tested on 1 kept back"
        assert f"step 4 of 5, evaluation/unet: begins ({told})" in done.stderr

    def test_nothing_is_evaluated_where_none_is_said(self, ready: Path, tmp_path: Path) -> None:
        named = ["--labels", "dcgan", "--translator", "pix2pix", "--count", 4, "--out", tmp_path / "run"]
        done = retina(registry_of(*BOTH), "pipeline", *named, *self.SMALL, "--evaluator", "none")
        assert done.exit_code == 0, done.output
        assert [line.split()[0] for line in done.stdout.splitlines()] == [
            "pairs",
            "filters",
            "report",
            "These",
        ]
        assert not (tmp_path / "run/evaluation/unet").exists()
        named = ["--labels", "dcgan", "--translator", "pix2pix", "--evaluator", "none", "--evaluator", "unet"]
        refused = retina(registry_of(*BOTH), "pipeline", *named)
        assert (refused.exit_code, "none stands alone" in refused.stderr) == (2, True)

    def test_train_begins_with_the_starter_where_it_is_asked_to(self, ready: Path, tmp_path: Path) -> None:
        quick = ["--preset", "quick", "--set", "seen_images=8", "--set", "resolution=32", *self.SMALL]
        done = retina(
            registry_of("labels"),
            "train",
            "label-generator:dcgan",
            "--init",
            "starter",
            "--out",
            tmp_path / "a",
            *quick,
        )
        assert done.exit_code == 0, done.output
        assert "dcgan: starts from all weights of the starter of retina-dcgan 0.1.0" in done.stderr
        refused = retina(
            registry_of(),
            "train",
            "label-generator:dcgan",
            "--init",
            "starter",
            "--out",
            tmp_path / "b",
            *quick,
        )
        assert (refused.exit_code, "dcgan ships no starter" in refused.stderr) == (2, True)

    def test_show_says_that_a_stage_comes_trained(self) -> None:
        assert "comes trained" in retina(registry_of("labels"), "show", "label-generator:dcgan").stdout
        assert "comes trained" not in retina(registry_of(), "show", "label-generator:dcgan").stdout
        assert (
            json.loads(retina(registry_of("labels"), "show", "label-generator:dcgan", "--json").stdout)[
                "starter"
            ]
            is True
        )
