"""What every stage that learns promises, whatever its role."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from retina_core.errors import UnknownKeyError
from retina_core.formats.stage_folder import load_stage
from retina_core.registry import Registry
from retina_core.specs import StageSpec
from retina_core.stages import LearningStage, Stage
from retina_core.testing.stage import StageContract
from retina_core.training.options import Progress


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


class LearningContract(StageContract):
    """Subclass one of the roles' contracts rather than this."""

    def train(self, out: Path, registry: Registry, *, images: int = 24, **options: Any) -> Stage:
        """A short training in ``out``, with a checkpoint every eight images."""
        return self.make(out, registry, settings={"seen_images": images}, **options)

    def make(
        self, out: Path, registry: Registry, *, settings: Mapping[str, Any] | None = None, **options: Any
    ) -> Stage:
        """As ``StageContract.make``, by a training that is still shorter."""
        short = {"seen_images": 8, "batch_size": 4, "checkpoint_every": 8}
        return super().make(out, registry, settings={**short, **(settings or {})}, **options)

    def make_another(self, out: Path, registry: Registry) -> Stage:
        """A longer training."""
        return self.train(out, registry, images=12)

    def test_the_length_of_a_training_can_be_set(self, registry: Registry, spec: StageSpec) -> None:
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
