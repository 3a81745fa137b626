"""The commands that need no training: what they print, what they refuse, and with which exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from retina_cli.listener import ConsoleListener, clock, plain_line
from retina_cli.main import COMMANDS, main
from retina_cli.session import Session
from retina_core.api import CommandSpec, hookimpl
from retina_core.errors import NonFiniteLossError, PathError
from retina_core.registry import Registry
from retina_core.training.options import Progress

ROW_KEYS = ["role", "name", "plugin", "distribution", "version", "summary", "paper", "status", "reason"]


def retina(*arguments: object, session: Session | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], obj=session)


def refusal(*arguments: object) -> str:
    """The one line of a request that cannot be carried out."""
    result = retina(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    return lines[0]


class TestList:
    def test_json_has_exactly_the_keys_that_programs_read(self) -> None:
        rows = json.loads(retina("list", "--json").stdout)
        assert {tuple(row) for row in rows} == {tuple(ROW_KEYS)}

    def test_table_and_json_name_the_same(self) -> None:
        table = retina("list").stdout
        assert all(row["name"] in table for row in json.loads(retina("list", "--json").stdout))

    def test_role_leaves_the_others_out(self) -> None:
        rows = json.loads(retina("list", "--role", "reader", "--json").stdout)
        assert {row["role"] for row in rows} == {"reader"}

    def test_unknown_role_is_refused_with_the_choices(self) -> None:
        assert "'image-translator'" in refusal("list", "--role", "painter")

    def test_broken_plugin_is_listed_with_its_reason(self) -> None:
        session = session_of(bad=ModuleType("bad"))
        assert "it implements no hook" in retina("list", session=session).stdout
        doctor = retina("doctor", session=session)
        assert doctor.exit_code == 0
        assert "broken: bad: it implements no hook" in doctor.stdout


class TestShow:
    def test_settings_are_shown_with_type_presets_meaning_and_source(self) -> None:
        shown = json.loads(retina("show", "label-generator:dcgan", "--json").stdout)
        assert shown["role"] == "label-generator"
        assert shown["presets"] == ["quick", "standard", "paper"]
        settings = {row["name"]: row for row in shown["settings"]}
        assert {"resolution", "seen_images", "batch_size", "learning_rate"} <= set(settings)
        keys = ["name", "type", "default", "presets", "meaning", "unit", "source"]
        assert list(settings["resolution"]) == keys

    @pytest.mark.parametrize(
        "stage", ["label-generator:dcgan", "pair-generator:dcgan", "pix2pix", "unet", "evaluator:unet"]
    )
    def test_every_setting_has_a_meaning(self, stage: str) -> None:
        assert all(row["meaning"] for row in json.loads(retina("show", stage, "--json").stdout)["settings"])
        assert "learning_rate" in retina("show", stage).stdout

    def test_unknown_stage_names_the_nearest(self) -> None:
        assert "did you mean 'dcgan'?" in refusal("show", "dcgann")

    def test_folder_without_a_stage_is_refused(self, tmp_path: Path) -> None:
        assert "holds no trained stage" in refusal("show", tmp_path)

    def test_damaged_card_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"schema": 1')
        assert "config.json cannot be read" in refusal("show", tmp_path)


class TestDoctor:
    def test_it_agrees_with_torch_about_device_and_precision(self) -> None:
        from retina_core.devices import resolve_device, resolve_precision

        said = json.loads(retina("doctor", "--json").stdout)
        device = resolve_device("auto")
        assert said["device"] == device.type
        assert said["precision"] == resolve_precision("auto", device)

    def test_it_gives_versions_and_plugins(self) -> None:
        said = json.loads(retina("doctor", "--json").stdout)
        assert said["versions"]["retina-core"] == said["versions"]["retina-cli"]
        assert {"core", "dcgan", "pix2pix", "unet"} <= {plugin["name"] for plugin in said["plugins"]}
        assert "torch" in retina("doctor").stdout


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


class TestPhantomSet:
    def test_it_is_in_the_layout_of_the_folder_reader(self, tmp_path: Path) -> None:
        out = tmp_path / "eyes"
        result = retina("data", "phantom", "--out", out, "--count", 2, "--size", 48)
        assert result.exit_code == 0
        assert result.stdout.strip() == str(out)
        assert "no real eye" in result.stderr
        assert "No real eye" in (out / "README.md").read_text()
        rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
        assert [row["file_name"] for row in rows] == ["images/000000.png", "images/000001.png"]
        for row in rows:
            files = [out / value for key, value in row.items() if key.endswith("file_name")]
            assert {pixels(file).shape[:2] for file in files} == {(48, 48)}
            assert set(np.unique(pixels(out / row["vessel_file_name"]))) == {0, 255}

    def test_same_command_makes_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            retina("data", "phantom", "--out", tmp_path / name, "--count", 1, "--size", 32, "--seed", 7)
        files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
        assert files
        assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)

    def test_grades_are_dealt_out_in_turn(self, tmp_path: Path) -> None:
        out = tmp_path / "eyes"
        result = retina("data", "phantom", "--out", out, "--count", 3, "--size", 48, "--grade", "0,4")
        assert result.exit_code == 0
        rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
        assert [row["grade"] for row in rows] == [4, 0, 4]
        new_vessels = [pixels(out / row["neovascularisation_file_name"]).any() for row in rows]
        assert new_vessels == [True, False, True]

    def test_what_is_no_grade_is_refused_before_any_work(self, tmp_path: Path) -> None:
        assert "'5' is no grade" in refusal("data", "phantom", "--out", tmp_path / "eyes", "--grade", "1,5")
        assert not (tmp_path / "eyes").exists()

    def test_folder_that_holds_something_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("precious")
        assert "not empty" in refusal("data", "phantom", "--out", tmp_path, "--count", 1)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class TestRefusals:
    """Each before torch is imported or anything is read."""

    PIPELINE = ("pipeline", "--labels", "dcgan", "--translator", "pix2pix", "--evaluator", "unet")

    def test_unknown_command(self) -> None:
        assert "did you mean 'pipeline'?; see: retina --help" in refusal("pipelin")

    def test_unknown_option(self) -> None:
        assert "--bad" in refusal("list", "--bad")

    def test_missing_option(self) -> None:
        assert "--out" in refusal("train", "label-generator:dcgan")

    def test_unknown_prefix_names_the_nearest(self) -> None:
        assert "did you mean 'labels'" in refusal(*self.PIPELINE, "--set", "lables.resolution=64")
        assert "did you mean 'unet'" in refusal(*self.PIPELINE, "--set", "unett.resolution=64")

    def test_setting_without_a_value(self) -> None:
        assert "is not labels.KEY=VALUE" in refusal(*self.PIPELINE, "--set", "labels.resolution")
        assert "is not KEY=VALUE" in refusal("train", "label-generator:dcgan", "--out", "x", "--set", "64")

    def test_unknown_key_names_the_nearest(self) -> None:
        assert "did you mean 'resolution'" in refusal(
            "train", "label-generator:dcgan", "--out", "x", "--set", "resolutoin=64"
        )
        assert "did you mean 'test_share'" in refusal(
            "train", "label-generator:dcgan", "--out", "x", "--set", "data.testshare=1"
        )

    def test_value_out_of_bounds(self) -> None:
        assert "resolution='3' cannot be used" in refusal(
            "train", "label-generator:dcgan", "--out", "x", "--set", "resolution=3"
        )

    def test_unknown_preset(self) -> None:
        assert "did you mean 'quick'" in refusal(
            "train", "label-generator:dcgan", "--out", "x", "--preset", "qick"
        )

    def test_stage_of_another_role(self) -> None:
        assert "not a label-generator" in refusal(
            "pipeline", "--labels", "pix2pix", "--translator", "pix2pix"
        )

    def test_stage_that_is_not_installed(self) -> None:
        assert "pip install retina-nosuch" in refusal("train", "nosuch", "--out", "x")

    def test_shard_that_is_none(self) -> None:
        said = refusal(
            "generate", "--labels", "a", "--translator", "b", "--count", 4, "--out", "c", "--shard", "4/4"
        )
        assert "0 <= I < N" in said


class TestExperiment:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("cuont = 3", "did you mean 'count'"),
            ("count = 'three'", "count = 'three' is not a whole number"),
            ("count = true", "is not a whole number"),
            ("count = 0\nlabels = 'a'\ntranslator = 'b'", "0 is not in the range"),
            ("preset = 3", "is not text in quotes"),
            ("labels = ", "is not TOML"),
            ('labels = "dcgan"', "missing option '--translator'"),
            ('labels = "dcgan"\ntranslator = "pix2pix"\n[lables]\nx = 1', "did you mean 'labels'"),
            ('translator = "pix2pix"\n[labels]\nstage = "dcgann"', "did you mean 'dcgan'"),
        ],
    )
    def test_what_is_wrong_in_a_file_is_said(self, tmp_path: Path, text: str, said: str) -> None:
        file = tmp_path / "experiment.toml"
        file.write_text(text)
        assert said in refusal("pipeline", file)

    def test_file_that_is_not_there(self) -> None:
        assert "nowhere.toml: No such file" in refusal("pipeline", "nowhere.toml")

    def test_command_line_goes_before_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import retina_core

        asked: list[Any] = []

        def stop(request: Any, **_: Any) -> Path:
            asked.append(request)
            raise PathError("stop", "enough", "go")

        monkeypatch.setattr(retina_core, "run_pipeline", stop, raising=False)
        file = tmp_path / "experiment.toml"
        file.write_text(
            'translator = "pix2pix"\nevaluator = "unet"\ncount = 3\nseed = 5\n'
            '[labels]\nstage = "dcgan"\nresolution = 64\nlatent = 8\n[data]\npath = "eyes"\ntest_share = 0.5\n'
        )
        result = retina("pipeline", file, "--count", 4, "--set", "labels.resolution=32")
        assert result.exit_code == 2, result.output
        request = asked[0]
        assert (request.labels, request.translator, request.evaluators) == ("dcgan", "pix2pix", ("unet",))
        assert (request.count, request.seed, request.data) == (4, 5, "eyes")
        assert request.settings == {"labels": {"resolution": "32", "latent": 8}, "data": {"test_share": 0.5}}


def session_of(**modules: Any) -> Session:
    session = Session()
    session.__dict__["registry"] = Registry.of(**modules)
    return session


def plugin_with_command(name: str, target: str) -> ModuleType:
    module = ModuleType("made_up")

    def retina_commands() -> list[CommandSpec]:
        return [CommandSpec(name, target, "Made up by a test.")]

    vars(module)["retina_commands"] = hookimpl(retina_commands)
    return module


@click.command()
def diverging() -> None:
    raise NonFiniteLossError("dcgan", 7, {"d": float("nan")}, None)


@click.command()
def interrupted() -> None:
    raise KeyboardInterrupt


@click.command()
def buggy() -> int:
    return 1 // 0


@click.command()
def counting() -> int:
    return 5


class TestPluginCommands:
    def session(self, attribute: str, monkeypatch: pytest.MonkeyPatch) -> Session:
        holder = ModuleType("made_up_commands")
        vars(holder).update(
            diverging=diverging, interrupted=interrupted, buggy=buggy, counting=counting, seven=7
        )
        monkeypatch.setitem(sys.modules, "made_up_commands", holder)
        return session_of(extra=plugin_with_command("extra", f"made_up_commands:{attribute}"))

    def test_it_stands_after_our_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = retina("--help", session=self.session("buggy", monkeypatch)).stdout
        assert text.index("pipeline") < text.index("Commands of plugins") < text.index("Made up by a test.")

    def test_failed_run_is_one_line_with_its_status(self, monkeypatch: pytest.MonkeyPatch) -> None:
        result = retina("extra", session=self.session("diverging", monkeypatch))
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: dcgan: the loss is not finite")

    def test_interrupt_says_that_the_same_command_continues(self, monkeypatch: pytest.MonkeyPatch) -> None:
        result = retina("extra", session=self.session("interrupted", monkeypatch))
        assert result.exit_code == 130
        assert "the same command continues" in result.stderr

    def test_bug_keeps_its_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        result = retina("extra", session=self.session("buggy", monkeypatch))
        assert isinstance(result.exception, ZeroDivisionError)

    def test_what_a_command_returns_is_no_exit_status(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert retina("extra", session=self.session("counting", monkeypatch)).exit_code == 0

    def test_command_that_is_none_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        result = retina("extra", session=self.session("seven", monkeypatch))
        assert result.exit_code == 2
        assert "is no click command" in result.stderr


class TestProgress:
    def test_plain_line_has_rate_and_time_left(self) -> None:
        line = plain_line(Progress("dcgan", 400, 2000, "images", 52.04, 30.8, {"d": 0.6123}))
        assert line == "dcgan: 400 of 2000 images, 52 images/s, 0:31 left, d 0.612"

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(3, "0:03"), (3725, "1:02:05"), (float("inf"), "?"), (float("nan"), "?"), (-1, "?")],
    )
    def test_clock(self, seconds: float, text: str) -> None:
        assert clock(seconds) == text

    def test_log_file_is_not_filled(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ConsoleListener() as listener:
            for done in range(1, 101):
                listener.progress(Progress("x", done, 100, "images", 1, 1, {}))
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 2  # the first, and the end


class TestRealProcess:
    def test_module_is_the_same_command(self) -> None:
        run = subprocess.run(
            [sys.executable, "-m", "retina_cli", "--help"], capture_output=True, text=True, check=True
        )
        assert run.stdout.startswith("Usage: retina ")
        assert all(name in run.stdout for name in COMMANDS)

    def test_reader_that_closes_the_pipe_sees_no_traceback(self) -> None:
        command = f"{sys.executable} -m retina_cli doctor | head -1"
        run = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        assert "Traceback" not in run.stderr
