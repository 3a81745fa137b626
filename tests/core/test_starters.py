"""A starter is found in its package without torch, packed small and in half precision, and copied into a run as it is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from retina_core import starters
from retina_core.api import StageSpec, hookimpl
from retina_core.config import DataConfig, LearningConfig
from retina_core.data.opening import open_dataset
from retina_core.data.readers.phantom import STARTER_SEED, TEST_SEED, TRAINING_SEED
from retina_core.errors import BrokenPluginError, PathError, StageFolderError
from retina_core.formats.stage_card import CARD, MODEL, PRIORS, SEEN, is_complete, read_card, read_seen
from retina_core.formats.stage_folder import load_stage, save_stage
from retina_core.registry import Registry, Row
from retina_core.stages import Priors
from retina_core.starters import copy_starter, main, origin_of, pack_starter

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

ROW = Row("label-generator", "toy", "toy", "retina-toy", "0.1", "", "", "ok", "")
SPEC = StageSpec(
    "toy", "label-generator", "toy:ToyLabels", "toy:ToyConfig", "draws", starter="kept_ready:starter"
)
PHANTOMS = {"phantom": True, "data": ["phantom"], "request": "0" * 64, "samples": 48}


class ToyRegistry:
    """A registry with the toy alone."""

    def stage(self, name: str, role: str | None = None) -> StageSpec:
        return SPEC

    def stage_class(self, spec: StageSpec) -> type:
        return toy.ToyLabels

    def config_class(self, spec: StageSpec) -> type[LearningConfig]:
        return toy.ToyConfig  # type: ignore[no-any-return]


REGISTRY: Registry = ToyRegistry()  # type: ignore[assignment]


def trained(folder: Path, *, fovs: int = 64, px: int = 128, **provenance: Any) -> Path:
    """A stage as a training leaves it."""
    torch.manual_seed(0)
    stage = toy.ToyLabels(toy.ToyConfig(), ("vessel", "optic_disc"))
    planes = torch.zeros(fovs, 1, px, px, dtype=torch.uint8)
    planes[:, 0, 0, 0] = torch.arange(fovs)
    stage.priors = Priors(fovs=planes, thresholds={"vessel": 0.4, "optic_disc": 0.5})
    save_stage(stage, folder, plugin=ROW, seen=["a" * 64], provenance={**PHANTOMS, **provenance})
    (folder / "log.jsonl").write_text('{"seen_images": 40, "g": 0.5}\n')
    for name in ("previews", "checkpoints"):
        (folder / name).mkdir()
        (folder / name / "large").write_bytes(bytes(10**6))
    return folder


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


class TestPacking:
    def test_a_starter_loads_and_is_the_stage_to_half_precision(self, tmp_path: Path) -> None:
        before = load_stage(trained(tmp_path / "stage"), registry=REGISTRY)
        pack_starter(tmp_path / "stage", tmp_path / "starter")
        after = load_stage(tmp_path / "starter", registry=REGISTRY)
        assert {value.dtype for value in load_file(tmp_path / "starter" / MODEL).values()} == {
            torch.float16,
            torch.int64,
        }
        for name, network in before.networks().items():
            for key, value in after.networks()[name].state_dict().items():
                expected = network.state_dict()[key]
                assert value.dtype == expected.dtype
                assert torch.equal(
                    value, expected.half().to(value.dtype) if value.is_floating_point() else expected
                )
        assert after.priors.thresholds == before.priors.thresholds

    def test_it_holds_no_checkpoint_and_no_preview(self, tmp_path: Path) -> None:
        pack_starter(trained(tmp_path / "stage"), tmp_path / "starter")
        names = {path.name for path in (tmp_path / "starter").iterdir()}
        assert names == {CARD, MODEL, PRIORS, SEEN, "log.jsonl"}

    def test_few_fields_of_view_are_kept_spread_over_all(self, tmp_path: Path) -> None:
        pack_starter(trained(tmp_path / "stage"), tmp_path / "starter")
        fovs = load_file(tmp_path / "starter" / PRIORS)["fovs"]
        assert fovs[:, 0, 0, 0].tolist() == list(range(0, 64, 4))
        assert fovs.numel() <= starters.FOV_BYTES
        pack_starter(trained(tmp_path / "large", fovs=3, px=512), tmp_path / "of-large")
        assert len(load_file(tmp_path / "of-large" / PRIORS)["fovs"]) == 1

    def test_its_card_says_what_made_it_and_whose_it_is(self, tmp_path: Path) -> None:
        pack_starter(trained(tmp_path / "stage"), tmp_path / "starter", command="make starters")
        told = read_card(tmp_path / "starter").provenance
        assert (told["starter"], told["made_by"]) == ("retina-toy 0.1", "make starters")
        assert "request" not in told
        assert origin_of(tmp_path / "starter") == "the starter of retina-toy 0.1"
        assert origin_of(tmp_path / "stage") == str(tmp_path / "stage")
        assert read_seen(tmp_path / "starter") == {"a" * 64}

    def test_same_stage_same_bytes(self, tmp_path: Path) -> None:
        trained(tmp_path / "stage")
        for name in ("a", "b"):
            pack_starter(tmp_path / "stage", tmp_path / name)
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()

    def test_one_that_is_too_large_is_refused_and_the_old_one_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pack_starter(trained(tmp_path / "stage"), tmp_path / "starter")
        before = {path.name: path.read_bytes() for path in (tmp_path / "starter").iterdir()}
        monkeypatch.setattr(starters, "MOST_BYTES", size(tmp_path / "starter") - 1)
        with pytest.raises(PathError, match="MB at most; train it with narrower networks"):
            pack_starter(tmp_path / "stage", tmp_path / "starter")
        assert {path.name: path.read_bytes() for path in (tmp_path / "starter").iterdir()} == before
        monkeypatch.setattr(starters, "MOST_BYTES", size(tmp_path / "starter"))
        pack_starter(tmp_path / "stage", tmp_path / "starter")

    def test_one_that_saw_more_than_phantoms_is_refused(self, tmp_path: Path) -> None:
        trained(tmp_path / "stage", phantom=False, data=["CHASE_DB1"])
        with pytest.raises(PathError, match="a starter shows nobody's eye"):
            pack_starter(tmp_path / "stage", tmp_path / "starter")
        assert not (tmp_path / "starter").exists()

    def test_a_weight_that_half_precision_cannot_hold_is_refused(self, tmp_path: Path) -> None:
        stage = toy.ToyLabels(toy.ToyConfig(), ("vessel",))
        with torch.no_grad():
            stage.other.bias.fill_(1e6)
        save_stage(stage, tmp_path / "stage", plugin=ROW, seen=[], provenance=PHANTOMS)
        with pytest.raises(PathError, match=r"other\.bias is too large for half precision"):
            pack_starter(tmp_path / "stage", tmp_path / "starter")

    def test_the_module_is_a_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder, out = str(trained(tmp_path / "stage")), str(tmp_path / "starter")
        assert main([folder, out]) == 0
        assert is_complete(tmp_path / "starter")
        assert main([folder]) == 2
        assert main([str(tmp_path / "nowhere"), out]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 2
        assert all(line.startswith("Error: ") for line in said)


class TestCopying:
    def test_the_copy_is_a_whole_stage_that_says_it_was_not_trained_here(self, tmp_path: Path) -> None:
        pack_starter(trained(tmp_path / "stage"), tmp_path / "starter")
        copy_starter(tmp_path / "starter", tmp_path / "run/labels")
        assert is_complete(tmp_path / "run/labels")
        there, here = read_card(tmp_path / "starter"), read_card(tmp_path / "run/labels")
        assert here.files == there.files
        assert here.provenance == {**there.provenance, "used": "as it is"}
        assert read_seen(tmp_path / "run/labels") == read_seen(tmp_path / "starter")
        load_stage(tmp_path / "run/labels", registry=REGISTRY)

    def test_a_damaged_starter_is_not_copied(self, tmp_path: Path) -> None:
        pack_starter(trained(tmp_path / "stage"), tmp_path / "starter")
        content = bytearray((tmp_path / "starter" / MODEL).read_bytes())
        content[-1] ^= 1
        (tmp_path / "starter" / MODEL).write_bytes(content)
        with pytest.raises(StageFolderError, match=r"model\.safetensors is damaged"):
            copy_starter(tmp_path / "starter", tmp_path / "run")
        assert not (tmp_path / "run").exists()


def offering(spec: StageSpec) -> Any:
    """A plugin that offers one stage."""

    class Plugin:
        @hookimpl
        def retina_label_generators(self) -> list[StageSpec]:
            return [spec]

    return Plugin()


class TestFinding:
    def test_it_is_package_data_of_a_package_that_need_not_be_imported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "kept_ready/starter").mkdir(parents=True)
        (tmp_path / "kept_ready/__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.syspath_prepend(tmp_path)
        registry = Registry.of(toy=offering(SPEC))
        assert registry.starter(SPEC) == (tmp_path / "kept_ready/starter").resolve()

    def test_a_stage_without_one_has_none(self) -> None:
        spec = SPEC._replace(starter="")
        assert Registry.of(toy=offering(spec)).starter(spec) is None

    @pytest.mark.parametrize("starter", ["nowhere_at_all:starter", "nowhere.at.all:starter", "json:starter"])
    def test_one_that_is_not_there_is_an_error_when_it_is_asked_for(self, starter: str) -> None:
        spec = SPEC._replace(starter=starter)
        registry = Registry.of(toy=offering(spec))
        assert [row.name for row in registry.rows if row.role == "label-generator"] == ["toy"]
        with pytest.raises(BrokenPluginError, match=f"its starter {starter} is not there"):
            registry.starter(spec)

    def test_a_name_that_is_none_breaks_the_plugin(self) -> None:
        registry = Registry.of(toy=offering(SPEC._replace(starter="some/where")))
        assert "is not 'package:folder'" in next(
            row.reason for row in registry.rows if row.status == "broken"
        )


class TestSeries:
    """Starters see phantoms that nothing else is trained or tested on."""

    def recipes(self, preset: str) -> tuple[set[str], set[str]]:
        config = DataConfig.resolve("data", preset, {"phantom_count": 10})
        split = open_dataset("phantom", config=config).split(seed=3)
        return tuple(
            {sample.identity.split()[2] for sample in part.samples} for part in (split.train, split.test)
        )  # type: ignore[return-value]

    def test_the_preset_of_starters_draws_the_series_kept_for_them(self) -> None:
        assert self.recipes("starter") == ({str(STARTER_SEED)}, {str(TEST_SEED)})
        assert self.recipes("quick") == ({str(TRAINING_SEED)}, {str(TEST_SEED)})

    def test_no_photograph_is_in_two_series(self) -> None:
        prints = [
            {sample.fingerprint for sample in open_dataset("phantom", config=config)}
            for config in (
                DataConfig(phantom_count=4, phantom_px=32),
                DataConfig(phantom_count=4, phantom_px=32, phantom_series="starter"),
            )
        ]
        assert len(prints[0] & prints[1]) == 1  # the one that is tested on


def test_packing_runs_as_a_module(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "retina_core.starters",
        str(trained(tmp_path / "stage")),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "out" / CARD).read_text())["name"] == "toy"
