"""What every stage that learns promises, whatever its role."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import torch

from retina_core.config import PRESETS
from retina_core.errors import RunFolderError, StageFolderError, UnknownKeyError
from retina_core.formats.stage_card import MODEL, read_card
from retina_core.formats.stage_folder import load_stage
from retina_core.registry import Registry
from retina_core.specs import Role, StageSpec
from retina_core.stages import LearningStage, Stage
from retina_core.testing.eyes import tiny_eyes
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions, Progress


class StoppedError(Exception):
    """The training was stopped, as a kill would."""


@dataclass
class StopAt:
    """A listener that ends a training from within, once so many images were seen."""

    seen_images: int
    lines: list[str] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        """Stop where it is time."""
        if progress.done >= self.seen_images:
            raise StoppedError

    def say(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)


class LearningContract:
    """Subclass one of the roles' contracts rather than this."""

    stage: ClassVar[str]
    """The stage's name."""
    role: ClassVar[Role]
    settings: ClassVar[Mapping[str, Any]] = {}
    """A tiny config: the whole contract should take seconds on one core."""
    channels: ClassVar[tuple[str, ...]] = ("vessel", "optic_disc")
    image_px: ClassVar[int] = 40

    @pytest.fixture(autouse=True)
    def _own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))

    @pytest.fixture
    def registry(self) -> Registry:
        """The plugins that are installed."""
        return Registry.discover()

    @pytest.fixture
    def spec(self, registry: Registry) -> StageSpec:
        """The stage's own."""
        return registry.stage(self.stage, self.role)

    @pytest.fixture
    def new_stage(self, registry: Registry, spec: StageSpec) -> Stage:
        """A fresh one, its weights random but fixed, ready to be used."""
        config = registry.config_class(spec).resolve(self.stage, "quick", self.settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            stage = cast(Stage, registry.stage_class(spec)(config, self.channels))
        stage.move_to("cpu")
        stage.eval_mode()
        return stage

    def train(self, out: Path, registry: Registry, *, images: int = 24, **options: Any) -> Stage:
        """A short training in ``out``, with a checkpoint every eight images."""
        settings = {**self.settings, "seen_images": images, "batch_size": 4, "checkpoint_every": 8}
        return fit(
            self.stage,
            tiny_eyes(channels=self.channels, image_px=self.image_px),
            out,
            role=self.role,
            preset="quick",
            settings=settings,
            options=FitOptions(device="cpu", **options),
            registry=registry,
        )

    def test_class_and_spec_have_one_name(self, registry: Registry, spec: StageSpec) -> None:
        kind = cast(type[Stage], registry.stage_class(spec))
        assert (kind.name, kind.role) == (spec.name, spec.role) == (self.stage, self.role)

    @pytest.mark.parametrize("preset", PRESETS)
    def test_every_preset_is_valid(self, preset: str, registry: Registry, spec: StageSpec) -> None:
        config = registry.config_class(spec).resolve(self.stage, preset)
        assert config.model_dump().items() >= dict(config.presets[preset]).items()

    def test_every_setting_has_a_meaning(self, registry: Registry, spec: StageSpec) -> None:
        assert [row.name for row in registry.config_class(spec).describe() if not row.meaning] == []

    def test_a_setting_that_does_not_exist_is_refused(self, registry: Registry, spec: StageSpec) -> None:
        with pytest.raises(UnknownKeyError, match="seen_images"):
            registry.config_class(spec).resolve(self.stage, "quick", {"seen_image": 3})

    def test_every_network_that_learns_has_its_optimizer(self, new_stage: Stage) -> None:
        assert isinstance(new_stage, LearningStage)
        assert set(new_stage.optimizers()) <= set(new_stage.networks())
        assert set(new_stage.averaged) <= set(new_stage.networks())
        assert set(new_stage.plan(0).learning_rates) >= set(new_stage.optimizers())

    def test_training_changes_weights_and_writes_a_whole_folder(
        self, tmp_path: Path, registry: Registry
    ) -> None:
        trained = self.train(tmp_path / "stage", registry)
        names = {path.name for path in (tmp_path / "stage").iterdir()}
        expected = {"config.json", "model.safetensors", "priors.safetensors", "seen.json", "log.jsonl"}
        assert names >= {*expected, "previews", "checkpoints"}
        rows = [json.loads(line) for line in (tmp_path / "stage" / "log.jsonl").read_text().splitlines()]
        assert rows[-1]["seen_images"] == 24
        again = load_stage(tmp_path / "stage", registry=registry, device="cpu")
        assert _weights(again)
        assert _equal(_weights(trained), _weights(again))

    def test_resumed_equals_uninterrupted(self, tmp_path: Path, registry: Registry) -> None:
        straight = self.train(tmp_path / "straight", registry)
        # Stops right after 12 images: the checkpoint at 8 is the last, and work beyond it is lost and done again.
        with pytest.raises(StoppedError):
            self.train(tmp_path / "stopped", registry, listener=StopAt(12))
        listener = StopAt(10**9)
        resumed = self.train(tmp_path / "stopped", registry, listener=listener)
        assert any("goes on from 8" in line for line in listener.lines)
        assert _equal(_weights(straight), _weights(resumed))
        first, second = (_losses(tmp_path / name / "log.jsonl") for name in ("straight", "stopped"))
        assert first == second

    def test_same_seed_same_weights_and_another_seed_others(self, tmp_path: Path, registry: Registry) -> None:
        one, same, other = (
            _weights(self.train(tmp_path / str(i), registry, images=8, seed=seed))
            for i, seed in enumerate((1, 1, 2))
        )
        assert _equal(one, same)
        assert not _equal(one, other)

    def test_trains_in_bf16(self, tmp_path: Path, registry: Registry) -> None:
        stage = self.train(tmp_path / "stage", registry, images=8, precision="bf16")
        assert all(bool(torch.isfinite(value).all()) for value in _weights(stage).values())
        assert all(value.dtype != torch.bfloat16 for value in _weights(stage).values())

    def test_other_settings_are_refused_in_the_same_folder(self, tmp_path: Path, registry: Registry) -> None:
        self.train(tmp_path / "stage", registry, images=8)
        before = (tmp_path / "stage" / MODEL).read_bytes()
        with pytest.raises(RunFolderError, match="--out"):
            self.train(tmp_path / "stage", registry, images=12)
        assert (tmp_path / "stage" / MODEL).read_bytes() == before

    def test_a_flipped_byte_is_refused(self, tmp_path: Path, registry: Registry) -> None:
        self.train(tmp_path / "stage", registry, images=8)
        path = tmp_path / "stage" / MODEL
        content = bytearray(path.read_bytes())
        content[-7] ^= 1
        path.write_bytes(content)
        with pytest.raises(StageFolderError, match=r"model\.safetensors is damaged"):
            load_stage(tmp_path / "stage", registry=registry)

    def test_what_was_seen_is_written_down(self, tmp_path: Path, registry: Registry) -> None:
        self.train(tmp_path / "stage", registry, images=8)
        seen = json.loads((tmp_path / "stage" / "seen.json").read_text())["fingerprints"]
        assert seen == tiny_eyes(channels=self.channels, image_px=self.image_px).seen()
        assert read_card(tmp_path / "stage").provenance["samples"] == len(seen)

    @pytest.mark.slow
    def test_two_processes_train_one_stage(self, tmp_path: Path) -> None:
        script = tmp_path / "train.py"
        script.write_text(
            _TWO_PROCESSES.format(kind=type(self).__qualname__, file=sys.modules[self.__module__].__file__)
        )
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            str(script),
        ]
        done = subprocess.run(  # noqa: S603  (the script that stands above)
            [*command, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[:4000]
        digests = [(tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1)]
        assert digests[0] == digests[1] != ""


_TWO_PROCESSES = """
import importlib.util, os, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("contract", {file!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

import torch
import retina_core.training.loop as loop
from retina_core.registry import Registry
from retina_core.testing.learning import digest

torch.set_num_threads(1)
out = Path(sys.argv[1])
os.environ["RETINA_CACHE"] = str(out / "cache")
kept = []
run = loop.Loop.run
def watched(self):
    run(self)
    kept.append(digest(self.stage))
loop.Loop.run = watched
contract = module.{kind}()
contract.train(out / "stage", Registry.discover(), images=16)
Path(out / f"rank{{os.environ['RANK']}}.txt").write_text(kept[0])
torch.distributed.destroy_process_group()
os._exit(0)  # gloo's threads now and then abort an interpreter that ends by itself
"""


def digest(stage: Stage) -> str:
    """A hash of a stage's live weights, to compare between processes."""
    import hashlib

    found = hashlib.sha256()
    for key, value in sorted(_weights(stage).items()):
        found.update(key.encode() + value.contiguous().numpy().tobytes())
    return found.hexdigest()


def _weights(stage: Stage) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.detach().cpu()
        for name, network in stage.networks().items()
        for key, value in network.state_dict().items()
    }


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def _losses(path: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]
